"""Heads drawn for training: what varying a label map may change, and where disease may lie."""

from __future__ import annotations

import numpy as np
import pytest
from simulated_head import label_map

from mrinr.errors import InputError
from mrinr.simulation.heads import ALL_TISSUES, INDEX, draw_head
from mrinr.simulation.shape import VENTRICLES, draw_shape
from mrinr.simulation.tissue import draw_scan
from mrinr.volume import Volume, read

PARTS = ("oedema", "tumour", "enhancing rim", "necrosis")


@pytest.fixture(scope="module")
def labels():
    return label_map()


def draw(labels, seed, lesions="none", vary=True):
    return draw_head(labels, np.random.default_rng(seed), lesions, vary)


def counts(head) -> dict[str, int]:
    return dict(zip(ALL_TISSUES, np.bincount(head.tissue.ravel(), minlength=len(ALL_TISSUES)), strict=True))


@pytest.mark.parametrize(
    ("numbers", "tissue"), [((10, 49), "deep grey"), ((514,), "vessel"), ((2, 41), "white matter")]
)
def test_a_head_that_is_not_varied_is_the_label_map_on_ras_axes(labels, numbers, tissue):
    head = draw(labels, 0, vary=False)
    np.testing.assert_array_equal(head.affine[:3, :3], np.eye(3))
    before = labels.grid.world(np.argwhere(np.isin(labels.voxels, numbers)))
    after = np.argwhere(head.tissue == INDEX[tissue]) + head.affine[:3, 3]
    order = np.lexsort(before.T), np.lexsort(after.T)
    np.testing.assert_allclose(before[order[0]], after[order[1]])


def test_bone_gives_no_signal_and_fluid_and_ventricles_belong_to_the_brain(labels):
    head = draw(labels, 0, vary=False)
    assert counts(head)["air"] > (labels.voxels == 515).sum()
    assert head.brain.sum() == np.isin(labels.voxels, (2, 3, 4, 10, 41, 42, 43, 49)).sum()


@pytest.mark.parametrize("lesions", ["none", "ms", "tumour", "stroke", "any"])
def test_the_same_seed_draws_the_same_head_and_another_seed_another(labels, lesions):
    one, same, other = (draw(labels, seed, lesions) for seed in (1, 1, 2))
    assert one.tissue.shape == same.tissue.shape and (one.tissue == same.tissue).all()
    assert one.tissue.shape != other.tissue.shape or (one.tissue != other.tissue).any()


def test_varied_heads_keep_every_tissue_in_about_its_share(labels):
    original = counts(draw(labels, 0, vary=False))
    for seed in range(12):
        found = counts(draw(labels, seed))
        assert {t for t, n in found.items() if n} == {t for t, n in original.items() if n}
        for tissue in ("fat", "muscle", "grey matter", "white matter"):
            assert 0.55 < found[tissue] / original[tissue] < 1.6
    sizes = [draw(labels, seed).brain.sum() for seed in range(12)]
    assert np.std(sizes) > 0.05 * np.mean(sizes)


def test_half_of_the_heads_are_mirrored(labels):
    marked = labels.with_voxels(
        np.where(np.isin(labels.voxels, (41, 42)), 0, labels.voxels)
    )  # one half is gone
    sides = []
    for seed in range(20):
        head = draw(marked, seed)
        white = np.argwhere(head.tissue == INDEX["white matter"])[:, 0].mean()
        sides.append(white < np.argwhere(head.tissue == INDEX["fat"])[:, 0].mean())
    assert 4 <= sum(sides) <= 16


def test_ventricles_of_some_heads_are_larger(labels):
    share = []
    for seed in range(20):
        shape = draw_shape(labels, np.random.default_rng(seed))
        numbers = shape.nearest(labels.voxels)
        share.append(np.isin(numbers, VENTRICLES).sum() / np.isin(numbers, (2, 3, 41, 42)).sum())
    usual = np.isin(labels.voxels, VENTRICLES).sum() / np.isin(labels.voxels, (2, 3, 41, 42)).sum()
    assert max(share) > 1.5 * usual
    assert min(share) > 0.5 * usual


def test_warps_do_not_fold(labels):
    for seed in range(3):
        shape = draw_shape(labels, np.random.default_rng(seed))
        # The place that each voxel comes from, read off images that hold their own indices.
        indices = np.indices(labels.voxels.shape).astype(np.float32)
        low, high = (30, 30, 30), [n - 30 for n in shape.grid.shape]
        places = shape.linear(indices)[(slice(None), *map(slice, low, high))]
        slopes = np.stack([np.gradient(places, axis=axis + 1) for axis in range(3)])
        volume = np.linalg.det(np.moveaxis(slopes, (0, 1), (-2, -1)))
        assert (np.sign(volume) == np.sign(np.median(volume))).all()


