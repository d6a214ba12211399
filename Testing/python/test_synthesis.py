"""Synthesis: geometry, scale, any subset of inputs, the brain, the interval, what is said of the result."""

from __future__ import annotations

import numpy as np
import pytest
import small_models
import torch
from scipy.ndimage import binary_fill_holes

from mrinr import bundles
from mrinr.context import Context
from mrinr.errors import Cancelled, InputError
from mrinr.geometry import Grid
from mrinr.provenance import ENHANCEMENT
from mrinr.simulation import rotation
from mrinr.synthesis import synthesize
from mrinr.synthesis.calibration import calibrate, calibrated
from mrinr.synthesis.multimodal import Multimodal, fuse, moved_by
from mrinr.synthesis.place import places
from mrinr.synthesis.space import onto, working_grid
from mrinr.volume import Volume

SHAPE = (84, 92, 40)
PLAIN = small_models.centred(np.eye(3), (1.0, 1.0, 2.0), SHAPE)


@pytest.fixture(scope="module")
def shelf(made_once):
    return made_once("small_models", small_models.make)


@pytest.fixture(autouse=True)
def models(shelf, monkeypatch):
    monkeypatch.setenv(small_models.SHELF, str(shelf))
    monkeypatch.setattr(bundles, "_shipped_folders", small_models.on_the_shelf)


def head(name: str, affine: np.ndarray = PLAIN, shape: tuple[int, ...] = SHAPE) -> Volume:
    return small_models.head(name, affine, shape)


def made(inputs: dict[str, Volume], target: str = "FLAIR", **options):
    return synthesize(inputs, target, register="off", device="cpu", threads=1, **options)


# geometry ------------------------------------------------------------------------------------------------


def grids() -> dict[str, Grid]:
    """Oblique, left-handed, permuted and anisotropic."""
    turned = rotation((14, -9, 20), (3, -7, 11))
    coronal = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float)
    lps = np.diag([-1.0, -1.0, 1.0])
    return {
        "plain": Grid(SHAPE, PLAIN),
        "oblique": Grid(SHAPE, turned @ PLAIN),
        "left-handed": Grid(SHAPE, small_models.centred(np.diag([-1.0, 1, 1]), (1.0, 1.0, 2.0), SHAPE)),
        "LPS": Grid(SHAPE, small_models.centred(lps, (1.0, 1.0, 2.0), SHAPE)),
        "coronal": Grid((84, 44, 46), small_models.centred(coronal, (1.0, 2.0, 2.0), (84, 44, 46))),
        "fine": Grid((160, 180, 30), small_models.centred(np.eye(3), (0.5, 0.5, 3.0), (160, 180, 30))),
    }


@pytest.mark.parametrize("name", grids())
def test_the_working_space_runs_along_r_a_s_over_the_same_field_of_view(name):
    grid = grids()[name]
    work = working_grid(grid)
    assert (np.abs(work.directions).argmax(0) == [0, 1, 2]).all()
    assert (np.diag(work.directions) > 0).all()
    assert (work.spacing[:2] >= 0.85 - 1e-6).all() and (work.spacing[:2] <= 2.0 + 1e-6).all()
    middle = [g.world((np.array(g.shape) - 1) / 2) for g in (grid, work)]
    np.testing.assert_allclose(*middle, atol=0.5)


@pytest.mark.parametrize("name", grids())
def test_a_ramp_in_the_world_stays_where_it_is_there_and_back(name):
    grid = grids()[name]

    def ramp(on: Grid) -> np.ndarray:
        index = np.moveaxis(np.indices(on.shape), 0, -1)
        return on.world(index) @ [0.7, -0.4, 1.1] + 300

    work = working_grid(grid)
    there = onto(Volume(ramp(grid), grid.affine), work)
    inner = np.s_[6:-6, 6:-6, 4:-4]
    np.testing.assert_allclose(there[inner], ramp(work)[inner], atol=0.02)
    back = onto(Volume(there, work.affine), grid)
    np.testing.assert_allclose(back[inner], ramp(grid)[inner], atol=0.02)


