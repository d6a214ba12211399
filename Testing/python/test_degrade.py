"""Stacks made from volumes: slices are where their headers say, and hold what the profile says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mrinr.degrade import PROFILES, degrade, slr_profile
from mrinr.errors import InputError
from mrinr.itk import resample
from mrinr.volume import Stack, Volume

GRADIENT = np.array([1.5, -0.7, 2.2])  # intensity per RAS millimetre


def oblique_affine() -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    matrix = np.eye(4)
    matrix[:3, :3] = q * [0.8, 1.1, 0.5]
    matrix[:3, 3] = [20, -35, 11]
    return matrix


def ramp(shape=(24, 26, 28)) -> Volume:
    """Intensity that depends on the position in RAS only: any misplaced slice shows."""
    affine = oblique_affine()
    world = np.einsum("ab,bijk->aijk", affine[:3, :3], np.indices(shape)) + affine[:3, 3, None, None, None]
    return Volume(np.einsum("a,aijk->ijk", GRADIENT, world) + 500, affine, "ramp")


def expected_ramp(volume: Volume) -> np.ndarray:
    index = np.moveaxis(np.indices(volume.voxels.shape), 0, -1)
    return volume.grid.world(index) @ GRADIENT + 500


def random_volume(shape=(24, 20, 22)) -> Volume:
    voxels = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=shape), 1.5)
    return Volume(100 + 300 * voxels, np.diag([1.0, 1, 1, 1]), "random")


@pytest.mark.parametrize("factor", [2, 3, 2.5, 4.3])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("profile", PROFILES)
def test_a_ramp_stays_where_it_is(profile, axis, factor):
    stack = degrade(ramp(), axis, factor, profile)
    error = np.moveaxis(np.abs(stack.voxels - expected_ramp(stack)), axis, 0)
    inner = slice(1, -1) if factor > 2 else slice(2, -2)  # what lies beyond the field of view is unknown
    assert error[inner].max() < 5e-3
    assert stack.voxels.dtype == np.float32


@pytest.mark.parametrize("profile", PROFILES)
def test_a_turned_stack_sees_the_same_anatomy_at_the_same_place(profile):
    stack = degrade(ramp((40, 40, 60)), 2, 3, profile, rotate=10)
    inner = (slice(12, -12), slice(12, -12), slice(6, -6))
    assert np.abs(stack.voxels - expected_ramp(stack))[inner].max() < 5e-2
    before, after = ramp((40, 40, 60)).grid.directions, stack.grid.directions
    turn = np.degrees(np.arccos((np.trace(after @ before.T) - 1) / 2))
    assert abs(turn - 10) < 1e-6
    centres = [g.world((np.array(g.shape) - 1) / 2) for g in (ramp((40, 40, 60)).grid, stack.grid)]
    assert np.abs(centres[0] - centres[1]).max() < 1e-9


def test_whole_slices_of_the_box_are_plain_means():
    volume = random_volume()
    stack = degrade(volume, 0, 4)
    assert np.allclose(stack.voxels, volume.voxels.reshape(6, 4, 20, 22).mean(axis=1), atol=1e-3)
    assert stack.meta["thickness"] == 4 and Stack(stack).slice_axis == 0
    assert np.abs(stack.grid.corners() - volume.grid.corners()).max() < 1e-9


def test_the_gaussian_has_its_full_width_at_half_maximum():
    line = np.zeros((200, 8, 8))
    line[100] = 1
    line[0, 0, 0] = 1e-3
    factor = 16
    stack = np.concatenate(
        [
            degrade(Volume(np.roll(line, s, axis=0), np.eye(4)), 0, factor, "gaussian").voxels
            for s in range(16)
        ]
    )
    response = np.sort(stack[:, 4, 4])[::-1]
    assert abs((response > response[0] / 2).sum() - factor) <= 1


def test_the_papers_spline_is_scipys():
    volume = random_volume()
    stack = degrade(volume, 2, 2, "paper-spline")
    grid = np.meshgrid(np.arange(24), np.arange(20), np.arange(11) * 2 + 0.5, indexing="ij")
    expected = ndimage.map_coordinates(volume.voxels.astype(float), grid, order=3, mode="mirror")
    assert np.abs(stack.voxels - expected).max() < 1e-2


def test_the_slr_profile_is_flat_soft_and_rippled():
    top = slr_profile(np.linspace(-0.3, 0.3, 200))
    ripple = (top.max() - top.min()) / top.mean()
    assert 0.002 < ripple < 0.07
    flank = slr_profile(np.array([0.4, 0.5, 0.6])) / top.mean()
    assert flank[0] > 0.7 and abs(flank[1] - 0.5) < 0.01 and abs(flank[2]) < 0.25


@pytest.mark.parametrize("profile", PROFILES)
def test_constants_stay_constant_and_profiles_differ(profile):
    flat = random_volume().with_voxels(np.full((24, 20, 22), 70.0))
    flat.voxels[0, 0, 0] = 71  # not quite constant, or it would be refused
    stack = degrade(flat, 1, 2.7, profile)
    assert np.abs(stack.voxels[4:] - 70).max() < 1e-3
    if profile != "box":
        assert (
            np.abs(
                degrade(random_volume(), 0, 4, profile).voxels - degrade(random_volume(), 0, 4).voxels
            ).max()
            > 1
        )


def test_noise_is_rician_with_the_stated_sigma_and_repeats_with_its_seed():
    voxels = np.zeros((64, 64, 64))
    voxels[16:48, 16:48, 16:48] = 200
    volume = Volume(voxels, np.eye(4))
    stack = degrade(volume, 2, 2, noise=0.02, seed=1)
    assert abs(stack.voxels[20:44, 20:44, 10:22].std() / 4 - 1) < 0.05
    air = stack.voxels[:14]
    assert air.min() >= 0 and abs(air.mean() / (4 * np.sqrt(np.pi / 2)) - 1) < 0.05  # Rayleigh
    assert np.array_equal(stack.voxels, degrade(volume, 2, 2, noise=0.02, seed=1).voxels)
    assert not np.array_equal(stack.voxels, degrade(volume, 2, 2, noise=0.02, seed=2).voxels)


def test_a_field_of_view_that_is_no_multiple_keeps_its_centre():
    volume = random_volume((25, 20, 22))
    stack = degrade(volume, 0, 4)
    assert stack.voxels.shape[0] == 6
    a, b = (v.grid.world((np.array(v.voxels.shape) - 1) / 2) for v in (volume, stack))
    assert np.abs(a - b).max() < 1e-9
    again = resample(stack, volume.grid)
    assert np.abs(again.grid.corners() - volume.grid.corners()).max() < 1e-9


@pytest.mark.parametrize(
    "settings",
    [
        {"axis": 3},
        {"factor": 1},
        {"factor": np.nan},
        {"factor": 15},
        {"profile": "triangle"},
        {"noise": -0.1},
        {"noise": np.inf},
        {"rotate": np.nan},
    ],
)
def test_settings_that_make_no_stack_are_refused(settings):
    with pytest.raises(InputError):
        degrade(random_volume(), **{"axis": 0, "factor": 2, **settings})
