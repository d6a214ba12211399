"""Pictures show the patient as radiologists expect, however the voxels are stored."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from phantoms import grid
from PIL import Image

from mrinr.pictures import middle, panel, plane_axis, slice_image, window
from mrinr.volume import Volume

POINTS = {"right": (8, 0, 0), "front": (0, 8, 0), "head": (0, 0, 8)}


def volume_with_a_spot(direction: str, order, signs, spacing=(1.0, 1.0, 1.0)) -> Volume:
    """A volume around the origin whose axes are a signed permutation of R, A, S, bright at one point."""
    axes = np.eye(3)[:, list(order)] * signs
    where = grid((24, 25, 26), spacing, axes)
    world = where.world(np.moveaxis(np.indices(where.shape), 0, -1))
    distance = np.linalg.norm(world - POINTS[direction], axis=-1)
    return Volume(np.clip(4 - distance, 0, 1), where.affine, direction)


def spot(image: Image.Image) -> tuple[float, float]:
    """Where the bright spot is: (across, down), each -1..1 from the middle."""
    pixels = np.asarray(image, dtype=float)
    across, down = (np.indices(pixels.shape)[axis] / (pixels.shape[axis] - 1) * 2 - 1 for axis in (1, 0))
    return (across * pixels).sum() / pixels.sum(), (down * pixels).sum() / pixels.sum()


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (1, -1, -1)])
@pytest.mark.parametrize(
    ("plane", "direction", "where"),
    [
        ("axial", "right", "left"),
        ("axial", "front", "top"),
        ("coronal", "right", "left"),
        ("coronal", "head", "top"),
        ("sagittal", "front", "left"),
        ("sagittal", "head", "top"),
    ],
)
def test_right_and_front_are_on_the_left_and_the_head_is_up(plane, direction, where, order, signs):
    volume = volume_with_a_spot(direction, order, signs)
    axis = plane_axis(volume, plane)
    across, down = spot(slice_image(volume, axis, middle(volume, axis, np.zeros(3)), (0, 1)))
    if where == "left":
        assert across < -0.5
        assert abs(down) < 0.1
    else:
        assert down < -0.5
        assert abs(across) < 0.1


def test_thick_slices_keep_their_proportions():
    volume = volume_with_a_spot("head", (0, 1, 2), (1, 1, 1), spacing=(1, 1, 4))
    assert slice_image(volume, 0, 12, (0, 1)).size == (25, 26 * 4)
    assert slice_image(volume, 0, 12, (0, 1), height=52).size == (12, 52)


def test_intensities_beyond_the_window_are_black_and_white():
    voxels = np.zeros((9, 9, 9))
    voxels[4, 4, 4], voxels[4, 4, 3], voxels[4, 4, 5] = 50, 500, -500
    pixels = np.asarray(slice_image(Volume(voxels, np.eye(4)), 0, 4, (0, 100)))
    assert sorted(set(pixels.ravel().tolist())) == [0, 128, 255]


def test_the_window_of_a_mask_ignores_what_is_outside():
    voxels = np.ones((10, 10, 10))
    voxels[0] = 100
    mask = np.ones(voxels.shape, bool)
    mask[0] = False
    low, high = window(Volume(voxels, np.eye(4)), mask)
    assert low == 0
    assert 1 <= high < 1.2


def test_a_panel_holds_every_picture_uncovered():
    rows = [[Image.new("L", (40 + 10 * c, 30 + 20 * r), 255) for c in range(3)] for r in range(2)]
    sheet = np.asarray(panel(rows, [["a", "b\n1 dB", "c"], ["d", "e", "f"]], "A title"))
    white = (sheet == 255).all(axis=-1).sum()
    assert white == sum(image.width * image.height for row in rows for image in row)