def test_a_patient_who_lies_elsewhere_gets_the_same_voxels():
    turn = rotation((5, -8, 12), (20, -30, 40))
    here = made({name: head(name) for name in ("T1", "T2")})
    elsewhere = made({name: head(name).moved(turn) for name in ("T1", "T2")})
    np.testing.assert_allclose(elsewhere.volume.affine, turn @ here.volume.affine, atol=1e-6)
    np.testing.assert_allclose(elsewhere.volume.voxels, here.volume.voxels, rtol=1e-3, atol=0.05)


@pytest.mark.parametrize("order", [(0, 2, 1), (2, 1, 0), (1, 2, 0)])
def test_voxels_stored_in_another_order_give_the_same_image_in_the_world(order):
    swap, flips = np.zeros((4, 4)), np.array([1, -1, -1])
    for new, old in enumerate(order):
        swap[old, new] = flips[new]
        swap[old, 3] += (SHAPE[old] - 1) * (flips[new] < 0)
    swap[3, 3] = 1

    def stored(volume: Volume) -> Volume:
        voxels = volume.voxels.transpose(order)[:: flips[0], :: flips[1], :: flips[2]]
        return Volume(np.ascontiguousarray(voxels), volume.affine @ swap, volume.name)

    plain = made({name: head(name) for name in ("T1", "T2")})
    other = made({name: stored(head(name)) for name in ("T1", "T2")})
    np.testing.assert_allclose(other.volume.voxels, stored(plain.volume).voxels, rtol=1e-3, atol=0.05)
    np.testing.assert_allclose(
        other.uncertainty.voxels, stored(plain.uncertainty).voxels, rtol=1e-2, atol=0.1
    )


def test_the_result_lies_on_the_grid_of_the_chosen_input():
    coarse = (44, 48, 42)
    inputs = {
        "T1": head("T1"),
        "T2": head("T2", small_models.centred(np.diag([-1.0, 1, 1]), 2.0, coarse), coarse),
    }
    for name in inputs:
        found = made(inputs, like=name)
        for volume in (
            found.volume,
            found.uncertainty,
            found.brain,
            found.disagreement,
            *found.checks.values(),
        ):
            assert volume.grid.same_as(inputs[name].grid)
        # fluid lies to the patient's right in the head, so it does in the image
        index = np.moveaxis(np.indices(found.volume.voxels.shape), 0, -1)
        world = found.volume.grid.world(index)
        aside = np.array([6, 0, 0])
        fluid = np.linalg.norm((world - aside) / (4, 9, 6), axis=-1) < 0.8
        mirrored = np.linalg.norm((world + aside) / (4, 9, 6), axis=-1) < 0.8
        assert found.volume.voxels[fluid].mean() < found.volume.voxels[mirrored].mean()


def test_inputs_that_share_no_space_are_refused():
    away = head("T2").moved(rotation((0, 0, 0), (500, 0, 0)))
    with pytest.raises(InputError, match="T2 does not overlap T1"):
        made({"T1": head("T1"), "T2": away})


# scale and subsets ---------------------------------------------------------------------------------------


def test_the_gain_of_the_scanner_comes_through_to_the_result():
    once = made({name: head(name) for name in ("T1", "T2")})
    louder = made({name: head(name).with_voxels(head(name).voxels * 37.0) for name in ("T1", "T2")})
    np.testing.assert_allclose(louder.volume.voxels, 37 * once.volume.voxels, rtol=1e-3, atol=1)


def test_the_result_has_the_brightness_that_the_models_levels_say():
    """The network's own unit is the brain's median: the inputs' levels say what that is at their gain."""
    found = made({"T1": head("T1"), "T2": head("T2")})
    levels = bundles.find("multimodal-compact").facts["normalisation"]["levels"]
    bright = dict(zip(levels["names"], np.exp(levels["mean"]), strict=True))
    brain = found.brain.voxels > 0
    from_each = [
        np.median(head(name).voxels[brain]) * bright["FLAIR"] / bright[name] for name in ("T1", "T2")
    ]
    assert np.median(found.volume.voxels[brain]) == pytest.approx(np.sqrt(np.prod(from_each)), rel=0.2)


@pytest.mark.parametrize("names", [("T1",), ("T2",), ("T2", "T1"), ("T1", "T2", "PD")])
def test_any_subset_of_the_inputs_will_do(names):
    found = made({name: head(name if name != "PD" else "T1") for name in names})
    assert found.volume.voxels.max() > 0 and np.isfinite(found.volume.voxels).all()
    assert (found.disagreement is None) == (len(names) == 1)
    assert set(found.checks) == (set(names) if len(names) > 1 else set())
    assert set(found.report["inputs"]) == set(names)
    assert (found.uncertainty.voxels >= 0).all()


