"""Guided reconstruction: one contrast's fine axis teaches another's thick one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from phantoms import grid
from superres_cases import head_psnr, head_stacks, problem_of

from mrinr.context import Context
from mrinr.errors import Cancelled
from mrinr.superres import cubic, guided, hidden, tv
from mrinr.superres.guided import plan
from mrinr.superres.patches import RADIUS, Patches, PatchNetwork, patch_offsets, train
from mrinr.superres.problem import Problem, Solution
from mrinr.volume import Stack, Volume

CROSSING = (("T1", "axial"), ("T2", "coronal"))
PARALLEL = (("T1", "axial"), ("T2", "axial"))
SHORT = {"steps": 150, "rounds": 1}  # a fraction of the training that people get


def third_contrast(orientation: str) -> Stack:
    """A mixture of the head's two contrasts: slices are linear."""
    one, two = (head_stacks((c, orientation))[0] for c in ("T1", "T2"))
    voxels = 0.3 * one.volume.voxels + 0.7 * two.volume.voxels
    return Stack(Volume(voxels, one.volume.affine, "PD", one.volume.meta), "PD", one.slice_axis)


# images -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crossing() -> tuple[Problem, Solution]:
    problem = problem_of(head_stacks(*CROSSING))
    return problem, guided.solve(problem, Context(), **SHORT)


def test_two_crossing_contrasts_gain_far_more_than_joint_tv_gives_them(crossing):
    case, (problem, solution) = head_stacks(*CROSSING), crossing
    by_tv = head_psnr(tv.solve(problem, Context()).volumes, case, problem.grid)
    by_guide = head_psnr(solution.volumes, case, problem.grid)
    for contrast in problem.contrasts:
        assert by_guide[contrast] > by_tv[contrast] + 1.0


def test_what_was_measured_has_the_last_word(crossing):
    problem, solution = crossing
    for o in problem.observations:
        residual = (o.operator.forward(solution.volumes[o.contrast]) - o.values) * o.weight
        assert residual.abs().median() < 0.02


def test_what_no_slice_saw_is_not_made_dark():
    """A stack that ends in the middle of the head: beyond it nothing was predicted."""
    t1, t2 = head_stacks(*CROSSING)
    short = Volume(t2.volume.voxels[:, :, :9].copy(), t2.volume.affine, "short", t2.volume.meta)
    problem = problem_of((t1, Stack(short, "T2", 2)))
    by_tv = tv.solve(problem, Context()).volumes["T2"]
    by_guide = guided.solve(problem, Context(), steps=60, rounds=1).volumes["T2"]
    unseen = (cubic.solve(problem, Context()).volumes["T2"] == 0) & (by_tv > 0.3)
    assert unseen.sum() > 500
    assert by_guide[unseen].mean() > 0.8 * by_tv[unseen].mean()


def test_gaps_between_slices_are_no_unseen_voxels():
    problem = problem_of(head_stacks(*CROSSING), profile="point")
    base = cubic.solve(problem, Context()).volumes
    assert guided.filled(problem, base, Context()) is base


def test_parallel_stacks_fall_back_to_joint_tv_and_say_so():
    problem = problem_of(head_stacks(*PARALLEL))
    solution = guided.solve(problem, Context(), weight=2e-3)
    joint = tv.solve(problem, Context(), weight=2e-3)
    for contrast in problem.contrasts:
        torch.testing.assert_close(solution.volumes[contrast], joint.volumes[contrast], rtol=0, atol=0)
    assert "joint total variation alone" in solution.notes["guided"]


def test_each_of_three_contrasts_is_guided_by_those_that_can_help():
    case = (*head_stacks(*CROSSING), third_contrast("sagittal"))
    problem = problem_of(case)
    plans = {p.contrast: p for p in plan(problem)}
    thick = {"T1": {2}, "T2": {1}, "PD": {0}}
    for contrast, p in plans.items():
        assert {p.thick} == thick[contrast] and sorted([p.thick, p.fine, p.across]) == [0, 1, 2]
        assert p.guides and contrast not in p.guides
        for guide in p.guides:
            assert not thick[guide] & {p.thick, p.fine}, "a guide is fine along both"
    solution = guided.solve(problem, Context(), steps=80, rounds=1)
    assert set(solution.volumes) == {"T1", "T2", "PD"}
    pair = {c: solution.volumes[c] for c in ("T1", "T2")}
    by_guide = head_psnr(pair, case[:2], problem.grid)
    by_cubic = head_psnr(
        {c: cubic.solve(problem, Context()).volumes[c] for c in pair}, case[:2], problem.grid
    )
    for contrast in pair:
        assert by_guide[contrast] > by_cubic[contrast] + 1.0


def test_two_parallel_contrasts_both_guide_a_crossing_one():
    case = (*head_stacks(*PARALLEL), third_contrast("coronal"))
    plans = {p.contrast: p for p in plan(problem_of(case))}
    assert set(plans["PD"].guides) == {"T1", "T2"}
    assert plans["T1"].guides == plans["T2"].guides == ("PD",)


@pytest.mark.parametrize(
    ("spacing", "guidable"),
    [((1, 1, 1), 2), ((2, 1, 1), 0), ((1, 1, 2), 1), ((1, 2, 1), 1), ((1, 1.5, 2), 0)],
)
def test_learning_needs_an_axis_of_the_same_spacing_as_the_thick_one(spacing, guidable):
    shape = tuple(int(64 / s) for s in spacing)
    assert len(plan(problem_of(head_stacks(*CROSSING), grid(shape, spacing)))) == guidable


