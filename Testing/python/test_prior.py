"""The learned prior: what it is told, what it may change, and that it can be left out."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from model_folders import CARD, FACTS
from phantoms import grid, random_directions
from simulated_head import label_map
from superres_cases import head_psnr, head_stacks, problem_of

from mrinr import bundles
from mrinr.context import Context
from mrinr.errors import Cancelled, InputError
from mrinr.geometry import Grid
from mrinr.superres import auto, cubic, guided, hidden, prior, reconstruct, tv
from mrinr.superres.guess import Guess, Sampling, views
from mrinr.superres.prior_network import CUT, PlanePrior
from mrinr.training.prior_planes import AROUND, Cut, PriorPlanes, planes
from mrinr.volume import Stack, Volume, write

CROSSING = (("T1", "axial"), ("T2", "coronal"))


@pytest.fixture
def network() -> PlanePrior:
    torch.manual_seed(0)
    made = PlanePrior(8, 8, 2)
    torch.nn.init.normal_(made.last.weight, std=0.05)
    return made.eval()


# what the network is told --------------------------------------------------------------------------------


def test_the_distance_to_the_nearest_slice_is_the_one_in_the_world():
    rng = np.random.default_rng(4)
    directions = random_directions(rng)
    where = grid((20, 18, 16), (1.0, 1.0, 1.0), directions)
    stack_grid = grid((18, 16, 5), (1.1, 1.2, 4.0), directions[:, [1, 2, 0]], centre=(0.3, -0.4, 0.2))
    stack = Stack(Volume(rng.random(stack_grid.shape, np.float32), stack_grid.affine, "a"), "T1", 2, 3.0)
    problem = problem_of((stack,), where)
    told = Sampling(problem, "T1").told((0, 1, 2), (slice(0, 20), slice(0, 18), slice(0, 16)))
    normal = stack_grid.directions[:, 2]
    points = where.world(np.moveaxis(np.indices(where.shape), 0, -1))
    centres = [stack_grid.world(np.array([0, 0, n])) for n in range(5)]
    nearest = np.min([np.abs((points - c) @ normal) for c in centres], axis=0)
    np.testing.assert_allclose(4 * told[:, 0].numpy(), nearest, atol=1e-3)
    np.testing.assert_allclose(8 * told[0, 1:, 0, 0].numpy(), [4.0, 3.0], atol=1e-5)


def test_a_hidden_slice_is_further_away():
    problem = problem_of(head_stacks(*CROSSING))
    whole = tuple(slice(0, n) for n in problem.grid.shape)
    trial = hidden.hide(problem).problem
    before, after = (Sampling(p, "T1").told((0, 1, 2), whole)[:, 0] for p in (problem, trial))
    assert 4 * before.max() <= 2.5 < 3 < 4 * after.max()
    assert (after >= before).all()


def test_every_contrast_is_seen_with_the_guides_that_are_fine_where_it_is_thick():
    seen = views(problem_of(head_stacks(*CROSSING)))
    assert [(v.contrast, v.guides, v.rows, v.columns) for v in seen] == [
        ("T1", ("T2",), 2, 1),
        ("T2", ("T1",), 1, 2),
    ]
    alone = views(problem_of(head_stacks(("T1", "axial"))))
    assert [(v.guides, v.rows, v.columns) for v in alone] == [((), 2, 0), ((), 2, 1)]
    three = views(problem_of(head_stacks(("T1", "axial"), ("T1", "coronal"), ("T2", "sagittal"))))
    assert [(v.contrast, v.guides, v.columns) for v in three] == [("T2", ("T1",), 1), ("T2", ("T1",), 2)]


# the network ---------------------------------------------------------------------------------------------


def test_the_order_of_guides_does_not_matter(network):
    rng = torch.Generator().manual_seed(1)
    target, guides = torch.rand(2, 1, 13, 18, generator=rng), torch.rand(2, 3, 13, 18, generator=rng)
    own, cuts = torch.rand(2, CUT, 13, 1, generator=rng), torch.rand(2, 3, CUT, 1, 18, generator=rng)
    first = network(target, own, guides, cuts)
    for order in itertools.permutations(range(3)):
        other = network(target, own, guides[:, order], cuts[:, order])
        torch.testing.assert_close(first, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(8, 8), (9, 12), (12, 9), (7, 5)])
def test_planes_of_any_size_and_no_guides(network, shape):
    target, none = torch.rand(1, 1, *shape), torch.zeros(1, 0, *shape)
    cuts = torch.zeros(1, 0, CUT, 1, shape[1])
    assert network(target, torch.zeros(1, CUT, shape[0], 1), none, cuts).shape == target.shape


def test_what_has_learned_nothing_changes_nothing():
    problem = problem_of(head_stacks(*CROSSING))
    base = cubic.solve(problem, Context()).volumes
    for contrast, volume in Guess(problem, PlanePrior(8, 8, 1).eval()).volumes(base, base, Context()).items():
        torch.testing.assert_close(volume, base[contrast], rtol=0, atol=1e-6)


def test_a_mirrored_problem_has_the_mirrored_planes(network):
    """Planes are worked on one by one, so that turning their order around changes nothing else."""
    stacks = head_stacks(*CROSSING)
    problem = problem_of(stacks)
    base = cubic.solve(problem, Context()).volumes
    found = Guess(problem, network).volumes(base, base, Context())["T1"]
    affine = problem.grid.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (problem.grid.shape[0] - 1)
    affine[:3, 0] *= -1
    flipped = problem_of(stacks, Grid(problem.grid.shape, affine))
    again = cubic.solve(flipped, Context()).volumes
    other = Guess(flipped, network).volumes(again, again, Context())["T1"]
    torch.testing.assert_close(other.flip(0), found, rtol=0, atol=1e-4)


# the planes it is trained with ---------------------------------------------------------------------------


def test_a_cut_axis_loses_what_its_slices_average():
    """A wave, whose mean over a slice is known."""
    rng = np.random.default_rng(3)
    drawn = Cut(40, rng)
    gap, thickness = (8 * drawn.told[n, 0] for n in (1, 2))
    smooth = np.cos(np.arange(40) / 6.0)[:, None].repeat(3, 1) + 2
    drawn.noise = 0.0
    thick = drawn.applied(smooth, rng)
    assert thick.shape == smooth.shape
    inner = slice(int(gap), 40 - int(gap))
    damping = np.sinc(thickness / (2 * np.pi * 6.0))  # of that wave by a box
    expected = (smooth - 2)[inner] * damping + 2
    assert np.abs(thick[inner] - expected).max() < 0.25
    assert 4 * drawn.told[0].max() <= 2 * gap


@pytest.fixture(scope="module")
def maps(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("maps")
    write(label_map(), folder / "head_1.nii.gz")
    return [folder / "head_1.nii.gz"]


def test_planes_say_what_they_show(maps):
    stream = iter(PriorPlanes(maps, (), size=(48, 40), batch=2, seed=3))
    counts = set()
    for _ in range(12):
        batch = next(stream)
        guides = batch.guides.shape[1]
        counts.add(guides)
        assert batch.target.shape == batch.truth.shape == batch.brain.shape == (2, 1, 48, 40)
        assert batch.target_cut.shape == (2, CUT, 48, 1)
        assert batch.guides.shape == (2, guides, 48, 40) and batch.guides_cut.shape == (2, guides, CUT, 1, 40)
        assert all(torch.isfinite(x).all() for x in vars(batch).values())
    assert len(counts) > 1


def test_the_same_seed_gives_the_same_planes(maps):
    one, two = (next(iter(PriorPlanes(maps, (), size=(32, 32), batch=2, seed=5))) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(vars(one).values(), vars(two).values(), strict=True))


def test_the_target_is_blurred_along_its_rows_only():
    stripes = np.tile(0.5 + 0.4 * np.sign(np.sin(np.arange(64) * 2.0)), (64, 1))  # change along columns
    along = planes(np.stack([stripes]), np.random.default_rng(8))
    across = planes(np.stack([stripes.T]), np.random.default_rng(8))
    lost = [float(np.abs(x[0] - x[4]).mean()) for x in (along, across)]
    assert lost[1] > 3 * lost[0]
    assert along[0].shape == (1, 64 - 2 * AROUND, 64 - 2 * AROUND)


# as a method ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pairs", [(("T1", "axial"),), (("T1", "axial"), ("T2", "axial"))])
def test_the_prior_that_ships_helps_where_nothing_else_can(pairs):
    case = head_stacks(*pairs)
    problem = problem_of(case)
    solution = prior.solve(problem, Context())
    by_prior = head_psnr(solution.volumes, case, problem.grid)
    by_tv = head_psnr(tv.solve(problem, Context()).volumes, case, problem.grid)
    assert by_prior["T1"] > by_tv["T1"] + 0.4
    assert solution.moved["T1"].abs().max() > 0.05
    assert solution.notes["prior"]["model"] == "sr-prior"


def test_thin_slices_are_a_guide_and_nothing_to_be_sharpened():
    """A 3D scan beside thick slices of the same orientation, as most protocols have it."""
    case = (*head_stacks(("T1", "axial"), thickness=1.0), *head_stacks(("T2", "axial")))
    problem = problem_of(case)
    assert [(v.contrast, v.guides) for v in views(problem)] == [("T2", ("T1",)), ("T2", ("T1",))]
    assert [p.contrast for p in guided.plan(problem)] == ["T2"]


def test_with_a_guide_it_is_no_worse_than_the_patient_alone():
    case = head_stacks(*CROSSING)
    problem, short = problem_of(case), {"steps": 150, "rounds": 1}
    by_prior = head_psnr(prior.solve(problem, Context(), **short).volumes, case, problem.grid)
    by_guide = head_psnr(guided.solve(problem, Context(), **short).volumes, case, problem.grid)
    for contrast in by_guide:
        assert by_prior[contrast] > by_guide[contrast] - 0.3


def test_what_was_measured_has_the_last_word_here_too(network, tmp_path):
    """Whatever a prior has learned: noise, here."""
    folder = bundles.save(
        tmp_path / "wild", network, "prior", {"width": 8, "deep": 8, "blocks": 2}, FACTS, CARD
    )
    problem = problem_of(head_stacks(*CROSSING))
    solution = prior.solve(problem, Context(), steps=20, rounds=1, model=str(folder.folder))
    for o in problem.observations:
        residual = (o.operator.forward(solution.volumes[o.contrast]) - o.values) * o.weight
        assert residual.abs().median() < 0.03


def test_auto_never_takes_it_when_told_not_to():
    alone, crossing = (head_stacks(*views, shape=(40, 40, 40)) for views in (CROSSING[:1], CROSSING))
    for stacks in (alone, crossing):
        with_it, without = (
            {method for method, _ in auto.candidates(problem_of(stacks), 0.01, allowed)}
            for allowed in (True, False)
        )
        assert with_it - without == {"prior"}
    stacks = alone  # the others take a minute
    report = reconstruct(list(stacks), register="off", prior=False).report
    assert report["method"] != "prior" and report["requested"]["prior"] is False
    assert all(row["method"] != "prior" for row in report["candidates"])


def test_it_is_said_where_only_other_people_support_the_result():
    said: list[str] = []
    alone, crossing = head_stacks(("T1", "axial")), head_stacks(*CROSSING)
    for stacks in (alone, crossing):
        context = Context(on_warning=said.append)
        reconstruct(list(stacks), method="prior", register="off", steps=20, rounds=1, context=context)
        if stacks is alone:
            assert any("learned from other people" in sentence for sentence in said)
            said.clear()
    assert not any("learned from other people" in sentence for sentence in said)


def test_asking_for_the_prior_and_forbidding_it_is_one_sentence():
    with pytest.raises(InputError, match="learned prior"):
        reconstruct(list(head_stacks(*CROSSING)), method="prior", prior=False)


def test_a_model_of_another_kind_is_refused():
    with pytest.raises(InputError, match="sharpens no slices"):
        prior.find("brain-compact")


def test_cancel_is_noticed(network):
    problem = problem_of(head_stacks(*CROSSING))
    base = cubic.solve(problem, Context()).volumes
    context = Context(cancelled=lambda: True)
    with pytest.raises(Cancelled):
        Guess(problem, network).volumes(base, base, context)
