"""The phantoms are what they claim, checked by brute force, because other tests lean on them."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import Waves, grid, head, head_brain, random_directions, stacks, wave_stack


def test_a_slice_of_waves_is_the_mean_over_its_thickness():
    rng = np.random.default_rng(1)
    waves = Waves.random(seed=3)
    where = grid((6, 7, 5), (1.0, 1.2, 5.0), random_directions(rng), (3, -2, 8))
    fine = 200
    offsets = (np.arange(fine) + 0.5) / fine * 4.0 - 2.0
    planes = []
    for offset in offsets:
        moved = grid(
            (6, 7, 5),
            (1.0, 1.2, 5.0),
            where.directions,
            np.array([3, -2, 8]) + offset * where.directions[:, 2],
        )
        planes.append(waves.image(moved))
    np.testing.assert_allclose(waves.image(where, thickness=4.0), np.mean(planes, axis=0), atol=1e-2)


def test_a_wave_stack_knows_its_thickness_and_axis():
    stack = wave_stack(Waves.random(), grid((40, 10, 40), (1, 4, 1)), thickness=3.0)
    assert (stack.slice_axis, stack.thickness, stack.orientation) == (1, 3.0, "coronal")


def test_the_scalp_is_the_brightest_tissue_and_outside_the_brain():
    where = grid((64, 64, 64))
    image, brain = head(where).voxels, head_brain(where)
    assert not brain[image > 215].any()
    assert 0.1 < brain.mean() < 0.4


@pytest.mark.parametrize("orientation", ["axial", "coronal", "sagittal"])
def test_stacks_of_the_head_lie_where_the_head_is(orientation):
    (stack,) = stacks(("T1", orientation), thickness=4.0, noise=0.0)
    truth = head(grid((64, 64, 64)))
    np.testing.assert_allclose(balance_point(stack.volume), balance_point(truth), atol=0.05)
    assert stack.orientation == orientation


def balance_point(volume) -> np.ndarray:
    """RAS mm of the centre of intensity."""
    world = volume.grid.world(np.moveaxis(np.indices(volume.voxels.shape), 0, -1))
    return (world * volume.voxels[..., None]).sum((0, 1, 2)) / volume.voxels.sum()