def test_the_brain_is_found_and_the_scalp_is_not():
    found = made({"T1": head("T1")}).brain.voxels > 0
    truth = small_models.head("brain", PLAIN, SHAPE, noise=0).voxels > 0.5
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.9


def test_of_a_stripped_scan_the_brain_is_what_is_left_and_of_masked_air_it_is_not():
    scan = head("T1")
    brain = small_models.head("brain", PLAIN, SHAPE, noise=0).voxels > 0.5
    stripped = scan.with_voxels(np.maximum(scan.voxels, 1) * brain)
    found = made({"T1": stripped}).brain.voxels > 0
    np.testing.assert_array_equal(found, binary_fill_holes(brain))
    lit = small_models.head("T1", PLAIN, SHAPE, noise=0).voxels > 0.5
    found = made({"T1": scan.with_voxels(np.maximum(scan.voxels, 1) * lit)}).brain.voxels > 0
    assert 2 * (found & brain).sum() / (found.sum() + brain.sum()) > 0.9


def test_the_result_names_the_scans_that_it_was_fitted_to():
    assert made({"T2": head("T2"), "T1": head("T1")}).report["settings"]["fitted_to"] == ["T2", "T1"]


def test_where_there_is_no_brain_a_sentence_says_so():
    noise = np.random.default_rng(0).random(SHAPE)
    noise[:, :, ::2] = 0
    with pytest.raises(InputError, match=r"No brain was found|is dark in more than half"):
        made({"T1": Volume(noise * (np.indices(SHAPE)[0] < 6), PLAIN, "noise")})