def test_a_contrast_with_stacks_in_several_planes_needs_no_guide_but_is_a_good_one():
    case = head_stacks(("T1", "axial"), ("T1", "sagittal"), ("T2", "coronal"))
    problem = problem_of(case)
    (only,) = plan(problem)
    assert (only.contrast, only.guides) == ("T2", ("T1",))
    by_tv = head_psnr(tv.solve(problem, Context()).volumes, case, problem.grid)
    by_guide = head_psnr(guided.solve(problem, Context(), **SHORT).volumes, case, problem.grid)
    assert by_guide["T2"] > by_tv["T2"] + 2.0
    assert by_guide["T1"] > by_tv["T1"] - 1.0


def test_an_anisotropic_target_is_guided_where_it_can_be_and_no_contrast_is_worse():
    case = head_stacks(*CROSSING)
    like = grid((64, 64, 32), (1.0, 1.0, 2.0))
    problem = problem_of(case, like)
    by_guide = head_psnr(guided.solve(problem, Context(), **SHORT).volumes, case, like)
    by_cubic = head_psnr(cubic.solve(problem, Context()).volumes, case, like)
    assert by_guide["T2"] > by_cubic["T2"] + 0.7
    assert by_guide["T1"] > by_cubic["T1"]


def test_the_same_seed_gives_the_same_volumes_and_another_seed_others():
    case = head_stacks(*CROSSING, shape=(32, 32, 32))
    results = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed + len(results))
        expected = torch.rand(3)
        torch.manual_seed(seed + len(results))
        results.append(guided.solve(problem_of(case, seed=seed), Context(), steps=10, rounds=1).volumes["T1"])
        assert torch.equal(torch.rand(3), expected), "the caller's random numbers are left alone"
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)
    assert not torch.equal(results[0], results[2])


@pytest.mark.parametrize("after", [3, 30, 60])
def test_cancel_works_while_learning_and_while_predicting(after):
    asked = []

    def cancelled() -> bool:
        asked.append(True)
        return len(asked) > after

    with pytest.raises(Cancelled):
        problem = problem_of(head_stacks(*CROSSING, shape=(32, 32, 32)))
        guided.solve(problem, Context(cancelled=cancelled), steps=60, rounds=2)
    assert len(asked) == after + 1


# parts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [(0, 1), (2, 0), (1, 2)])
def test_a_patch_is_the_plane_around_its_voxel(first, second):
    volume = torch.rand(9, 10, 11)
    index = torch.tensor([[4, 5, 6], [3, 3, 3]])
    got = Patches([volume, 2 * volume], first, second)(index)
    for n, (i, j, k) in enumerate(index.tolist()):
        for p, (a, b, c) in enumerate(patch_offsets(first, second)):
            assert got[n, 0, p] == volume[i + a, j + b, k + c]
            assert got[n, 1, p] == 2 * volume[i + a, j + b, k + c]
    assert got.shape[2] == (2 * RADIUS + 1) ** 2


def test_patches_repeat_the_border():
    volume = torch.rand(5, 6, 7)
    got = Patches([volume], 0, 1)(torch.tensor([[0, 0, 0]]))[0, 0].reshape(7, 7)
    assert (got[: RADIUS + 1, : RADIUS + 1] == volume[0, 0, 0]).all()


def test_the_network_says_nothing_before_it_learns_and_learns_a_difference_of_neighbours():
    generator = torch.Generator().manual_seed(0)
    patches = torch.rand(4000, 2, 49, generator=generator)
    position = torch.rand(4000, 4, generator=generator)
    middle = 24
    target = 0.25 * (patches[:, 1, middle - 7] + patches[:, 1, middle + 7] - 2 * patches[:, 1, middle])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = PatchNetwork(2)
    assert network(patches, position).abs().max() == 0
    train(network, patches, position, target, 300, lambda fraction: None, generator)
    fresh = torch.rand(500, 2, 49, generator=generator)
    truth = 0.25 * (fresh[:, 1, middle - 7] + fresh[:, 1, middle + 7] - 2 * fresh[:, 1, middle])
    with torch.no_grad():
        predicted = network(fresh, position[:500]) * network.target_scale
    assert np.corrcoef(predicted.numpy(), truth.numpy())[0, 1] > 0.9


def test_positions_between_slices_are_told_with_the_slices_that_are_missing():
    missing = torch.tensor([0.0, 1.0, 0.0, 0.0])
    got = guided.positions(torch.tensor([0.0, 0.75, 1.0, 2.25]), missing)
    np.testing.assert_allclose(
        got, [[0.5, 0, 0, 1], [0.25, 0, 1, 0], [0.5, 0, 1, 0], [0.75, 1, 0, 0]], atol=1e-6
    )


def test_hidden_slices_count_as_missing_and_slices_outside_the_target_do_not():
    problem = problem_of(head_stacks(*CROSSING), grid((64, 64, 40)))  # cuts the axial stack
    axial = hidden.hide(problem).problem.observations[0]
    missing = guided.missing_slices(axial)
    assert missing.nonzero().flatten().tolist() == [7, 12]
