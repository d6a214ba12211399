"""Implicit neural representations on analytic anatomies whose value is known at every point."""

from typing import Any

import numpy as np
import pytest
import torch

from mrinr.context import Context
from mrinr.errors import Cancelled, InputError
from mrinr.geometry import Grid, profile_points
from mrinr.superres import best, inr_fit, irem, multi_contrast, profile_inr
from mrinr.superres.inr import FourierFeatures, SplitHead
from mrinr.superres.inr_samples import Samples
from mrinr.superres.problem import Problem, Solution, observe
from mrinr.volume import Stack, Volume

SIZE = (16, 16, 16)
CPU = torch.device("cpu")
ORIGIN = np.array([-37.0, 52.0, 11.0])  # far from 0: coordinates must not depend on it
QUICK: dict[str, Any] = {"epochs": 50, "learning_rate": 3e-3, "batch": 512, "features": 64, "width": 48}


def wave(points: np.ndarray, contrast: int = 0) -> np.ndarray:
    """Three plane waves, the shortest 12 mm long, on 0.5; each contrast weighs them differently."""
    x, y, z = np.moveaxis(points - ORIGIN, -1, 0) * 2 * np.pi / 12
    weights = np.roll([0.20, 0.12, 0.08], contrast)
    waves = (np.sin(x + 0.4), np.sin(0.8 * y + 0.6 * x), np.cos(0.7 * z - 0.5 * y))
    return 0.5 + sum(w * v for w, v in zip(weights, waves, strict=True))


def on(grid: Grid, contrast: int = 0) -> np.ndarray:
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1)
    return wave(grid.world(index), contrast)


def target() -> Grid:
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])  # left-handed on purpose
    affine[:3, 3] = ORIGIN
    return Grid(SIZE, affine)


def stack_of(grid: Grid, axis: int, factor: int, contrast: int = 0, profile: str = "point") -> Stack:
    """A stack of slices of `factor` mm, each the exact mean of the wave over 24 points of its profile."""
    spacing = [1.0, 1.0, 1.0]
    spacing[axis] = float(factor)
    thick = grid.with_spacing((spacing[0], spacing[1], spacing[2]))
    index = np.stack(np.meshgrid(*[np.arange(n) for n in thick.shape], indexing="ij"), -1).astype(float)
    offsets, weights = profile_points(profile, factor, factor / 24)
    voxels = np.zeros(thick.shape)
    for offset, weight in zip(offsets, weights, strict=True):
        moved = index.copy()
        moved[..., axis] += offset / factor
        voxels += weight * wave(thick.world(moved), contrast)
    return Stack(Volume(voxels, thick.affine, f"stack {axis}"), f"C{contrast}", axis, float(factor))


def problem_of(*stacks: Stack, profile: str = "point", seed: int = 0) -> Problem:
    grid = target()
    observations = [observe(s, torch.from_numpy(s.volume.voxels), grid, profile, CPU) for s in stacks]
    return Problem(grid, observations, CPU, seed)


def pair(profile: str = "point", factor: int = 2) -> list[Stack]:
    return [stack_of(target(), axis, factor, axis, profile) for axis in (0, 1)]


def error(solution: Solution, contrast: int) -> float:
    """Root mean squared error inside a margin of two voxels; the waves' own deviation is about 0.17."""
    difference = solution.volumes[f"C{contrast}"].numpy() - on(target(), contrast)
    return float(np.sqrt(np.mean(difference[2:-2, 2:-2, 2:-2] ** 2)))


@pytest.mark.parametrize(
    "solve", [multi_contrast.solve_split_head, multi_contrast.solve_vanilla, multi_contrast.solve_single]
)
def test_a_band_limited_pair_is_recovered_to_two_percent(solve):
    solution = solve(problem_of(*pair()), Context(), **QUICK)
    assert error(solution, 0) < 0.02
    assert error(solution, 1) < 0.02


