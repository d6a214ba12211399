"""A patient's scans in the working space, on the scale that models know, and the pixels to work on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from mrinr import bundles
from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.intensity import foreground_mask
from mrinr.synthesis.find_brain import bare_brain, find_brain
from mrinr.synthesis.place import places
from mrinr.synthesis.prediction import BRIGHTEST
from mrinr.synthesis.space import onto, working_grid
from mrinr.volume import Volume

BRAIN_MODEL = "brain-compact"
AROUND = 3  # voxels
STEP = 8  # pixels: the canvas is a multiple of it
MOSTLY = 0.8  # of what is not zero; a scan in which less is brain is a thin slab of a head with masked air
FEWEST_LIT = 50  # pixels of head that a slice must have to be worked on


@dataclass(eq=False)
class Head:
    """A patient in the working space.

    images : by sequence, (i, j, k) float32, the brain's median at 1, cut to 0..BRIGHTEST
    units : by sequence, the brain's median in the scan's own units
    brain : (i, j, k) bool
    lit : (i, j, k) bool, the head and a little around it: elsewhere there is air
    """

    grid: Grid
    images: dict[str, np.ndarray]
    units: dict[str, float]
    brain: np.ndarray
    lit: np.ndarray

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """The first and last voxel of the head along i, j, k; slices with hardly any head do not count."""
        i, j = (np.flatnonzero(self.lit.any(axis=other)) for other in ((1, 2), (0, 2)))
        k = np.flatnonzero(self.lit.sum((0, 1)) >= FEWEST_LIT)
        return np.array([i[0], j[0], k[0]]), np.array([i[-1], j[-1], k[-1]])


def prepare(inputs: Mapping[str, Volume], like: str, device: torch.device, context: Context) -> Head:
    """Bring the inputs into the working space and to the scale that models know.

    Raises InputError where an input does not overlap `like`, or no brain is found.
    """
    grid = working_grid(inputs[like].grid)
    images = {}
    for name, volume in inputs.items():
        images[name] = np.clip(onto(volume, grid), 0, None)
        if not images[name].any():
            raise InputError(
                f"{volume.name} does not overlap {inputs[like].name}; check that both are of one patient."
            )
        context.check()
    finder = bundles.find(BRAIN_MODEL).network(device)
    brain = find_brain(finder, list(images.values()), grid.spacing, device, context)
    bare = bare_brain(inputs[like], grid)
    if bare is not None and brain.sum() > MOSTLY * bare.sum():
        brain = bare
    units = {}
    for name, image in images.items():
        units[name] = float(np.median(image[brain]))
        if units[name] <= 0:
            raise InputError(
                f"{inputs[name].name} is dark in more than half of the brain; "
                "crop the others to its field of view, or leave it out."
            )
        images[name] = np.minimum(image / units[name], BRIGHTEST).astype(np.float32)
    lit = foreground_mask(Volume(images[like], grid.affine)) | brain
    return Head(grid, images, units, brain, grown(lit))


def window(head: Head) -> tuple[np.ndarray, np.ndarray, slice]:
    """Rows, columns (may reach outside the grid) and slices of the head, the brain in the middle."""
    inside = np.argwhere(head.brain.any(2))
    middle = (inside.min(0) + inside.max(0)) / 2
    (low, high), axes = head.box, []
    for axis in range(2):
        reach = max(middle[axis] - low[axis], high[axis] - middle[axis]) + 1
        half = int(np.ceil(reach / (STEP / 2))) * STEP // 2
        first = round(middle[axis]) - half
        axes.append(np.arange(first, first + 2 * half))
    return axes[0], axes[1], slice(int(low[2]), int(high[2]) + 1)


def canvas(head: Head, names: list[str]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Images as (k, h, w) on the window, and the place of its pixels in the brain, (2, h, w)."""
    rows, columns, levels = window(head)
    inside = np.argwhere(head.brain)
    low, high = inside.min(0)[:2], inside.max(0)[:2]
    images = {name: cut(head.images[name][..., levels], rows, columns) for name in names}
    return images, places(rows, columns, low, high)


def cut(voxels: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(i, j, k) to (k, rows, columns), zero outside."""
    out = np.zeros((voxels.shape[2], len(rows), len(columns)), np.float32)
    i, j = ((at >= 0) & (at < n) for at, n in zip((rows, columns), voxels.shape, strict=False))
    part = voxels[np.ix_(rows[i], columns[j])]
    out[np.ix_(np.arange(len(out)), np.flatnonzero(i), np.flatnonzero(j))] = part.transpose(2, 0, 1)
    return out


def uncut(part: np.ndarray, head: Head) -> np.ndarray:
    """(k, h, w) on the window back to (i, j, k) on the head's grid, zero outside."""
    rows, columns, levels = window(head)
    out = np.zeros(head.grid.shape, np.float32)
    i, j = ((at >= 0) & (at < n) for at, n in zip((rows, columns), head.grid.shape, strict=False))
    inside = part[:, i][:, :, j]
    out[np.ix_(rows[i], columns[j], levels.start + np.arange(len(part)))] = inside.transpose(1, 2, 0)
    return out


def grown(mask: np.ndarray) -> np.ndarray:
    """`mask` and what lies within AROUND voxels of it in the slice."""
    image = torch.from_numpy(mask.transpose(2, 0, 1).astype(np.float32))[:, None]
    grown = functional.max_pool2d(image, 2 * AROUND + 1, stride=1, padding=AROUND)
    return (grown[:, 0] > 0).numpy().transpose(1, 2, 0)