@pytest.mark.parametrize(
    ("inputs", "target", "options", "words"),
    [
        ((), "FLAIR", {}, "No input was given"),
        (("T1",), "T1", {}, "both an input and the target"),
        (("T1",), "CT", {}, "'CT' is not known"),
        (("CT",), "T1", {}, "'CT' is not known"),
        (("T1",), "FLAIR", {"like": "T2"}, "'T2' is no input"),
        (("T1",), "FLAIR", {"model": "no-such-model"}, "no model 'no-such-model'"),
        (("T1",), "FLAIR", {"model": "brain-compact"}, "only looks at inputs"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(inputs, target, options, words):
    with pytest.raises(InputError, match=words):
        made({name: head("T1") for name in inputs}, target, **options)


def test_the_same_seed_gives_the_same_volume():
    inputs = {"T1": head("T1"), "T2": head("T2")}
    np.testing.assert_array_equal(made(inputs).volume.voxels, made(inputs).volume.voxels)


def test_cancel_stops_it():
    with pytest.raises(Cancelled):
        made({"T1": head("T1")}, context=Context(cancelled=lambda: True))


def test_previews_grow_from_below(monkeypatch):
    monkeypatch.setattr("mrinr.synthesis.pipeline.PREVIEW_EVERY", 0.0)
    seen: list[Volume] = []
    made({"T1": head("T1")}, context=Context(on_preview=seen.append))
    filled = [int((v.voxels.max((0, 1)) > 0).sum()) for v in seen]
    assert len(filled) > 2 and filled == sorted(filled)


def test_t1ce_always_says_that_enhancement_cannot_be_inferred():
    assert ENHANCEMENT in made({"T1": head("T1")}, "T1ce").report["notice"]
    assert "SYNTHETIC" in made({"T1": head("T1")}).report["notice"]


def test_the_self_check_predicts_each_input_from_the_others():
    report = made({"T1": head("T1"), "T2": head("T2")}).report["self_check"]
    assert set(report["errors"]) == {"T1", "T2"}
    assert "T1" in report["text"] and "%" in report["text"]
    assert made({"T1": head("T1")}).report["self_check"]["errors"] == {}


# parts ---------------------------------------------------------------------------------------------------


def test_the_transformer_finds_how_an_image_was_moved_and_a_motion_has_an_inverse():
    network = Multimodal(["T1", "T2"], ["FLAIR"], 2, 2, 2)
    noise = torch.rand(2, 2, 96, 96, generator=torch.Generator().manual_seed(0))
    latent = torch.nn.functional.avg_pool2d(noise, 7, 1, 3)
    wanted = torch.tensor([[0.0, 4.0, -2.0], [0.0, 0.0, 0.0]])
    with torch.no_grad():  # even untrained: it matches what it sees
        found = network.transformer(latent, moved_by(latent, -wanted))
        nothing = network.transformer(latent, torch.zeros_like(latent))
    torch.testing.assert_close(found, wanted, atol=2.0, rtol=0)
    torch.testing.assert_close(nothing, torch.zeros(2, 3), atol=1e-4, rtol=0)
    # against numbers that a person can check: a shift of 3 rows and -2 columns, and a quarter turn
    x = torch.arange(20.0)[:, None] * 100 + torch.arange(24.0)
    moved = moved_by(x[None, None], torch.tensor([[0.0, 3.0, -2.0]]))[0, 0]
    torch.testing.assert_close(moved[:17, 2:], x[3:, :22], atol=2e-2, rtol=0)
    square = torch.rand(1, 1, 16, 16)
    turned = moved_by(square, torch.tensor([[np.pi / 2, 0.0, 0.0]]))
    torch.testing.assert_close(
        turned[0, 0, 1:-1, 1:-1], torch.rot90(square[0, 0], 1)[1:-1, 1:-1], atol=1e-4, rtol=0
    )


def test_where_two_inputs_show_the_same_is_known():
    torch.manual_seed(0)
    network = Multimodal(["T1", "T2"], ["FLAIR"], 2, 2, 4)
    first, other = (torch.nn.functional.avg_pool2d(torch.randn(1, 4, 192, 192), 5, 1, 2) for _ in range(2))
    half = first.clone()
    half[..., 96:] = other[..., 96:]
    with torch.no_grad():  # even untrained: it compares what it sees
        same, partly = (network.matches({"T1": first, "T2": x})["T2"] for x in (first.clone(), half))
    torch.testing.assert_close(same, torch.ones(1, 1, 192, 192))
    assert partly[..., :40].min() > 0.95 and partly[..., -40:].max() < 0.05


def test_an_input_that_lies_elsewhere_is_named_and_hardly_counts():
    t1, t2 = head("T1"), head("T2")
    elsewhere = t2.with_voxels(np.roll(t2.voxels, (30, 34), (0, 1)))
    told, quiet = Context(), Context()
    found = made({"T1": t1, "T2": elsewhere}, context=told)
    (said,) = (text for text in told.warnings if "hardly counts" in text)
    assert said.startswith("T2 (") and said in found.report["warnings"]
    fine = made({"T1": t1, "T2": t2}, context=quiet)
    assert not [text for text in quiet.warnings if "hardly counts" in text]
    alone, brain = made({"T1": t1}).volume.voxels, fine.brain.voxels > 0
    off = np.abs(found.volume.voxels - alone)[brain].mean() / alone[brain].mean()
    assert off < 0.15


def test_fusion_takes_the_largest_value_of_each_voxel():
    a, b = torch.rand(2, 3, 4, 4).chunk(2)
    torch.testing.assert_close(fuse({"T1": a, "T2": b}), torch.maximum(a, b))


def test_places_mean_the_same_in_every_crop():
    low, high = np.array([10.0, 20.0]), np.array([110.0, 180.0])
    whole = places(np.arange(0, 120), np.arange(0, 200), low, high)
    part = places(np.arange(30, 60), np.arange(50, 90), low, high)
    np.testing.assert_allclose(part, whole[:, 30:60, 50:90])
    assert whole[0, 10, 0] == pytest.approx(-1) and whole[1, 0, 180] == pytest.approx(1)


def test_calibrated_intervals_hold_what_they_say_on_fresh_voxels():
    rng = np.random.default_rng(0)

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        spread = np.exp(rng.normal(-2, 0.7, count))
        raw = spread**1.4 * 3  # a network that is too sure where it is good and unsure where it is bad
        return raw, np.abs(rng.normal(0, spread))

    table = calibrate(*draw(200_000))
    raw, error = draw(200_000)
    half = calibrated(raw, table)
    assert (error <= half).mean() == pytest.approx(0.9, abs=0.01)
    for part in np.array_split(np.argsort(raw), 4):  # and so for small and large ones
        assert (error[part] <= half[part]).mean() == pytest.approx(0.9, abs=0.03)