def test_irem_fuses_three_stacks_of_one_contrast_to_three_percent():
    stacks = [stack_of(target(), axis, 4) for axis in range(3)]
    settings = {**QUICK, "bandwidth": 0.02, "batch": 256}
    assert error(irem.solve(problem_of(*stacks), Context(), **settings), 0) < 0.03


def test_another_spacing_is_evaluated_and_agrees_with_the_anatomy():
    solution = multi_contrast.solve_split_head(problem_of(*pair()), Context(), **QUICK)
    finer = target().with_spacing((0.7, 1.3, 0.9)).crop((3, 2, 3), (20, 10, 15))
    sampled = solution.sample(finer)["C1"].numpy()
    assert sampled.shape == finer.shape
    assert np.sqrt(np.mean((sampled - on(finer, 1)) ** 2)) < 0.02


def test_a_seed_gives_the_same_volume_again_and_another_seed_another():
    def run(seed: int) -> torch.Tensor:
        settings = {**QUICK, "epochs": 2}
        return multi_contrast.solve_vanilla(problem_of(*pair(), seed=seed), Context(), **settings).volumes[
            "C0"
        ]

    state = torch.get_rng_state()
    assert torch.equal(run(3), run(3))
    assert not torch.equal(run(3), run(4))
    assert torch.equal(state, torch.get_rng_state()), "the caller's random numbers were used"


@pytest.mark.parametrize("solve", [multi_contrast.solve_split_head, profile_inr.solve])
def test_hidden_slices_are_not_used(solve):
    """Whatever stands in a slice of weight 0, the result is the same."""
    results = []
    for garbage in (0.0, 50.0):
        problem = problem_of(*pair(), profile="box")
        for o in problem.observations:
            hidden = [slice(None)] * 3
            hidden[o.slice_axis] = slice(1, None, 3)
            o.weight[tuple(hidden)] = 0
            o.values[tuple(hidden)] = garbage
        results.append(solve(problem, Context(), **{**QUICK, "epochs": 2}).volumes["C0"])
    assert torch.equal(*results)


def test_three_contrasts_have_three_heads():
    stacks = [stack_of(target(), axis, 2, axis) for axis in range(3)]
    solution = multi_contrast.solve_split_head(problem_of(*stacks), Context(), **QUICK)
    assert list(solution.volumes) == ["C0", "C1", "C2"]
    assert max(error(solution, n) for n in range(3)) < 0.03


def test_batches_that_lack_a_contrast_give_finite_numbers():
    settings = {**QUICK, "epochs": 2, "batch": 8}
    solution = multi_contrast.solve_split_head(_sparse_second_contrast(), Context(), **settings)
    assert all(torch.isfinite(v).all() for v in solution.volumes.values())
    assert all(np.isfinite(facts["loss"]) for facts in solution.notes["networks"].values())


def _sparse_second_contrast() -> Problem:
    """A second contrast of which a single voxel counts: nearly every batch lacks it."""
    problem = problem_of(*pair(factor=4))
    problem.observations[1].weight.zero_()
    problem.observations[1].weight[3, 2, 3] = 1
    return problem


def test_a_contrast_outside_the_target_is_refused_in_one_sentence():
    problem = problem_of(*pair())
    problem.observations[1].weight.zero_()
    with pytest.raises(InputError, match="C1"):
        multi_contrast.solve_split_head(problem, Context(), **QUICK)


def test_training_through_the_profile_undoes_thick_slices():
    """Box slices of 4 mm damp a wave of 12 mm to 0.8: points at slice centres cannot know that."""
    problem = problem_of(*pair("box", 4), profile="box")
    through = profile_inr.solve(problem, Context(), layers=3, **QUICK)
    at_points = multi_contrast.solve_split_head(problem, Context(), **QUICK)
    assert error(through, 0) + error(through, 1) < 0.7 * (error(at_points, 0) + error(at_points, 1))


