"""Joint total variation: its linear algebra against plain numpy, its images against phantoms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from phantoms import Waves, grid, random_directions, wave_stack
from superres_cases import head_psnr, head_stacks, problem_of, scales_of

from mrinr.context import Context
from mrinr.errors import Cancelled
from mrinr.superres import cubic, tv
from mrinr.superres.problem import Problem
from mrinr.volume import Stack

ORTHOGONAL = (((48, 48, 12), (1, 1, 4)), ((48, 12, 48), (1, 4, 1)), ((12, 48, 48), (4, 1, 1)))
INNER = (slice(4, -4),) * 3


def three_planes(waves: Waves, directions=None, thickness: float = 4.0) -> list[Stack]:
    return [wave_stack(waves, grid(n, mm, directions), thickness) for n, mm in ORTHOGONAL]


def error(x: torch.Tensor, waves: Waves, case, problem: Problem) -> float:
    """Root mean square, away from the border, as a fraction of the phantom's standard deviation."""
    truth = waves.image(problem.grid)
    difference = x.numpy() * scales_of(case)["T1"].unit - truth
    return float(np.sqrt((difference[INNER] ** 2).mean()) / truth.std())


# images -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_three_orthogonal_stacks_give_waves_of_ten_millimetres_back_within_four_percent(seed):
    waves = Waves.random(seed=seed, finest=10.0)
    directions = random_directions(np.random.default_rng(seed)) if seed else None
    case = three_planes(waves, directions)
    problem = problem_of(case)
    interpolated = error(cubic.solve(problem, Context()).volumes["T1"], waves, case, problem)
    recovered = error(tv.solve(problem, Context()).volumes["T1"], waves, case, problem)
    less_smooth = error(tv.solve(problem, Context(), weight=3e-4).volumes["T1"], waves, case, problem)
    assert recovered < 0.04 and less_smooth < 0.02
    assert interpolated > 2 * recovered


@pytest.mark.parametrize("thickness", [2.5, 6.0])
def test_slices_with_gaps_and_with_overlap_are_understood(thickness):
    waves = Waves.random(seed=3, finest=10.0)
    case = three_planes(waves, thickness=thickness)
    touching = [Stack(s.volume, s.contrast, s.slice_axis, 4.0) for s in case]
    understood, misled = (
        error(tv.solve(problem_of(c), Context(), weight=3e-4).volumes["T1"], waves, c, problem_of(c))
        for c in (case, touching)
    )
    assert understood < 0.03 and misled > 1.3 * understood


def test_contrasts_help_each_other():
    case = head_stacks(("T1", "axial"), ("T2", "coronal"))
    problem = problem_of(case)
    together = head_psnr(tv.solve(problem, Context()).volumes, case, problem.grid)
    for contrast in problem.contrasts:
        alone = Problem(problem.grid, problem.of(contrast), problem.device)
        separate = head_psnr(tv.solve(alone, Context()).volumes, case, problem.grid)
        assert together[contrast] > separate[contrast] + 0.3


def test_it_beats_interpolation_even_on_one_stack_and_by_far_on_three():
    for planes, gain in ((["axial"], 0.3), (["axial", "coronal", "sagittal"], 5.5)):
        case = head_stacks(*(("T1", plane) for plane in planes))
        problem = problem_of(case)
        before = head_psnr(cubic.solve(problem, Context()).volumes, case, problem.grid)["T1"]
        after = head_psnr(tv.solve(problem, Context()).volumes, case, problem.grid)["T1"]
        assert after > before + gain


def test_a_target_grid_need_not_be_isotropic_nor_aligned_with_any_stack():
    waves = Waves.random(seed=2, finest=12.0)
    case = three_planes(waves)
    like = grid((30, 15, 22), (0.9, 1.8, 1.2), random_directions(np.random.default_rng(7)))
    problem = problem_of(case, like)
    assert error(tv.solve(problem, Context(), outer=2).volumes["T1"], waves, case, problem) < 0.05


def test_voxels_of_no_weight_have_no_say():
    waves = Waves.random(seed=4, finest=10.0)
    case = three_planes(waves)
    results = []
    for garbage in (0.0, 1e3):
        problem = problem_of(case)
        for o in problem.observations:
            o.weight.select(o.slice_axis, 5).zero_()
            o.values.select(o.slice_axis, 5).fill_(garbage)
        start = {"T1": torch.zeros(problem.grid.shape)}
        results.append(tv.solve(problem, Context(), start=start).volumes["T1"])
    torch.testing.assert_close(*results, rtol=0, atol=0)
    assert error(results[0], waves, case, problem) < 0.1, "the other stacks know what is there"


