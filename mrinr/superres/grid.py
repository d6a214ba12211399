"""The grid that a reconstruction is made on. No torch here: widgets ask it before anything runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.volume import Stack, Volume

FINEST, COARSEST = 0.05, 20.0  # mm


def finest_spacing(stacks: Sequence[Stack]) -> float:
    """The finest in-plane spacing of all stacks, in mm."""
    return float(min(s.volume.spacing[axis] for s in stacks for axis in range(3) if axis != s.slice_axis))


def check_spacing(spacing: object) -> float:
    """`spacing` in mm as a number; InputError when it is no sensible length."""
    try:
        mm = float(spacing)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        mm = float("nan")
    if not (FINEST <= mm <= COARSEST):
        raise InputError(f"The spacing must be auto or {FINEST:g} to {COARSEST:g} mm, not {spacing}.")
    return mm


def target_grid(
    stacks: Sequence[Stack],
    spacing: float | str = "auto",
    like: Volume | None = None,
    roi: Sequence[float] | None = None,
) -> Grid:
    """`like`'s grid, or the first stack's axes and field of view at an isotropic `spacing` (mm).

    Parameters
    ----------
    spacing : "auto" takes the finest in-plane spacing of all stacks
    roi : (R min, R max, A min, A max, S min, S max) in mm; the grid is cropped to its voxels inside

    Raises InputError for a spacing that is no length and for a region outside the field of view.
    """
    if like is not None:
        grid = like.grid
    else:
        mm = finest_spacing(stacks) if spacing == "auto" else check_spacing(spacing)
        grid = stacks[0].volume.grid.with_spacing((mm, mm, mm))
    return grid if roi is None else crop_to_roi(grid, roi)


def crop_to_roi(grid: Grid, roi: Sequence[float]) -> Grid:
    """The smallest part of `grid` that holds the RAS box `roi`, as far as it lies in the field of view.

    Raises InputError for what is no box and for a box that leaves too little of the grid.
    """
    try:
        box = np.array(roi, dtype=float).reshape(3, 2)
    except (TypeError, ValueError):
        box = np.full((3, 2), np.nan)
    if not (np.isfinite(box).all() and (box[:, 0] < box[:, 1]).all()):
        raise InputError(
            "The region of interest must be six numbers in mm: R min, R max, A min, A max, S min, S max."
        )
    corners = np.array([(r, a, s) for r in box[0] for a in box[1] for s in box[2]])
    inverse = np.linalg.inv(grid.affine)
    index = corners @ inverse[:3, :3].T + inverse[:3, 3]
    low = np.clip(np.floor(index.min(0) + 0.5), 0, None).astype(int)
    high = np.minimum(np.ceil(index.max(0) + 0.5).astype(int), grid.shape)
    if (high - low < 8).any():
        raise InputError("The region of interest does not overlap the first stack; move or enlarge it.")
    return grid.crop(tuple(low), tuple(high))


def check_overlap(stacks: Sequence[Stack], grid: Grid) -> None:
    """Raise InputError when a stack sees nothing of `grid`."""
    for stack in stacks:
        shape = np.array(stack.volume.voxels.shape)
        steps = [np.linspace(0, n - 1, min(n, 12)) for n in shape]
        points = stack.volume.grid.world(np.stack(np.meshgrid(*steps, indexing="ij"), -1))
        if not grid.contains(points).any():
            raise InputError(
                f"{stack.volume.name} does not overlap {stacks[0].volume.name}: "
                "their fields of view have nothing in common; check that both are of the same patient."
            )
