"""Time and memory of a reconstruction before it starts, and the grid that fits. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.memory import affordable_bytes
from mrinr.superres.grid import target_grid
from mrinr.volume import Stack, Volume

if TYPE_CHECKING:
    from mrinr.superres.pipeline import Options

BASE_BYTES = 8e8  # interpreter, torch and the trial runs
# arrays of the target grid's size that a method holds for each contrast, and once; seconds a million voxels
# and contrast on one core, and once for each contrast (measured, rounded up; INRs from small crops)
COSTS = {
    "cubic": (3, 5, 0.1, 1.0),
    "tv": (4, 12, 1.2, 3.0),
    "guided": (8, 20, 3.0, 12.0),
    "prior": (10, 20, 4.5, 18.0),
    "auto": (10, 20, 4.5, 34.0),
    "profile-inr": (6, 12, 220.0, 80.0),
    "best": (14, 12, 900.0, 500.0),
    "irem": (4, 8, 8000.0, 10.0),
    "single": (4, 8, 4000.0, 10.0),
    "vanilla": (4, 8, 4000.0, 10.0),
    "split-head": (4, 8, 4000.0, 10.0),
}


@dataclass(frozen=True)
class Estimate:
    """What a run will take on this machine's processor; `text` is the line shown beside Apply."""

    grid: Grid
    seconds: float
    bytes: float
    text: str


def needed_bytes(method: str, grid: Grid, stacks: Sequence[Stack]) -> float:
    per_contrast, once, _, _ = COSTS[method]
    contrasts = len({s.contrast for s in stacks})
    acquired = sum(s.volume.voxels.size for s in stacks)
    return BASE_BYTES + 4.0 * (grid.size * (per_contrast * contrasts + once) + 4 * acquired)


def estimate(
    stacks: Sequence[Stack],
    method: str = "auto",
    spacing: float | str = "auto",
    like: Volume | None = None,
    roi: Sequence[float] | None = None,
) -> Estimate:
    """Seconds (one core, no GPU), bytes and grid of a run; InputError where `target_grid` raises it."""
    grid = target_grid(stacks, spacing, like, roi)
    _, _, per_million, once = COSTS[method]
    contrasts = len({s.contrast for s in stacks})
    seconds = contrasts * (per_million * grid.size / 1e6 + once)
    size = needed_bytes(method, grid, stacks)
    shape = " x ".join(map(str, grid.shape))
    text = (
        f"{shape} voxels of {grid.spacing.min():.2g} mm, about {_duration(seconds)} and {size / 1e9:.1f} GB"
    )
    return Estimate(grid, seconds, size, text)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(5, round(seconds / 5) * 5)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def fitting_grid(stacks: Sequence[Stack], options: Options, context: Context) -> Grid:
    """The target grid; a coarser one, with a warning, when "auto" spacing would not fit in memory.

    Raises InputError when a grid that the person asked for does not fit: it names a spacing that does.
    """
    grid = target_grid(stacks, options.spacing, options.like, options.roi)
    limit = affordable_bytes()
    if needed_bytes(options.method, grid, stacks) <= limit:
        return grid
    mm = float(grid.spacing.min())
    while needed_bytes(options.method, grid.with_spacing((mm, mm, mm)), stacks) > limit and mm < 20:
        mm = np.ceil(mm * 20 + 1) / 20
    needs = needed_bytes(options.method, grid, stacks) / 1e9
    if options.spacing == "auto" and options.like is None:
        context.warn(
            f"The spacing was set to {mm:g} mm: {grid.spacing.min():.2g} mm would need {needs:.0f} GB "
            "of memory. Choose a region of interest to keep the finer spacing."
        )
        return grid.with_spacing((mm, mm, mm))
    raise InputError(
        f"This grid would need {needs:.0f} GB of memory and {limit / 1e9:.0f} GB can be used; "
        f"choose a spacing of {mm:g} mm or a region of interest."
    )
