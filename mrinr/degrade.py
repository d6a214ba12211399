"""Thick-slice stacks made from a volume, to test super-resolution with.

On purpose nothing here is shared with the acquisition operator that the methods invert. A slice is an
exact integral of the volume's voxels (their running sum along the axis, cubic between voxel borders), not
a set of samples.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.intensity import foreground_mask
from mrinr.volume import Volume, check_image

PROFILES = ("box", "gaussian", "paper-spline", "slr")
OBLIQUE = np.array([1.0, 1.0, 1.0]) / np.sqrt(3)  # RAS axis that `rotate` turns the stack about
BINS = 96  # pieces of a profile that is not a box


def degrade(
    volume: Volume,
    axis: int,
    factor: float,
    profile: str = "box",
    noise: float = 0.0,
    rotate: float = 0.0,
    seed: int = 0,
) -> Volume:
    """A stack of slices `factor` times as thick as `volume`'s voxels along `axis` (0, 1, 2: i, j, k).

    Slices touch (spacing = thickness), lie centred in the field of view and are all inside it: at most one
    slice's width is lost. `meta["thickness"]` holds the thickness in mm.

    Parameters
    ----------
    factor : above 1, need not be whole
    profile : 'box', 'gaussian' (full width at half maximum = thickness), 'paper-spline' (a cubic spline's
        value at the slice centre, as McGinnis 2023 simulates it) or 'slr' (flat top, soft rippled flanks)
    noise : Rician noise, sigma as a fraction of the 99.9th percentile of the volume's foreground
    rotate : degrees by which the stack is turned about an oblique axis through the volume's centre; the
        anatomy stays where it is
    seed : of the noise

    Raises InputError for settings that make no stack.
    """
    check_image(volume)
    if axis not in (0, 1, 2):
        raise InputError(f"The axis must be 0, 1 or 2 (i, j or k), not {axis}.")
    if not (np.isfinite(factor) and factor > 1):
        raise InputError(f"The factor must be above 1 (slices thicker than the voxels), not {factor:g}.")
    if profile not in PROFILES:
        raise InputError(f"The profile '{profile}' is not known; use {', '.join(PROFILES)}.")
    if not (np.isfinite(noise) and noise >= 0):
        raise InputError(f"The noise must be 0 or more, not {noise:g}.")
    if not np.isfinite(rotate):
        raise InputError("The rotation must be a number of degrees.")
    size = volume.voxels.shape[axis]
    count = int(size / factor + 1e-6)
    if count < 2:
        raise InputError(
            f"{volume.name} has {size} voxels along axis {axis}, too few for two slices of {factor:g} voxels."
        )
    scale = float(np.percentile(volume.voxels[foreground_mask(volume)], 99.9)) if noise else 0.0
    source = _turned(volume, rotate) if rotate else volume
    centres = (np.arange(count) - (count - 1) / 2) * factor + (size - 1) / 2
    weights = _spline(size, centres) if profile == "paper-spline" else _slab(size, centres, factor, profile)
    voxels = np.moveaxis(np.tensordot(weights, source.voxels, axes=(1, axis)), 0, axis)
    voxels = voxels.astype(np.float32)
    if noise:
        voxels = _rician(voxels, noise * scale, seed)
    affine = source.affine.copy()
    affine[:3, 3] += affine[:3, axis] * centres[0]
    affine[:3, axis] *= factor
    thickness = float(factor * volume.spacing[axis])
    return Volume(voxels, affine, volume.name, {**volume.meta, "thickness": thickness})


def _turned(volume: Volume, degrees: float) -> Volume:
    """The volume on a turned grid, by cubic B-splines; what was outside the field of view is 0."""
    from mrinr.itk import resample

    a = np.deg2rad(degrees)
    cross = np.cross(np.eye(3), OBLIQUE)  # so that cross @ v = OBLIQUE x v
    turn = np.eye(4)
    turn[:3, :3] = np.eye(3) - np.sin(a) * cross + (1 - np.cos(a)) * cross @ cross
    centre = volume.grid.world((np.array(volume.voxels.shape) - 1) / 2)
    turn[:3, 3] = centre - turn[:3, :3] @ centre
    turned = resample(volume, Grid(volume.grid.shape, turn @ volume.affine), order=3)
    low, high = float(volume.voxels.min()), float(volume.voxels.max())
    return replace(turned, voxels=np.clip(turned.voxels, min(low, 0.0), high))  # no overshoot of the spline


def _slab(size: int, centres: np.ndarray, width: float, profile: str) -> np.ndarray:
    """(slices, size) weights: the mean of the voxels over each slice, weighted by the profile."""
    if profile == "box":
        edges, heights = np.array([-width / 2, width / 2]), np.ones(1)
    else:
        reach = 1.25 if profile == "gaussian" else 1.0  # in widths
        edges = np.linspace(-reach * width, reach * width, BINS + 1)
        middle = (edges[1:] + edges[:-1]) / 2 / width
        heights = np.exp2(-((2 * middle) ** 2)) if profile == "gaussian" else slr_profile(middle)
    heights = heights * np.diff(edges) / (heights * np.diff(edges)).sum()
    sums = _running_sums(size, centres[:, None] + edges)  # (slices, edges, size)
    means = np.diff(sums, axis=1) / np.diff(edges)[:, None]
    return np.einsum("p,spn->sn", heights, means)


def _running_sums(size: int, position: np.ndarray) -> np.ndarray:
    """(..., size): weights of the voxels in the integral of the volume up to `position` (index units).

    Exact at voxel borders, cubic (Catmull-Rom) between them, so that whole voxels average as they are and a
    linear ramp is integrated exactly. The first and last voxel go on for ever.
    """
    edge = 4 + int(np.ceil(max(0.0, -position.min(), position.max() - size)))
    at_borders = np.tril(np.ones((size + 2 * edge + 1, size + 2 * edge)), -1)
    extended = np.zeros((size + 2 * edge, size))
    extended[np.arange(size + 2 * edge), np.clip(np.arange(size + 2 * edge) - edge, 0, size - 1)] = 1
    sums = at_borders @ extended  # row r: integral up to index r - edge - 1/2
    place = position + 0.5 + edge
    border = np.floor(place).astype(int)
    t = (place - border)[..., None]
    before, left, right, after = (sums[border + step] for step in (-1, 0, 1, 2))
    return left + t / 2 * (
        right
        - before
        + t * (2 * before - 5 * left + 4 * right - after + t * (3 * (left - right) + after - before))
    )


def slr_profile(position: np.ndarray) -> np.ndarray:
    """A slice profile like that of a Shinnar-Le Roux pulse (Pauly 1991); `position` in slice widths.

    The Fourier transform of a windowed sinc of time-bandwidth product 6, refocused by a second one (its
    square): flat within 6 percent, flanks a fifth of a slice wide, full width at half maximum 1.
    """
    lobes = 3.0
    time = np.linspace(-lobes, lobes, 601)
    pulse = np.sinc(time) * np.kaiser(len(time), 3.0)
    excited = np.cos(2 * np.pi * np.outer(0.8944 * position, time)) @ pulse * (time[1] - time[0])
    return excited * np.abs(excited)


def _spline(size: int, centres: np.ndarray) -> np.ndarray:
    """(slices, size) weights of the interpolating cubic B-spline at each centre, mirrored at the ends."""

    def kernel(t: np.ndarray) -> np.ndarray:
        t = np.abs(t)
        return np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.where(t < 2, (2 - t) ** 3 / 6, 0))

    def sample(position: np.ndarray) -> np.ndarray:
        rows = np.zeros((len(position), size))
        for tap in range(-1, 3):
            knot = np.floor(position).astype(int) + tap
            mirrored = (size - 1) - np.abs((size - 1) - np.abs(knot))
            np.add.at(rows, (np.arange(len(position)), mirrored), kernel(position - knot))
        return rows

    return sample(centres) @ np.linalg.inv(sample(np.arange(size, dtype=float)))


def _rician(voxels: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    """The magnitude of the signal with Gaussian noise in both channels (Gudbjartsson 1995)."""
    random = np.random.default_rng(seed)
    real = voxels + random.normal(0, sigma, voxels.shape)
    return np.hypot(real, random.normal(0, sigma, voxels.shape)).astype(np.float32)
