"""The whole way from stacks to volumes: geometry, units, limits, maps, and sentences for what cannot work."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from phantoms import Waves, grid, random_directions, wave_stack
from superres_cases import head_quality, head_stacks

from mrinr.context import Context
from mrinr.errors import Cancelled, InputError
from mrinr.geometry import Grid
from mrinr.itk import resample
from mrinr.memory import affordable_bytes
from mrinr.simulation import rotation
from mrinr.superres import METHODS, estimate, reconstruct
from mrinr.superres.estimate import fitting_grid, needed_bytes
from mrinr.superres.pipeline import Options
from mrinr.volume import Stack, Volume

CROSSING = (("T1", "axial"), ("T2", "coronal"))
THREE = (("T1", "axial"), ("T1", "coronal"), ("T1", "sagittal"))
SMALL = {"shape": (32, 32, 32)}


def tv(stacks, **options):
    """The quickest method that uses everything, as the headers say."""
    return reconstruct(list(stacks), **{"method": "tv", "register": "off", **options})


def changed(stack: Stack, voxels=None, affine=None, name=None, axis=None) -> Stack:
    volume = stack.volume
    new = Volume(
        volume.voxels if voxels is None else voxels,
        volume.affine if affine is None else affine,
        name or volume.name,
        volume.meta,
    )
    return Stack(new, stack.contrast, stack.slice_axis if axis is None else axis, stack.thickness)


# geometry -----------------------------------------------------------------------------------------------


def stored_otherwise(stack: Stack, order: tuple[int, ...], flips: tuple[int, ...]) -> Stack:
    """The same slices with axes permuted and flipped: every voxel stays where it is."""
    voxels = stack.volume.voxels.transpose(order)
    affine = stack.volume.affine[:, [*order, 3]].copy()
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (voxels.shape[axis] - 1)
        affine[:3, axis] *= -1
        voxels = np.flip(voxels, axis)
    return changed(stack, voxels, affine, axis=order.index(stack.slice_axis))


def at_points(volume: Volume, points: np.ndarray) -> np.ndarray:
    index = (points - volume.affine[:3, 3]) @ np.linalg.inv(volume.affine[:3, :3]).T
    i, j, k = np.rint(index).astype(int).T
    assert np.abs(index - np.rint(index)).max() < 1e-3
    return volume.voxels[i, j, k]


# total variation looks at differences to the next voxel, so turning an axis round moves edges a little
@pytest.mark.parametrize(("method", "atol", "flipped"), [("cubic", 0.02, 0.02), ("tv", 0.05, 12.0)])
@pytest.mark.parametrize("oblique", [False, True])
def test_how_the_voxels_are_stored_changes_nothing_in_the_world(oblique, method, atol, flipped):
    turn = rotation((10, -20, 15)) if oblique else np.eye(4)
    planes = head_stacks(("T1", "axial"), ("T1", "coronal"), **SMALL)
    case = [changed(s, affine=turn @ s.volume.affine) for s in planes]
    plain = tv(case, method=method).volumes["T1"]
    points = plain.grid.world(np.random.default_rng(0).integers(0, 32, (300, 3)))
    storages = [(p, f) for f in ((), (0,), (1, 2), (0, 1, 2)) for p in permutations(range(3))]
    for order, flips in storages[1::4]:  # left-handed ones among them
        first = stored_otherwise(case[0], order, flips)
        volume = tv([first, stored_otherwise(case[1], order[::-1], (1,))], method=method).volumes["T1"]
        # it has the first stack's axes, whatever they are, and the same voxels in the world
        np.testing.assert_allclose(volume.grid.directions, first.volume.grid.directions, atol=1e-9)
        difference = np.abs(at_points(volume, points) - at_points(plain, points))
        assert difference.max() < (flipped if flips else atol) and difference.mean() < 1.0


def test_the_result_has_the_first_stacks_axes_and_field_of_view_at_the_finest_in_plane_spacing():
    rng = np.random.default_rng(3)
    directions = random_directions(rng)
    waves = Waves.random(finest=12.0)
    first = wave_stack(waves, grid((30, 32, 9), (1.2, 1.1, 4.0), directions, (5, -8, 20)), 4.0)
    second = wave_stack(waves, grid((40, 8, 40), (0.9, 4.0, 0.9), directions, (4, -7, 21)), 4.0, "T2")
    result = tv([first, second])
    for contrast in ("T1", "T2"):
        for volumes in (result.volumes, result.residuals, result.coverage):
            where = volumes[contrast].grid
            np.testing.assert_allclose(where.spacing, 0.9)
            np.testing.assert_allclose(where.directions, directions, atol=1e-9)
            np.testing.assert_allclose(where.corners().mean(0), (5, -8, 20), atol=1e-6)
            grown = np.array(where.shape) * 0.9 - np.array([36, 35.2, 36])
            assert (grown > -0.05).all() and (grown < 0.9).all()


def test_a_spacing_a_volume_or_a_box_decide_the_grid_if_given():
    case = head_stacks(*THREE, **SMALL)
    np.testing.assert_allclose(tv(case, spacing=1.6).volumes["T1"].spacing, 1.6)
    like = Volume(np.zeros((20, 10, 16)), grid((20, 10, 16), (1.5, 3.0, 2.0)).affine)
    assert tv(case, like=like).volumes["T1"].grid.same_as(like.grid)
    boxed = tv(case, roi=(-8, 8, -10, 6, -8, 9)).volumes["T1"]
    assert boxed.voxels.shape == (16, 16, 17)
    np.testing.assert_allclose(
        [boxed.grid.corners().min(0), boxed.grid.corners().max(0)], [(-8, -10, -8), (8, 6, 9)], atol=1e-9
    )


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 3.3), (0.9, 1.3, 4.7)])
def test_slices_need_not_be_a_whole_number_of_voxels_thick(spacing):
    waves = Waves.random(seed=1, finest=14.0)
    case = []
    for shift in range(3):
        mm = np.roll(spacing, shift)
        case.append(wave_stack(waves, grid(np.rint(40 / mm), mm), spacing[2]))
    result = tv(case, weight=5e-4).volumes["T1"]
    inner = (slice(5, -5),) * 3
    truth = waves.image(result.grid)
    assert np.abs(result.voxels - truth)[inner].max() < 0.15 * truth.std()


# intensities --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1000.0, 1e-3])
def test_results_come_back_in_the_units_of_the_stacks(factor):
    case = head_stacks(*CROSSING, **SMALL)
    plain = tv(case)
    scaled = tv([changed(s, voxels=s.volume.voxels * factor) for s in case])
    for kind in ("volumes", "residuals", "rescanned"):
        for name, volume in getattr(plain, kind).items():
            other = getattr(scaled, kind)[name].voxels
            np.testing.assert_allclose(other, factor * volume.voxels, atol=2e-4 * factor * 220)


def test_a_stack_scanned_with_another_gain_is_brought_to_the_first_ones():
    case = list(head_stacks(*THREE))
    plain = tv(case).volumes["T1"]
    louder = [case[0], changed(case[1], voxels=1.3 * case[1].volume.voxels), case[2]]
    result = tv(louder)
    quality = [head_quality(v.voxels, "T1", v.grid) for v in (plain, result.volumes["T1"])]
    assert quality[1] > quality[0] - 0.5
    # what the second scanner would see is in that scanner's units
    seen = result.rescanned[case[1].volume.name].voxels
    assert np.median(seen / np.maximum(louder[1].volume.voxels, 1)) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("settings", [{"method": "cubic"}, {"method": "tv", "weight": 3e-3}])
def test_magnitudes_stay_above_zero_and_at_most_a_tenth_above_the_brightest_voxel(settings):
    rng = np.random.default_rng(0)
    spikes = rng.random((32, 32, 8)) ** 8 * 500  # interpolation rings on these
    stack = Stack(Volume(spikes, np.diag([1.0, 1.0, 4.0, 1.0]), "spikes"), "T1")
    result = tv([stack], like=Volume(np.zeros((48, 48, 48)), np.diag([0.66, 0.66, 0.66, 1])), **settings)
    voxels = result.volumes["T1"].voxels
    numbers = result.report["contrasts"]["T1"]
    assert voxels.min() >= 0 and voxels.max() <= 1.1 * spikes.max() * (1 + 1e-6)
    assert numbers["limits"] == pytest.approx([0, 1.1 * spikes.max()], rel=1e-6)
    assert numbers["clipped_voxels"] > 0


def test_images_with_values_below_zero_keep_them():
    waves = Waves.random(finest=14.0)
    stack = wave_stack(waves, grid((32, 32, 8), (1, 1, 4)), 4.0)
    shifted = changed(stack, voxels=stack.volume.voxels - 100)
    voxels = tv([shifted]).volumes["T1"].voxels
    assert shifted.volume.voxels.min() < -10 and voxels.min() < -10


def test_a_lesion_in_one_contrast_only_is_neither_erased_nor_copied():
    """7 mm across, 40 of 220 brighter in T2, invisible in T1."""
    fine = grid((128, 128, 128), (0.5, 0.5, 0.5))
    world = fine.world(np.moveaxis(np.indices(fine.shape), 0, -1))
    inside = np.linalg.norm(world - np.array([-12.0, 4.0, 6.0]), axis=-1) < 3.5
    blocks = 40 * inside.reshape(64, 2, 16, 8, 64, 2).mean(axis=(1, 3, 5))
    t1, t2 = head_stacks(*CROSSING)
    healthy, ill = (
        reconstruct([t1, second], method="guided", register="off", steps=100, rounds=1).volumes
        for second in (t2, changed(t2, voxels=t2.volume.voxels + blocks))
    )
    lesion = resample(Volume(inside.astype(float), fine.affine), ill["T2"].grid).voxels > 0.99
    kept, copied = (float((ill[c].voxels - healthy[c].voxels)[lesion].mean()) for c in ("T2", "T1"))
    assert lesion.sum() > 60
    assert 0.75 * 40 < kept < 1.25 * 40
    assert abs(copied) < 0.1 * 40


# what comes with the volumes ----------------------------------------------------------------------------


def test_every_stack_is_rescanned_on_its_own_grid_and_resembles_what_was_acquired():
    case = head_stacks(*THREE)
    result = tv(case)
    assert list(result.rescanned) == [s.volume.name for s in case]
    for stack in case:
        again = result.rescanned[stack.volume.name]
        assert again.grid.same_as(stack.volume.grid)
        difference = np.abs(again.voxels - stack.volume.voxels)
        assert np.median(difference) < 5 and np.median(stack.volume.voxels) < 100


def test_the_residual_is_large_where_stacks_contradict_each_other():
    case = list(head_stacks(*THREE))
    voxels = case[1].volume.voxels.copy()
    voxels[40:48, :, 28:36] += 150  # only the coronal stack sees this
    agreed, torn = tv(case), tv([case[0], changed(case[1], voxels=voxels), case[2]])
    for result in (agreed, torn):
        residual = result.residuals["T1"].voxels
        assert residual.min() >= 0 and residual.max() < 220
    there = (slice(41, 47), slice(8, -8), slice(29, 35))
    assert torn.residuals["T1"].voxels[there].mean() > 5 * agreed.residuals["T1"].voxels[there].mean()
    elsewhere = (slice(8, 30), slice(8, -8), slice(8, 20))
    assert torn.residuals["T1"].voxels[elsewhere].mean() < 2 * agreed.residuals["T1"].voxels[elsewhere].mean()


@pytest.mark.parametrize("profile", ["box", "gaussian", "point"])
def test_the_residual_never_exceeds_the_largest_difference_and_is_never_negative(profile):
    case = head_stacks(*THREE[:2], **SMALL)
    result = tv(case, profile=profile)
    largest = max(np.abs(result.rescanned[s.volume.name].voxels - s.volume.voxels).max() for s in case)
    residual = result.residuals["T1"].voxels
    assert residual.min() >= 0 and residual.max() <= largest * 1.001


def test_coverage_counts_the_stacks_that_saw_a_voxel():
    axial, coronal = head_stacks(("T1", "axial"), ("T1", "coronal"))
    part = changed(
        coronal,
        voxels=coronal.volume.voxels[:, 4:12],
        affine=coronal.volume.grid.crop((0, 4, 0), (64, 12, 64)).affine,
    )
    result = tv([axial, part])
    coverage = result.coverage["T1"].voxels
    expected = np.ones((64, 64, 64))
    expected[:, 16:48] = 2  # 4-mm slices 4 to 11
    np.testing.assert_array_equal(coverage, expected)
    wide = tv([part, axial], like=Volume(np.zeros((70, 70, 70)), grid((70, 70, 70)).affine))
    assert (wide.coverage["T1"].voxels[:3] == 0).all()
    assert wide.report["contrasts"]["T1"]["unseen_fraction"] == pytest.approx(1 - (64 / 70) ** 3, abs=1e-3)


def test_another_spacing_needs_no_second_fit():
    case = head_stacks(*THREE)
    result = tv(case)
    finer = result.resample(0.5)["T1"]
    np.testing.assert_allclose(finer.spacing, 0.5)
    np.testing.assert_allclose(finer.grid.corners(), result.volumes["T1"].grid.corners(), atol=0.3)
    back = resample(finer, result.volumes["T1"].grid)
    inner = (slice(2, -2),) * 3
    assert np.abs(back.voxels - result.volumes["T1"].voxels)[inner].mean() < 3  # of 220
    for wrong in (0, -1, float("nan"), "fine"):
        with pytest.raises(InputError, match="spacing"):
            result.resample(wrong)


def test_the_report_tells_what_was_done():
    result = tv(head_stacks(*CROSSING, **SMALL), weight=2e-3, seed=4)
    report = result.report
    assert (report["method"], report["settings"], report["seed"]) == ("tv", {"weight": 2e-3}, 4)
    assert report["requested"]["method"] == "tv" and report["reason"] == "asked for"
    assert [s["name"] for s in report["stacks"]] == ["T1 axial", "T2 coronal"]
    assert [s["orientation"] for s in report["stacks"]] == ["axial", "coronal"]
    assert report["grid"]["shape"] == [32, 32, 32]
    assert report["self_check"]["text"].startswith("Self-check: ")
    for contrast in ("T1", "T2"):
        (numbers,) = report["contrasts"][contrast]["stacks"]
        assert 0 < numbers["median_residual"] < 2 * numbers["noise_sigma"]


# alignment ----------------------------------------------------------------------------------------------


def test_a_stack_that_moved_is_aligned_and_the_result_is_better_than_trusting_its_header():
    axial, coronal = head_stacks(("T1", "axial"), ("T1", "coronal"))
    moved = changed(coronal, affine=rotation((2, 1, -2), (2.0, 1.5, -1.5)) @ coronal.volume.affine)
    quality = {}
    for register in ("auto", "off"):
        result = reconstruct([axial, moved], method="tv", register=register)
        volume = result.volumes["T1"]
        quality[register] = head_quality(volume.voxels, "T1", volume.grid)
        assert volume.grid.same_as(tv([axial]).volumes["T1"].grid), "the first stack's space"
    assert quality["auto"] > quality["off"] + 1.0
    result = reconstruct([axial, moved], method="cubic")
    assert any("T1 coronal was moved by" in sentence for sentence in result.report["warnings"])
    assert not np.allclose(result.report["stacks"][1]["motion"], np.eye(4))


def test_a_stack_that_was_aligned_is_rescanned_where_its_header_says():
    """So that it lies over the original in the slice views."""
    axial, coronal = head_stacks(("T1", "axial"), ("T1", "coronal"))
    moved = changed(coronal, affine=rotation((0, 0, 3), (3.0, 0, 0)) @ coronal.volume.affine)
    result = reconstruct([axial, moved], method="tv")
    assert result.report["warnings"]
    again = result.rescanned[moved.volume.name]
    assert again.grid.same_as(moved.volume.grid)
    assert np.median(np.abs(again.voxels - moved.volume.voxels)) < 6


# while it runs ------------------------------------------------------------------------------------------


def test_progress_only_ever_grows_and_ends_at_one():
    seen: list[tuple[float, str]] = []
    context = Context(on_progress=lambda fraction, left, text: seen.append((fraction, text)))
    reconstruct(list(head_stacks(*THREE, **SMALL)), context=context)
    fractions = [f for f, _ in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert seen[-1][1] == "Done" and all(text for _, text in seen)


def test_previews_are_volumes_in_the_units_and_place_of_the_result():
    shown: list[Volume] = []
    # smooth enough that no voxel of the result is clipped
    result = tv(head_stacks(*CROSSING, **SMALL), weight=3e-3, context=Context(on_preview=shown.append))
    assert {v.name for v in shown} == {"T1 SR", "T2 SR"} and len(shown) > 4
    for volume in shown:
        assert volume.grid.same_as(result.volumes["T1"].grid)
    last = next(v for v in reversed(shown) if v.name == "T1 SR")
    np.testing.assert_allclose(last.voxels, result.volumes["T1"].voxels, atol=1e-2)


@pytest.mark.parametrize("after", [1, 5, 25, 80])
def test_cancel_works_at_any_time(after):
    asked = []

    def cancelled() -> bool:
        asked.append(True)
        return len(asked) > after

    with pytest.raises(Cancelled):
        reconstruct(list(head_stacks(*THREE, **SMALL)), context=Context(cancelled=cancelled))
    assert len(asked) <= after + 4


def test_the_same_seed_gives_the_same_voxels_in_any_process_state():
    case = list(head_stacks(*CROSSING, shape=(24, 24, 24)))
    settings = {"method": "guided", "register": "off", "steps": 10, "rounds": 1}
    first = reconstruct(case, seed=3, **settings)
    np.random.default_rng(0).random(10)
    again = reconstruct(case, seed=3, **settings)
    other = reconstruct(case, seed=4, **settings)
    np.testing.assert_array_equal(first.volumes["T1"].voxels, again.volumes["T1"].voxels)
    assert not np.array_equal(first.volumes["T1"].voxels, other.volumes["T1"].voxels)


# memory -------------------------------------------------------------------------------------------------


def large_stack(slices: int = 100) -> Stack:
    """A stack of 512 x 512 voxels of 0.5 mm and 2-mm slices that holds one voxel in memory."""
    voxels = np.broadcast_to(np.float32(1), (512, 512, slices))
    return Stack(Volume(voxels, np.diag([0.5, 0.5, 2.0, 1.0]), "large"), "T1")


@pytest.mark.parametrize("method", [m for m in METHODS if m != "auto"])
def test_a_grid_that_does_not_fit_is_made_coarser_with_a_warning_or_refused_with_a_way_out(method):
    stacks = [large_stack()]
    for copies in (1, 2, 4, 8, 16):  # contrasts, until it does not fit
        stacks = [Stack(stacks[0].volume, f"C{n}") for n in range(copies)]
        full = Grid((512, 512, 400), np.diag([0.5, 0.5, 0.5, 1.0]))
        if needed_bytes(method, full, stacks) > affordable_bytes():
            break
    context = Context()
    coarse = fitting_grid(stacks, Options(method), context)
    (warning,) = context.warnings
    assert coarse.spacing.min() > 0.5 and needed_bytes(method, coarse, stacks) <= affordable_bytes()
    assert f"{coarse.spacing[0]:g} mm" in warning and "region of interest" in warning
    with pytest.raises(InputError, match=r"choose a spacing of .* mm or a region of interest") as refusal:
        fitting_grid(stacks, Options(method, spacing=0.5), Context())
    assert f"spacing of {coarse.spacing[0]:g} mm" in str(refusal.value)
    boxed = fitting_grid(stacks, Options(method, spacing=0.5, roi=(60, 120, 60, 120, 60, 120)), Context())
    np.testing.assert_allclose(boxed.spacing, 0.5)


def test_the_estimate_grows_with_voxels_and_contrasts_and_is_a_line_for_people():
    one = estimate([large_stack(20)], "tv")
    two = estimate([large_stack(20), Stack(large_stack(20).volume, "T2")], "tv")
    coarse = estimate([large_stack(20)], "tv", spacing=1.0)
    assert coarse.seconds < one.seconds < two.seconds and coarse.bytes < one.bytes < two.bytes
    assert one.text.startswith("512 x 512 x 80 voxels of 0.5 mm, about ")


# what cannot work ---------------------------------------------------------------------------------------


def far_away() -> Stack:
    stack = head_stacks(("T2", "coronal"), **SMALL)[0]
    affine = stack.volume.affine.copy()
    affine[:3, 3] += 500
    return changed(stack, affine=affine, name="elsewhere")


MISTAKES = {
    "no stack": (list, {}, "No stack was given"),
    "the same stack twice": (lambda: head_stacks(THREE[0], **SMALL) * 2, {}, "was given twice"),
    "a stack of something else": (
        lambda: [*head_stacks(THREE[0], **SMALL), far_away()],
        {},
        "elsewhere does not overlap T1 axial",
    ),
    "an unknown method": (
        lambda: head_stacks(THREE[0], **SMALL),
        {"method": "magic"},
        "'magic' is not known",
    ),
    "an unknown profile": (
        lambda: head_stacks(THREE[0], **SMALL),
        {"profile": "sinc"},
        "'sinc' is not known",
    ),
    "an unknown alignment": (lambda: head_stacks(THREE[0], **SMALL), {"register": "yes"}, "auto or off"),
    "an unknown device": (lambda: head_stacks(THREE[0], **SMALL), {"device": "tpu"}, "'tpu' is not known"),
    "no threads": (lambda: head_stacks(THREE[0], **SMALL), {"threads": 0}, "at least 1"),
    "a spacing of nothing": (lambda: head_stacks(THREE[0], **SMALL), {"spacing": 0}, "spacing must be auto"),
    "a setting that the method has not": (
        lambda: head_stacks(THREE[0], **SMALL),
        {"weigth": 1e-3},
        "The method tv has no setting 'weigth'; it has weight, ",
    ),
    "a setting for auto": (
        lambda: head_stacks(THREE[0], **SMALL),
        {"method": "auto", "weight": 1e-3},
        "name a method to set weight",
    ),
    "a weight below zero": (lambda: head_stacks(THREE[0], **SMALL), {"weight": -1.0}, "weight of tv must be"),
    "half a step": (lambda: head_stacks(THREE[0], **SMALL), {"outer": 2.5}, "outer of tv must be a whole"),
    "an empty mask": (
        lambda: head_stacks(THREE[0], **SMALL),
        {"mask": Volume(np.zeros((8, 8, 8)), np.eye(4), "mine")},
        "The mask mine is empty",
    ),
    "a mask of somewhere else": (
        lambda: head_stacks(THREE[0], **SMALL),
        {"mask": Volume(np.ones((8, 8, 8)), rotation((0, 0, 0), (300, 0, 0)), "mine")},
        "does not overlap",
    ),
}


@pytest.mark.parametrize("mistake", list(MISTAKES))
def test_a_mistake_is_answered_with_one_sentence_before_any_work(mistake):
    stacks, options, sentence = MISTAKES[mistake]
    with pytest.raises(InputError, match=sentence) as refusal:
        tv(stacks(), **options)
    text = str(refusal.value)
    assert "\n" not in text and text.endswith(".") and len(text) < 250


def test_a_mask_changes_the_numbers_and_not_the_voxels():
    case = head_stacks(*THREE, **SMALL)
    small = np.zeros((32, 32, 32))
    small[12:20, 12:20, 12:20] = 1
    plain = tv(case)
    masked = tv(case, mask=Volume(small, grid((32, 32, 32)).affine, "middle"))
    np.testing.assert_array_equal(plain.volumes["T1"].voxels, masked.volumes["T1"].voxels)
    numbers = [r.report["contrasts"]["T1"]["stacks"][0] for r in (plain, masked)]
    assert numbers[0] != numbers[1]
    seen = np.abs(masked.rescanned["T1 axial"].voxels - case[0].volume.voxels)[12:20, 12:20, 3:5]
    assert numbers[1]["median_residual"] == pytest.approx(np.median(seen), rel=1e-3)


def test_stacks_of_another_body_part_or_with_a_hot_voxel_are_no_problem():
    waves = Waves.random(finest=14.0)
    stack = wave_stack(waves, grid((32, 32, 8), (1, 1, 4)), 4.0)
    hot = stack.volume.voxels.copy()
    hot[3, 4, 5] = 1e5
    plain, spoilt = tv([stack]).volumes["T1"].voxels, tv([changed(stack, voxels=hot)]).volumes["T1"].voxels
    far = (slice(12, -4), slice(12, -4), slice(2, 12))
    assert np.abs(plain - spoilt)[far].max() < 0.05 * plain.std()