def test_ms_lesions_lie_in_white_matter_mostly_near_ventricles(labels):
    healthy, head = (draw(labels, 3, kind, vary=False) for kind in ("none", "ms"))
    assert head.lesions.sum() > 50
    assert (healthy.tissue[head.lesions] == INDEX["white matter"]).all()
    assert (head.tissue[head.lesions] == INDEX["MS lesion"]).all()
    assert (head.tissue[~head.lesions] == healthy.tissue[~head.lesions]).all()
    middle = (np.array(healthy.tissue.shape) - 1) / 2  # the ventricles lie about it
    near = [
        np.linalg.norm(np.argwhere(draw(labels, seed, "ms", vary=False).lesions) - middle, axis=1).mean()
        for seed in range(6)
    ]
    white = np.argwhere(healthy.tissue == INDEX["white matter"])
    assert np.mean(near) < 0.9 * np.linalg.norm(white - middle, axis=1).mean()


def test_loads_of_ms_range_from_a_few_spots_to_what_flows_together(labels):
    healthy = draw(labels, 0, vary=False).tissue == INDEX["white matter"]
    shares = [draw(labels, seed, "ms", vary=False).lesions.sum() / healthy.sum() for seed in range(12)]
    assert min(shares) < 0.01 and 0.04 < max(shares) < 0.15


def test_ms_lesions_vary_more_from_person_to_person_than_healthy_tissue():
    scans = [draw_scan((1, 1, 1), np.random.default_rng(seed)).values for seed in range(200)]
    for time in ("T1", "T2"):
        sick, white = (
            np.std(np.log([getattr(values[name], time) for values in scans]))
            for name in ("MS lesion", "white matter")
        )
        assert sick == pytest.approx(2 * white, rel=0.25)


def test_tumours_have_their_parts_inside_the_brain_and_outside_the_ventricles(labels):
    seen = dict.fromkeys(PARTS, 0)
    inner = labels.with_voxels(
        np.where(labels.voxels == 24, 2, labels.voxels)
    )  # no fluid but the ventricles'
    ventricles = draw(inner, 0, vary=False).tissue == INDEX["CSF"]
    for seed in range(12):
        healthy, head = (draw(labels, seed, kind, vary=False) for kind in ("none", "tumour"))
        assert head.lesions.any()
        assert head.brain[head.lesions].all()
        assert not (head.lesions & ventricles).any()
        assert (healthy.tissue[head.tissue == INDEX["oedema"]] == INDEX["white matter"]).all()
        for part in PARTS:
            seen[part] += counts(head)[part] > 0
    assert seen["tumour"] + seen["enhancing rim"] >= 12
    assert seen["oedema"] >= 10 and seen["enhancing rim"] >= 6 and seen["necrosis"] >= 6


def test_rims_lie_around_necrosis(labels):
    for seed in range(12):
        head = draw(labels, seed, "tumour", vary=False)
        dead = head.tissue == INDEX["necrosis"]
        if not dead.any():
            continue
        around = np.zeros_like(dead)
        for axis in range(3):
            for step in (-1, 1):
                around |= np.roll(dead, step, axis)
        neighbours = head.tissue[around & ~dead]
        living = np.isin(neighbours, [INDEX[p] for p in ("tumour", "oedema")])
        assert living.sum() < 0.1 * (neighbours == INDEX["enhancing rim"]).sum()


def test_strokes_take_grey_and_white_matter(labels):
    sizes, taken = [], set()
    for seed in range(12):
        healthy, head = (draw(labels, seed, kind, vary=False) for kind in ("none", "stroke"))
        sizes.append(head.lesions.sum())
        taken |= set(healthy.tissue[head.lesions].tolist())
    assert min(sizes) > 0 and max(sizes) > 10 * min(sizes)
    assert {INDEX["grey matter"], INDEX["white matter"]} <= taken
    assert INDEX["CSF"] not in taken and INDEX["air"] not in taken


def test_unknown_lesions_and_maps_without_brain_are_refused_in_one_sentence(labels):
    with pytest.raises(InputError, match=r"^[^\n]+\.$"):
        draw(labels, 0, "warts")
    with pytest.raises(InputError, match="no FreeSurfer brain labels"):
        draw(Volume(np.full((20, 20, 20), 507), np.eye(4), "soft tissue"), 0)
    with pytest.raises(InputError, match="empty"):
        draw(Volume(np.zeros((20, 20, 20)), np.eye(4), "nothing"), 0)


def test_a_real_label_map_becomes_a_head(data):
    head = draw(read(data / "label_maps" / "head_03.nii.gz"), 0, "tumour")
    assert 0.8e6 < head.brain.sum() < 2.3e6  # mm^3
    found = counts(head)
    assert found["vessel"] > 1000 and found["enhancing rim"] + found["tumour"] > 500