@pytest.mark.parametrize(
    ("solve", "settings"),
    [
        (profile_inr.solve, {**QUICK, "epochs": 2}),
        (best.solve, {"networks": 2, "epochs": 1, "steps": 20}),
    ],
)
def test_the_sampled_function_is_the_volume_on_its_own_grid(solve, settings):
    solution = solve(problem_of(*pair("box"), profile="box"), Context(), **settings)
    again = solution.sample(target())
    assert torch.allclose(again["C0"], solution.volumes["C0"], atol=1e-5)


def test_best_takes_guided_in_only_where_it_predicts_hidden_slices_clearly_better():
    assert [best.share(1.0, error) for error in (0.5, 0.8, 0.95, 1.0, 1.1)] == [0.5, 0.5, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("profile", ["box", "gaussian"])
def test_points_around_a_voxel_average_to_the_integral_over_its_profile(profile):
    """The mean of many draws of a quadratic equals its exact mean under the profile, on an oblique stack."""
    turn = np.eye(4)
    turn[:3, :3] = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    affine = turn @ np.diag([1.0, 1.0, 5.0, 1.0])
    affine[:3, 3] = ORIGIN + np.array([-10, 9, 8])
    stack = Stack(Volume(np.random.default_rng(0).random((6, 6, 3)), affine, "oblique"), "C0", 2, 5.0)
    samples = Samples.of(problem_of(stack, profile=profile), ["C0"])
    index = torch.zeros(4000, dtype=torch.long)
    drawn = samples.around(index, 8, torch.Generator().manual_seed(0)) - samples.points[0]
    along = drawn @ torch.tensor(turn[:3, 2], dtype=torch.float32)
    variance = 25 / 12 if profile == "box" else 0.911 * (5 / 2.35482) ** 2  # cut at 2.5 sigma
    assert float(along.mean()) == pytest.approx(0, abs=0.01)
    assert float((along**2).mean()) == pytest.approx(variance, rel=0.06)
    assert float((drawn.norm(dim=-1) - along.abs()).abs().max()) < 1e-3


def test_published_sizes():
    assert sum(p.numel() for p in SplitHead(2, 512, 0.036, 1024, 5).parameters()) == 5_774_338
    assert sum(p.numel() for p in irem.Irem(1, 256, 1 / 98, 256).parameters()) == 1_324_801
    assert FourierFeatures(256, 1.0)(torch.zeros(2, 3)).shape == (2, 256)


def test_mutual_information_that_has_settled_stops_the_fit_and_the_result_is_kept():
    assert inr_fit.settled([1.0, 1.0, 1.00005, 1.0, 1.0])
    assert not inr_fit.settled([1.0, 1.0, 1.0005, 1.0, 1.0])
    assert not inr_fit.settled([1.0, 1.0, 1.0, 1.0]), "four changes are needed"
    nothing_learned = {**QUICK, "learning_rate": 1e-12, "epochs": 30}
    solution = multi_contrast.solve_split_head(problem_of(*pair()), Context(), **nothing_learned)
    facts = solution.notes["networks"]["C0, C1"]
    assert facts["epochs"] == 5
    assert len(facts["mutual_information"]) == 5
    assert set(solution.volumes) == {"C0", "C1"}


@pytest.mark.parametrize(
    "solve", [multi_contrast.solve_split_head, multi_contrast.solve_single, irem.solve, profile_inr.solve]
)
def test_cancel_is_noticed_inside_an_epoch(solve):
    looks = iter(range(1000))
    context = Context(cancelled=lambda: next(looks) > 6)
    with pytest.raises(Cancelled):
        solve(problem_of(*pair()), context, **{**QUICK, "epochs": 10_000, "batch": 100})


def test_the_person_can_watch():
    seen: list[dict[str, torch.Tensor]] = []
    problem = problem_of(*pair())
    problem.on_show = seen.append
    enough = Context(cancelled=lambda: len(seen) > 0)
    with pytest.raises(Cancelled):
        multi_contrast.solve_single(problem, enough, **{**QUICK, "epochs": 100_000})
    assert {name: v.shape for name, v in seen[0].items()} == {"C0": SIZE, "C1": SIZE}


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="epochs"):
        irem.solve(problem_of(*pair()), Context(), epochs=0)
