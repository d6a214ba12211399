"""The working space of the models: axial slices of 1 mm, rows along R, columns along A, upwards."""

from __future__ import annotations

import numpy as np
import torch

from mrinr.acquisition import Acquisition
from mrinr.geometry import Grid
from mrinr.volume import Volume

NEAR_ONE = (0.85, 1.2)  # mm: in-plane spacings that are left as they are


def working_grid(like: Grid) -> Grid:
    """The field of view of `like` on its own axes, ordered and directed as R, A, S; about 1 mm in plane.

    Slices stay as far apart as they are, but never closer than about 1 mm.
    """
    order = _nearest_axes(like.directions)
    affine, shape = np.eye(4), [like.shape[axis] for axis in order]
    affine[:3, :3] = like.affine[:3, order]
    affine[:3, 3] = like.affine[:3, 3]
    for world in range(3):
        if affine[world, world] < 0:
            affine[:3, 3] += affine[:3, world] * (shape[world] - 1)
            affine[:3, world] *= -1
    turned = Grid((shape[0], shape[1], shape[2]), affine)
    wanted = [float(s) if NEAR_ONE[0] <= s <= NEAR_ONE[1] else 1.0 for s in turned.spacing]
    wanted[2] = max(wanted[2], float(turned.spacing[2]))
    if np.allclose(wanted, turned.spacing):
        return turned
    return turned.with_spacing((wanted[0], wanted[1], wanted[2]))


def onto(volume: Volume, grid: Grid) -> np.ndarray:
    """`volume` on `grid`: means over coarser voxels, cubic or linear between finer ones; 0 outside."""
    if volume.grid.same_as(grid):
        return volume.voxels
    through = int(np.abs(volume.grid.directions.T @ grid.directions[:, 2]).argmax())
    profile = "box" if grid.spacing[2] > 1.05 * volume.spacing[through] else "point"
    operator = Acquisition(volume.grid, grid, slice_axis=2, thickness=float(grid.spacing[2]), profile=profile)
    voxels = torch.from_numpy(np.ascontiguousarray(volume.voxels))
    return operator.forward(voxels).numpy()


def _nearest_axes(directions: np.ndarray) -> list[int]:
    """The voxel axes nearest to R, A and S; each once, however oblique."""
    left, order = [0, 1, 2], [0, 0, 0]
    strength = np.abs(directions)
    for world in np.argsort(-strength.max(axis=1)):
        axis = max(left, key=lambda a: strength[world, a])
        order[world] = axis
        left.remove(axis)
    return order
