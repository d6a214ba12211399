"""Anatomies: which tissue is where. From the ICBM152 average or from a FreeSurfer-numbered label map."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.resources import resource
from mrinr.volume import Volume, read

# FreeSurfer numbers, and beyond 500 those of the SynthSeg training maps outside the brain. What is in no row
# (air, cortical bone) gives no signal.
LABELS = {
    "white matter": (2, 7, 25, 41, 46, 57, 77, 85, 136, 137, 163, 164, *range(251, 256), 530),
    "grey matter": (3, 8, 17, 18, 42, 47, 53, 54, 80, *range(1000, 1036), *range(2000, 2036)),
    "deep grey": (9, 10, 11, 12, 26, 28, 48, 49, 50, 51, 58, 60),
    "pallidum": (13, 52),
    "brainstem": (16, 512),
    "CSF": (4, 5, 14, 15, 24, 43, 44, 72, 506),
    "fat": (511, 516),
    "muscle": (507, 508),
    "vessel": (30, 62, 502, 514),
    "mucosa": (509,),
    "choroid plexus": (31, 63),
}
LESION_LABEL = 25
OUTSIDE_BRAIN = range(500, 1000)
NUMBERS = 2100  # labels from here on are taken for 2099, which no tissue has
ICBM_LABELS = {"CSF": 24, "grey matter": 3, "white matter": 2}  # sides are not told apart
SMOOTHING = 0.7  # voxels: takes the stairs off a label map


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Where the tissues of one head are.

    tissues : names, keys of `mrinr.simulation.tissue.TISSUES`
    fractions : (tissue, i, j, k) float32 in [0, 1]; what is missing to a sum of 1 gives no signal
    brain : (i, j, k) bool
    labels : (i, j, k) int16, FreeSurfer numbers
    affine : 4x4, index to RAS millimetres
    sharpness : exponent that makes borders crisp again between the voxels (see `finer`)
    """

    name: str
    tissues: tuple[str, ...]
    fractions: np.ndarray
    brain: np.ndarray
    labels: np.ndarray
    affine: np.ndarray
    sharpness: int

    @property
    def grid(self) -> Grid:
        a, b, c = self.labels.shape
        return Grid((a, b, c), self.affine)

    def moved(self, rigid: np.ndarray) -> Anatomy:
        """The same head after a rigid motion (4x4, RAS to RAS millimetres)."""
        return replace(self, affine=np.asarray(rigid) @ self.affine)

    def crop(self, low: tuple[int, int, int], high: tuple[int, int, int]) -> Anatomy:
        """The part with low <= index < high."""
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        return replace(
            self,
            fractions=self.fractions[(slice(None), *box)],
            brain=self.brain[box],
            labels=self.labels[box],
            affine=self.grid.crop(low, high).affine,
        )

    def finer(self, start: int, stop: int) -> torch.Tensor:
        """Fractions of the rows start..stop, each voxel divided into 2 x 2 x 2.

        Returns (tissue, 2 (stop - start), 2 j, 2 k). Fractions are interpolated linearly and raised to
        `sharpness`, then made to sum to one again with what gives no signal.
        """
        low, high = max(start - 1, 0), min(stop + 1, self.labels.shape[0])
        part = torch.from_numpy(np.ascontiguousarray(self.fractions[:, low:high]))
        for axis in (1, 2, 3):
            part = _doubled(part, axis)
        part = part[:, (start - low) * 2 : (stop - low) * 2]
        rest = (1 - part.sum(0)).clamp_min_(0) ** self.sharpness
        part = part**self.sharpness
        return part.div_((part.sum(0) + rest).clamp_min_(1e-9))


def icbm() -> Anatomy:
    """The ICBM152 average brain (Fonov 2011) in Resources/anatomy: CSF, grey and white matter at 1 mm."""
    t1, grey, white = (read(resource("anatomy", f"icbm152_{name}.nii.gz")) for name in ("t1", "gm", "wm"))
    brain = t1.voxels > 0
    fluid = np.clip(brain - grey.voxels - white.voxels, 0, 1)
    tissues = ("CSF", "grey matter", "white matter")
    fractions = np.stack([fluid, grey.voxels, white.voxels])
    numbers = np.array([ICBM_LABELS[name] for name in tissues], dtype=np.int16)
    labels = np.where(brain, numbers[fractions.argmax(0)], 0).astype(np.int16)
    return Anatomy("icbm", tissues, fractions, brain, labels, t1.affine, sharpness=2)


def from_labels(volume: Volume) -> Anatomy:
    """The anatomy of a FreeSurfer-numbered label map, cropped to the head. Lesions become white matter.

    Raises InputError when the map has no brain labels in it.
    """
    everything = np.rint(volume.voxels).clip(0, NUMBERS - 1).astype(np.int16)
    present = set(np.flatnonzero(np.bincount(everything.ravel(), minlength=NUMBERS)))
    if not present & {2, 3, 41, 42}:
        raise InputError(f"{volume.name} has no FreeSurfer brain labels (2, 3, 41, 42); give a label map.")
    found = [np.flatnonzero((everything > 0).any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
    low = [max(int(f[0]) - 2, 0) for f in found]
    high = [min(int(f[-1]) + 3, n) for f, n in zip(found, everything.shape, strict=True)]
    labels = everything[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    tissues = tuple(name for name, numbers in LABELS.items() if present & set(numbers))
    row = np.full(NUMBERS, -1, np.int8)
    for n, name in enumerate(tissues):
        row[list(LABELS[name])] = n
    tissue = row[labels]
    fractions = np.stack([_smooth(tissue == n) for n in range(len(tissues))])
    affine = volume.grid.crop((low[0], low[1], low[2]), (high[0], high[1], high[2])).affine
    brain = (labels > 0) & ~((labels >= OUTSIDE_BRAIN.start) & (labels < OUTSIDE_BRAIN.stop))
    healthy = np.select([labels == 25, labels == 57], [2, 41], labels).astype(np.int16)
    return Anatomy(volume.name, tissues, fractions, brain, healthy, affine, sharpness=3)


def load(name: str | Path) -> Anatomy:
    """ "icbm", or the anatomy of a label map on disk."""
    return icbm() if str(name) == "icbm" else from_labels(read(name))


def _doubled(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Twice as many samples along `axis`, a quarter of a voxel to either side of the old ones; linear."""
    count = x.shape[axis]
    out = x.new_empty([n * 2 if a == axis else n for a, n in enumerate(x.shape)])
    even, odd = (out[(slice(None),) * axis + (slice(n, None, 2),)] for n in (0, 1))
    first, last = x.narrow(axis, 0, count - 1), x.narrow(axis, 1, count - 1)
    torch.lerp(last, first, 0.25, out=even.narrow(axis, 1, count - 1))
    torch.lerp(first, last, 0.25, out=odd.narrow(axis, 0, count - 1))
    even.select(axis, 0).copy_(x.select(axis, 0))
    odd.select(axis, -1).copy_(x.select(axis, -1))
    return out


def _smooth(mask: np.ndarray) -> np.ndarray:
    """(i, j, k) bool -> float32 after a Gaussian of SMOOTHING voxels, axis by axis; air all around."""
    taps = np.exp(-0.5 * (np.arange(-2, 3) / SMOOTHING) ** 2).astype(np.float32)
    taps /= taps.sum()
    x = np.pad(mask.astype(np.float32), 2)
    for axis in range(3):
        count = mask.shape[axis]
        x = sum(tap * x.take(range(n, n + count), axis) for n, tap in enumerate(taps))
    return x
