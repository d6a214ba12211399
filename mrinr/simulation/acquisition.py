"""The scanner: slices of any orientation, thickness and gap, with noise, from a finely simulated volume.

This is deliberately not the solver's operator (mrinr/acquisition.py): it samples a finer grid at other
angles and its slice profile is one that the solver does not have, so that simulated truth cannot flatter it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from mrinr.degrade import slr_profile
from mrinr.geometry import Grid, profile_points
from mrinr.volume import Volume

IN_PLANE = {
    "axial": (0, 1, 2),
    "coronal": (0, 2, 1),
    "sagittal": (1, 2, 0),
}  # world axes of i, j and the slices
SAMPLES_AT_ONCE = 1_000_000


def bounding_grid(mask: Volume, margin: float = 4.0) -> Grid:
    """A 1 mm grid along R, A and S around where `mask` is above 0, with `margin` mm to spare all around."""
    inside = mask.voxels > 0
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for i, plane in enumerate(inside):
        found = np.argwhere(plane)
        if len(found):
            world = mask.grid.world(np.column_stack([np.full(len(found), i), found]))
            low, high = np.minimum(low, world.min(0)), np.maximum(high, world.max(0))
    a, b, c = (int(n) for n in np.ceil(high - low + 2 * margin))
    affine = np.eye(4)
    affine[:3, 3] = (low + high - (a - 1, b - 1, c - 1)) / 2
    return Grid((a, b, c), affine)


def slice_grid(
    field: Grid,
    orientation: str = "axial",
    spacing: float = 1.0,
    in_plane: float = 1.0,
    degrees: tuple[float, float, float] = (0.0, 0.0, 0.0),
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Grid:
    """A stack of slices that covers `field`, slices along k.

    Parameters
    ----------
    orientation : "axial", "coronal" or "sagittal"
    spacing, in_plane : mm from slice to slice (thickness and gap together) and between voxels in plane
    degrees : tilt of the scanner's axes about R, A and S; the same for stacks of one session
    shift : RAS mm by which the grid is moved off the centre of `field`
    """
    turn = rotation(degrees)[:3, :3]
    directions = turn[:, list(IN_PLANE[orientation])]
    sizes = np.array([in_plane, in_plane, spacing])
    corners = field.corners()
    centre = corners.mean(axis=0)
    extent = np.abs((corners - centre) @ directions).max(axis=0) * 2
    a, b, c = (int(n) for n in np.ceil(extent / sizes - 1e-6))
    affine = np.eye(4)
    affine[:3, :3] = directions * sizes
    affine[:3, 3] = centre + np.array(shift) - affine[:3, :3] @ ((np.array([a, b, c]) - 1) / 2)
    return Grid((a, b, c), affine)


def rotation(
    degrees: tuple[float, float, float], shift: tuple[float, float, float] = (0, 0, 0)
) -> np.ndarray:
    """4x4 rigid motion: turns about R, then A, then S through the origin, then a shift in mm."""
    turn = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        one = np.eye(3)
        j, k = (axis + 1) % 3, (axis + 2) % 3
        one[j, j] = one[k, k] = np.cos(angle)
        one[j, k], one[k, j] = -np.sin(angle), np.sin(angle)
        turn = one @ turn
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, shift
    return matrix


def slr_points(thickness: float, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (mm) and weights (sum 1) of a slice as a Shinnar-Le Roux pulse excites it."""
    count = int(thickness / step)
    offsets = np.arange(-count, count + 1) * step
    weights = slr_profile(offsets / thickness)
    kept = np.abs(weights) > 2e-3 * weights.max()
    return offsets[kept], weights[kept] / weights[kept].sum()


def acquire(
    volume: Volume,
    grid: Grid,
    thickness: float,
    slice_axis: int = 2,
    profile: str = "slr",
    noise: float = 0.0,
    scale: float | None = None,
    seed: int = 0,
) -> Volume:
    """Slices of `volume` on `grid`: integrals over the slice profile and the in-plane voxel, then noise.

    Parameters
    ----------
    volume : finely sampled truth (0.5 mm), any axes; nothing outside it
    thickness : mm along `slice_axis`; more than the spacing is overlap, less is a gap
    profile : "slr", or one that the solver knows: "box", "gaussian", "point"
    noise : standard deviation of Rician noise as a fraction of `scale`
    scale : 99.9th percentile in the brain (`Subject.scale`); the volume's own above 0 when None
    """
    step = float(volume.spacing.min())
    points = []
    for axis, spacing in enumerate(grid.spacing):
        if axis != slice_axis:
            points.append(profile_points("box" if spacing > 1.05 * step else "point", float(spacing), step))
        elif profile == "slr":
            points.append(slr_points(thickness, step))
        else:
            points.append(profile_points(profile, thickness, step))
    voxels = _integrate(volume, grid, points)
    if noise > 0:
        if scale is None:
            scale = float(np.percentile(volume.voxels[volume.voxels > 0], 99.9))
        rng = np.random.default_rng(seed)
        real, imaginary = (
            noise * scale * rng.standard_normal(grid.shape, dtype=np.float32) for _ in range(2)
        )
        voxels = np.hypot(voxels + real, imaginary)
    return Volume(voxels, grid.affine, volume.name, {"thickness": thickness})


def average(volume: Volume, grid: Grid) -> Volume:
    """The truth on a coarser `grid`: the mean of `volume` over each of its voxels."""
    return acquire(volume, grid, float(grid.spacing[2]), profile="box")


def _integrate(volume: Volume, grid: Grid, points: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Weighted trilinear samples at each voxel's `points` (by axis of `grid`: offsets in mm, weights)."""
    # The samples form a grid themselves, whose axes run over (voxel, point) pairs.
    image = torch.from_numpy(np.ascontiguousarray(volume.voxels))[None, None]
    size = np.maximum(np.array(volume.voxels.shape) - 1, 1)
    matrix = grid.to(volume.grid)
    slope = torch.tensor(matrix[:3, :3] * (2 / size)[:, None], dtype=torch.float32)
    start = torch.tensor(matrix[:3, 3] * 2 / size - 1, dtype=torch.float32)
    along = []
    for axis, (offsets, _) in enumerate(points):
        index = np.arange(grid.shape[axis])[:, None] + offsets / grid.spacing[axis]
        along.append(torch.tensor(index.ravel(), dtype=torch.float32))
    weights = [torch.tensor(w, dtype=torch.float32) for _, w in points]
    per_row = len(along[1]) * len(along[2]) * len(weights[0])
    rows = max(1, SAMPLES_AT_ONCE // per_row)
    out = np.zeros(grid.shape, np.float32)
    for row in range(0, grid.shape[0], rows):
        i = along[0][row * len(weights[0]) : (row + rows) * len(weights[0])]
        at = torch.empty((1, len(i), len(along[1]), len(along[2]), 3))
        for axis in range(3):  # grid_sample wants (k, j, i)
            at[..., 2 - axis] = start[axis] + (
                (slope[axis, 0] * i)[:, None, None]
                + (slope[axis, 1] * along[1])[None, :, None]
                + (slope[axis, 2] * along[2])[None, None, :]
            )
        x = functional.grid_sample(image, at, padding_mode="zeros", align_corners=True)[0, 0]
        x = x.reshape(*x.shape[:2], -1, len(weights[2])) @ weights[2]
        x = torch.einsum("ijpk,p->ijk", x.reshape(x.shape[0], -1, len(weights[1]), x.shape[2]), weights[1])
        x = torch.einsum("ipjk,p->ijk", x.reshape(-1, len(weights[0]), *x.shape[1:]), weights[0])
        out[row : row + rows] = x.numpy()
    return out
