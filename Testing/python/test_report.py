"""The report's pictures show what they say, the way that radiologists look at it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mrinr.pictures import middle, plane_axis, slice_image
from mrinr.volume import Volume

EXTENT = np.array([12.0, 20.0, 16.0])  # mm along R, A, S


def volume(order: tuple[int, ...], flips: tuple[int, ...]) -> Volume:
    """1-mm voxels whose axes run along the world axes `order`, brighter to the right, front and top."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    shape = [int(EXTENT[world]) for world in order]
    for axis, (world, flip) in enumerate(zip(order, flips, strict=True)):
        affine[world, axis] = flip
        affine[world, 3] = 0 if flip > 0 else EXTENT[world] - 1
    r, a, s = np.einsum("wi,ixyz->wxyz", affine[:3, :3], np.indices(shape)) + affine[:3, 3, None, None, None]
    return Volume(r * 1 + a * 3 + s * 5, affine)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", list(itertools.product((1, -1), repeat=3)))
@pytest.mark.parametrize(
    ("plane", "across", "down"), [("axial", 0, 1), ("coronal", 0, 2), ("sagittal", 1, 2)]
)
def test_planes_are_shown_head_up_and_right_or_front_on_the_left(order, flips, plane, across, down):
    image = volume(order, flips)
    axis = plane_axis(image, plane)
    picture = slice_image(image, axis, middle(image, axis), (0, float(image.voxels.max())))
    assert picture.size == (EXTENT[across], EXTENT[down])
    grey = np.asarray(picture).astype(int)
    assert (np.diff(grey, axis=1) < 0).all()  # brighter to the left: right or front
    assert (np.diff(grey, axis=0) < 0).all()  # brighter to the top: head or front