# linear algebra -----------------------------------------------------------------------------------------


def test_conjugate_gradients_solve_a_small_system_exactly():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(12, 12))
    a = a @ a.T + np.eye(12)
    b = rng.normal(size=12)
    matrix = torch.tensor(a)
    x = tv.conjugate_gradient(lambda v: matrix @ v, torch.tensor(b), torch.zeros(12, dtype=torch.double), 60)
    np.testing.assert_allclose(x, np.linalg.solve(a, b), atol=1e-8)


def test_conjugate_gradients_stop_when_there_is_nothing_left_to_do():
    x = tv.conjugate_gradient(lambda v: 2 * v, torch.full((4,), 6.0), torch.full((4,), 3.0), 5)
    assert x.tolist() == [3.0] * 4


def test_the_smoothness_term_is_the_gradient_of_its_energy():
    rng = np.random.default_rng(1)
    x, edges = rng.normal(size=(5, 6, 7)), rng.uniform(0.5, 2, (5, 6, 7))
    scale = [1.0, 0.5, 0.7]

    def energy(v: np.ndarray) -> float:
        total = 0.0
        for axis in range(3):
            d = np.diff(v, axis=axis) * scale[axis]
            near, far = (np.take(edges, range(n, v.shape[axis] - 1 + n), axis) for n in (0, 1))
            total += ((near + far) / 2 * d**2).sum()
        return 0.5 * 3.0 * total

    out = tv.add_smoothness(
        torch.zeros(5, 6, 7, dtype=torch.double), torch.tensor(x), torch.tensor(edges), scale, 3.0
    )
    for index in [(0, 0, 0), (2, 3, 4), (4, 5, 6), (0, 5, 3)]:
        step = np.zeros_like(x)
        step[index] = 1e-5
        slope = (energy(x + step) - energy(x - step)) / 2e-5
        assert abs(float(out[index]) - slope) < 1e-6


def test_edge_weights_count_the_edges_of_all_contrasts():
    x = torch.zeros(4, 4, 4)
    y = torch.zeros(4, 4, 4)
    x[2:] = 3.0
    y[2:] = 4.0
    edges = tv.edge_weights([x, y], [0.5, 1.0, 1.0], 1e-3)
    np.testing.assert_allclose(edges[1:3], 2**0.5 / 2.5, rtol=1e-5)  # on both sides of the edge
    np.testing.assert_allclose(edges[[0, 3]], 1 / 1e-3, rtol=1e-5)


def test_a_mirrored_head_gives_the_mirrored_result():
    problem = problem_of(head_stacks(("T1", "axial"), shape=(32, 32, 32)))
    (o,) = problem.observations
    straight = tv.solve(problem, Context()).volumes["T1"]
    for axis in range(3):
        o.values = o.values.flip(axis)
        mirrored = tv.solve(problem, Context()).volumes["T1"].flip(axis)
        o.values = o.values.flip(axis)
        torch.testing.assert_close(mirrored, straight, rtol=0, atol=2e-3)


# while it runs ------------------------------------------------------------------------------------------


def test_cancel_is_noticed_in_every_step():
    case = head_stacks(("T1", "axial"), shape=(16, 16, 16))
    asked = []

    def cancelled() -> bool:
        asked.append(True)
        return len(asked) > 20

    with pytest.raises(Cancelled):
        tv.solve(problem_of(case), Context(cancelled=cancelled))
    assert len(asked) == 21


def test_progress_runs_from_zero_to_one_and_previews_get_better():
    case = head_stacks(("T1", "axial"), ("T2", "coronal"))
    problem = problem_of(case)
    fractions: list[float] = []
    shown: list[float] = []
    problem.on_show = lambda volumes: shown.append(head_psnr(volumes, case, problem.grid)["T1"])
    tv.solve(problem, Context(on_progress=lambda fraction, _, text: fractions.append(fraction)))
    assert fractions == sorted(fractions) and fractions[0] == 0 and 0.8 < fractions[-1] <= 1
    assert len(shown) == tv.OUTER and shown[-1] > shown[0]
