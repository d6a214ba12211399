"""Choosing by hidden slices: nobody can peek at them, and what they choose is close to the best there is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from phantoms import Waves, grid, wave_stack
from superres_cases import head_psnr, head_stacks, problem_of, scales_of

from mrinr.context import Context
from mrinr.errors import Cancelled
from mrinr.superres import auto, cubic, hidden
from mrinr.superres.auto import score
from mrinr.superres.hidden import BLOCK, central_block, hide
from mrinr.superres.methods import solver
from mrinr.superres.problem import Problem
from mrinr.volume import Stack, Volume

CROSSING = (("T1", "axial"), ("T2", "coronal"))
THREE = (("T1", "axial"), ("T1", "coronal"), ("T1", "sagittal"))
QUICK = {  # the smallest run of each method that does everything once
    "cubic": {},
    "tv": {"outer": 2, "inner": 3},
    "guided": {"rounds": 1, "steps": 20},
    "prior": {"rounds": 1, "steps": 20},
    "irem": {"epochs": 1, "batch": 9000, "width": 16, "features": 16},
    "single": {"epochs": 1, "batch": 9000, "width": 16, "features": 16},
    "vanilla": {"epochs": 1, "batch": 9000, "width": 16, "features": 16},
    "split-head": {"epochs": 1, "batch": 9000, "width": 16, "features": 16},
    "profile-inr": {"epochs": 1, "batch": 9000, "width": 16, "features": 16, "points": 2},
    "best": {"networks": 1, "epochs": 1, "steps": 20},
}


# hiding -------------------------------------------------------------------------------------------------


def poisoned(problem: Problem) -> Problem:
    """The same problem with garbage wherever `hide` hides: in the values and in the stacks themselves."""
    observations = []
    for o, kept in zip(problem.observations, hide(problem).problem.observations, strict=True):
        secret = (o.operator.weight > 0) & (kept.weight == 0)
        assert 0 < secret.float().mean() < 0.3
        values = torch.where(secret, torch.full_like(o.values, 37.0), o.values)
        volume = o.stack.volume
        voxels = np.where(secret.numpy(), 37.0, volume.voxels)
        stack = replace(o.stack, volume=volume.with_voxels(voxels))
        observations.append(replace(o, stack=stack, values=values))
    return Problem(problem.grid, observations, problem.device, problem.seed)


@pytest.mark.parametrize("method", list(QUICK))
def test_no_method_can_peek_at_hidden_slices(method):
    problem = problem_of(head_stacks(*CROSSING, shape=(32, 32, 32)))
    honest, spoilt = (
        solver(method)(hide(p).problem, Context(), **QUICK[method]).volumes
        for p in (problem, poisoned(problem))
    )
    for contrast in honest:
        torch.testing.assert_close(honest[contrast], spoilt[contrast], rtol=0, atol=0)


def test_every_fifth_inner_slice_is_hidden_and_the_first_and_last_never():
    trial = hide(problem_of(head_stacks(*CROSSING)))
    for o, held in zip(trial.problem.observations, trial.held_out, strict=True):
        slices = o.weight.movedim(o.slice_axis, 0).flatten(1)
        hidden_ones = (slices.sum(1) == 0).nonzero().flatten().tolist()
        assert hidden_ones == [2, 7, 12]
        assert (held * o.weight).sum() == 0 and held.sum() > 0
        assert set(held.movedim(o.slice_axis, 0).flatten(1).sum(1).nonzero().flatten().tolist()) <= {2, 7, 12}
    assert trial.count == 6


def test_the_error_is_what_hidden_foreground_voxels_differ_by():
    problem = problem_of(head_stacks(("T1", "axial")))
    trial = hide(problem)
    volume = torch.rand(problem.grid.shape)
    (o,) = problem.observations
    predicted = o.operator.forward(volume)[:, :, [2, 7, 12]]
    measured = o.values[:, :, [2, 7, 12]]
    bright = measured > 0.05
    expected = ((predicted - measured)[bright] ** 2).mean().sqrt()
    assert trial.errors({"T1": volume})["T1"] == pytest.approx(float(expected), rel=1e-4)


def test_a_volume_that_explains_all_slices_has_no_error():
    waves = Waves.random(finest=12.0)
    case = [wave_stack(waves, grid((40, 40, 10), (1, 1, 4)), 4.0)]
    problem = problem_of(case)
    truth = torch.from_numpy(waves.image(problem.grid)) / scales_of(case)["T1"].unit
    assert hide(problem).errors({"T1": truth})["T1"] < 0.01
    assert hide(problem).errors({"T1": truth + 0.3})["T1"] == pytest.approx(0.3, abs=0.01)


def test_the_central_block_is_a_part_of_the_problem_where_the_head_is():
    # a head off the centre of a large field of view
    stack = head_stacks(("T1", "axial"))[0]
    wide = np.zeros((64, 64, 40), np.float32)
    wide[:, :, 2:18] = stack.volume.voxels
    big = Stack(Volume(wide, stack.volume.affine, "wide", {"thickness": 4.0}), "T1", 2)
    problem = problem_of([big])
    block = central_block(problem, "box")
    assert max(block.grid.shape) <= BLOCK
    middle = block.grid.world((np.array(block.grid.shape) - 1) / 2)
    head_is_at = stack.volume.grid.world(np.array([31.5, 31.5, 9.5]))
    np.testing.assert_allclose(middle, head_is_at, atol=4)
    (o,) = block.observations
    first = np.linalg.inv(problem.grid.affine) @ block.grid.affine[:, 3]
    assert np.allclose(first, np.rint(first), atol=1e-6), "its voxels are the problem's"
    at = np.rint(np.linalg.inv(big.volume.affine) @ o.stack.volume.affine[:, 3])[:3].astype(int)
    part = tuple(slice(a, a + n) for a, n in zip(at, o.values.shape, strict=True))
    torch.testing.assert_close(o.values, problem.observations[0].values[part])


# choosing -----------------------------------------------------------------------------------------------


def choose(case, profile: str = "auto") -> auto.Choice:
    return auto.choose(problem_of(case, profile="box" if profile == "auto" else profile), Context(), profile)


def quality(case, choice_or_row) -> float:
    """Mean dB over contrasts of a candidate run with its full settings."""
    if isinstance(choice_or_row, dict):
        method, settings, profile = (choice_or_row[k] for k in ("method", "settings", "profile"))
    else:
        method, settings, profile = choice_or_row.method, choice_or_row.settings, choice_or_row.profile
    problem = problem_of(case, profile=profile)
    volumes = solver(method)(problem, Context(), **settings).volumes
    return float(np.mean(list(head_psnr(volumes, case, problem.grid).values())))


def explained_by_noise(case, choice: auto.Choice) -> list[dict]:
    """All candidates but the weight against mismatch, which suits flat phantoms as it suits no head."""
    problem = problem_of(case)
    limit = 2 * auto.noise_weight("tv", problem, auto.noise(problem))
    return [row for row in choice.candidates if row["settings"].get("weight", 0) <= limit]


@pytest.fixture(scope="module")
def crossing_choice() -> auto.Choice:
    return choose(head_stacks(*CROSSING))


def test_two_contrasts_in_crossing_planes_are_guided_and_the_reason_names_what_was_tried(crossing_choice):
    assert crossing_choice.method in ("guided", "prior")
    assert crossing_choice.reason.startswith(
        f"chosen by the error on hidden slices: {crossing_choice.method} "
    )
    assert "tried" in crossing_choice.reason and "cubic" in crossing_choice.reason
    assert {row["method"] for row in crossing_choice.candidates} == {"cubic", "tv", "guided", "prior"}


def test_the_self_check_tells_the_error_beside_that_of_interpolation(crossing_choice):
    check = crossing_choice.self_check
    assert check["hidden_slices"] == 6 and set(check["error"]) == {"T1", "T2"}
    for contrast in ("T1", "T2"):
        assert 0 < check["error"][contrast] < check["interpolation"][contrast] < 1
    percent = f"T1 {100 * check['error']['T1']:.1f} % of its range"
    assert check["text"].startswith("Self-check: 6 measured slices were hidden") and percent in check["text"]


def test_three_stacks_of_one_contrast_are_fused_by_total_variation():
    choice = choose(head_stacks(*THREE))
    assert choice.method == "tv" and set(choice.settings) == {"weight"}


def test_parallel_stacks_are_never_guided():
    choice = choose(head_stacks(("T1", "axial"), ("T2", "axial")))
    assert "guided" not in {row["method"] for row in choice.candidates}


@pytest.mark.parametrize(
    ("pairs", "settings"),
    [
        (THREE, {}),
        (THREE, {"noise": 0.05}),
        (THREE[:2], {"thickness": 3.0}),
        (THREE[:1], {}),
        ((("T1", "axial"), ("T2", "axial")), {}),
    ],
)
def test_the_choice_is_within_a_fifth_of_a_decibel_of_the_best_candidate(pairs, settings):
    case = head_stacks(*pairs, **settings)
    choice = choose(case)
    best = max(quality(case, row) for row in explained_by_noise(case, choice))
    assert quality(case, choice) > best - 0.2


def test_the_choice_for_a_crossing_pair_beats_all_other_candidates_with_a_sixth_of_its_training(
    crossing_choice,
):
    case = head_stacks(*CROSSING)
    rows = [row for row in explained_by_noise(case, crossing_choice) if row["method"] in ("cubic", "tv")]
    short = {**crossing_choice.settings, "steps": 150}
    chosen = replace(crossing_choice, settings=short)
    assert quality(case, chosen) > max(quality(case, row) for row in rows) + 1.3


def profiled_stacks(profile: str) -> list[Stack]:
    """Three planes of band-limited waves, 4 mm from slice to slice, seen through `profile`."""
    waves = Waves.random(seed=8, finest=9.0)
    found = []
    for n, mm in (((44, 44, 11), (1, 1, 4)), ((44, 11, 44), (1, 4, 1)), ((11, 44, 44), (4, 1, 1))):
        where = grid(n, mm)
        axis = int(where.spacing.argmax())
        if profile == "gaussian":  # damps a wave of frequency f by exp(-2 (pi sigma f)^2)
            along = waves.frequencies @ where.directions[:, axis]
            damping = np.exp(-2 * (np.pi * 4.0 / 2.3548 * along) ** 2)
            seen = Waves(waves.frequencies, waves.amplitudes * damping, waves.phases, waves.offset)
            voxels = seen.image(where)
        else:
            voxels = waves.image(where, 4.0 if profile == "box" else 0.0, axis)
        rng = np.random.default_rng(axis)
        voxels = voxels + rng.normal(0, 0.5, where.shape)
        name = f"{profile} {axis}"
        found.append(Stack(Volume(voxels, where.affine, name, {"thickness": 4.0}), "T1", axis))
    return found


@pytest.mark.parametrize("profile", ["box", "gaussian", "point"])
def test_three_stacks_tell_their_slice_profile(profile):
    assert choose(profiled_stacks(profile)).profile == profile


def test_a_profile_that_the_person_names_is_not_questioned():
    choice = choose(profiled_stacks("point"), "gaussian")
    assert choice.profile == "gaussian"
    assert {row["profile"] for row in choice.candidates} == {"gaussian"}


def test_stacks_of_too_few_slices_get_a_method_and_no_self_check():
    case = [
        Stack(Volume(s.volume.voxels[:, :, :3], s.volume.affine, "few", s.volume.meta), s.contrast, 2)
        for s in head_stacks(("T1", "axial"))
    ]
    choice = choose(case)
    assert choice.method == "tv" and "too few slices" in choice.reason
    assert choice.self_check["hidden_slices"] == 0 and "not possible" in choice.self_check["text"]


def test_a_method_asked_for_is_checked_on_hidden_slices_too():
    problem = problem_of(head_stacks(*THREE))
    choice = auto.fixed(problem, Context(), "tv", "auto", {"weight": 5e-3})
    assert (choice.method, choice.settings, choice.reason) == ("tv", {"weight": 5e-3}, "asked for")
    assert choice.self_check["error"]["T1"] < choice.self_check["interpolation"]["T1"]
    by_cubic = auto.fixed(problem, Context(), "cubic", "auto", {}).self_check
    assert by_cubic["error"] == by_cubic["interpolation"] == choice.self_check["interpolation"]


def test_a_weight_that_the_person_leaves_open_follows_the_noise():
    weights = []
    for noise in (0.01, 0.04):
        problem = problem_of(head_stacks(*THREE, shape=(32, 32, 32), noise=noise))
        asked = auto.fixed(problem, Context(), "tv", "auto", {}).settings
        assert ("tv", asked) == auto.candidates(problem, auto.noise(problem))[0]
        weights.append(asked["weight"])
    assert weights[1] > 2 * weights[0]


def test_candidates_are_scored_alike_whatever_the_scale_of_a_contrast():
    a, b = ({"error": {"T1": 0.1, "T2": 0.2}}, {"error": {"T1": 0.2, "T2": 0.1}})
    assert score(a) == pytest.approx(score(b)) == pytest.approx(np.sqrt(0.02))


def row(method: str, weight: float, error: float) -> dict:
    return {"method": method, "settings": {"weight": weight}, "error": {"T1": error}}


@pytest.mark.parametrize(
    ("errors", "chosen"),
    [
        ((0.0500, 0.0305, 0.0300, 0.0900), 0.002),  # the stronger of two that are about as good
        ((0.0500, 0.0320, 0.0300, 0.0900), 0.0005),
        ((0.0500, 0.0302, 0.0305, 0.0300), 0.002),  # the one against mismatch never wins by tolerance
        ((0.0500, 0.0420, 0.0400, 0.0300), 0.024),  # it must be better than the others of its method
        ((0.0299, 0.0420, 0.0400, 0.0300), 0.0),  # and than every other method
    ],
)
def test_the_strongest_weight_that_is_about_as_good_wins_unless_stacks_contradict_each_other(errors, chosen):
    rows = [row("cubic", 0.0, errors[0])]
    rows += [row("tv", w, e) for w, e in zip((0.002, 0.0005, 0.024), errors[1:], strict=True)]
    assert auto.preferred(rows)["settings"]["weight"] == chosen


def test_one_weight_against_mismatch_is_tried_after_those_that_the_noise_explains():
    problem = problem_of(head_stacks(*THREE[:2], shape=(32, 32, 32)))
    sigma = auto.noise(problem)
    own, *weaker, against_mismatch = (s["weight"] for _, s in auto.candidates(problem, sigma))
    assert own == pytest.approx(auto.noise_weight("tv", problem, sigma), rel=0.05)
    assert max(weaker) < own < against_mismatch / 6


@pytest.mark.parametrize("after", [2, 40])
def test_cancel_works_while_candidates_are_tried(after):
    asked = []

    def cancelled() -> bool:
        asked.append(True)
        return len(asked) > after

    with pytest.raises(Cancelled):
        auto.choose(
            problem_of(head_stacks(*CROSSING, shape=(32, 32, 32))), Context(cancelled=cancelled), "auto"
        )
    assert len(asked) == after + 1


def test_interpolation_is_the_floor_of_the_self_check():
    problem = problem_of(head_stacks(*THREE))
    trial = hidden.hide(hidden.central_block(problem, "box"))
    floor = trial.errors(cubic.solve(trial.problem, Context()).volumes)
    assert auto.choose(problem, Context(), "auto").self_check["interpolation"] == floor
