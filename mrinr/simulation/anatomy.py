"""Anatomies: which tissue is where. From the ICBM152 average or from a FreeSurfer-numbered label map."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.resources import resource
from mrinr.simulation.labels import HEALTHY, LABELS, NO_BRAIN, NUMBERS, TISSUE_OF_LABEL, is_brain
from mrinr.simulation.shape import box_of, draw_shape
from mrinr.simulation.tissue import ALL_TISSUES
from mrinr.volume import Volume, read

LESION_LABEL = 25
ICBM_LABELS = {"CSF": 24, "grey matter": 3, "white matter": 2}  # sides are not told apart
ICBM_VENTRICLES = (-26, 26), (-46, 28), (-4, 27)  # mm along R, A, S: fluid in this box is taken for them
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

    def varied(self, rng: np.random.Generator) -> Anatomy:
        """Another head made of this one (see shape.py), on 1 mm voxels along R, A and S."""
        shape = draw_shape(Volume(self.labels, self.affine, self.name), rng, flip=False)
        made = Anatomy(
            self.name,
            self.tissues,
            shape.linear(self.fractions),
            shape.nearest(self.brain),
            shape.nearest(self.labels),
            shape.grid.affine,
            self.sharpness,
        )
        return made.crop(*box_of(made.labels > 0))

    def painted(self, tissue: np.ndarray) -> Anatomy:
        """The head with disease: `tissue` (i, j, k; of ALL_TISSUES) rules where the labels say otherwise."""
        changed = tissue != TISSUE_OF_LABEL[self.labels]
        if not changed.any():
            return self
        low, high = box_of(changed)
        box = tuple(map(slice, low, high))
        numbers = np.unique(tissue[changed])
        names = tuple(ALL_TISSUES[n] for n in numbers)
        count = len(self.tissues)
        fractions = np.zeros((count + len(names), *changed.shape), np.float32)
        fractions[:count] = self.fractions
        part = fractions[(slice(None), *box)]
        whole = part.sum(0)  # stays what it was, next to bone and air too
        for row, n in enumerate(numbers, start=count):
            part[row] = _smooth(changed[box] & (tissue[box] == n))
        part[:count] *= 1 - part[count:].sum(0)
        part[count:] *= whole
        return replace(self, tissues=(*self.tissues, *names), fractions=fractions)

    def finer(
        self, low: tuple[int, int, int], high: tuple[int, int, int], tissues: list[int] | None = None
    ) -> torch.Tensor:
        """Fractions of the part low <= index < high, each voxel divided into 2 x 2 x 2.

        Returns (tissue, 2 i, 2 j, 2 k) for the rows `tissues`, which must hold all that are there.
        Fractions are interpolated linearly and raised to `sharpness`, then made to sum to one again with what
        gives no signal.
        """
        start = [max(n - 1, 0) for n in low]
        stop = [min(n + 1, count) for n, count in zip(high, self.labels.shape, strict=True)]
        around = tuple(map(slice, start, stop))
        rows = list(range(len(self.tissues))) if tissues is None else tissues
        part = torch.from_numpy(np.stack([self.fractions[row][around] for row in rows]))
        for axis in range(3):
            part = _doubled(part, axis + 1)
            part = part.narrow(axis + 1, (low[axis] - start[axis]) * 2, (high[axis] - low[axis]) * 2)
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
    ends = [
        np.array(mm) - t1.affine[axis, 3] for axis, mm in enumerate(ICBM_VENTRICLES)
    ]  # 1 mm along R, A, S
    deep = labels[tuple(slice(int(a), int(b)) for a, b in ends)]
    deep[deep == ICBM_LABELS["CSF"]] = 4
    return Anatomy("icbm", tissues, fractions, brain, labels, t1.affine, sharpness=2)


def from_labels(volume: Volume) -> Anatomy:
    """The anatomy of a FreeSurfer-numbered label map, cropped to the head. Lesions become white matter.

    Raises InputError when the map has no brain labels in it.
    """
    low, high = box_of(volume.voxels > 0.5)
    inside = volume.voxels[tuple(map(slice, low, high))]
    labels = np.rint(inside).clip(0, NUMBERS - 1).astype(np.int16)
    present = set(np.flatnonzero(np.bincount(labels.ravel(), minlength=NUMBERS)))
    if not present & {2, 3, 41, 42}:
        raise InputError(NO_BRAIN.format(volume.name))
    tissues = tuple(name for name, numbers in LABELS.items() if present & set(numbers))
    tissue = TISSUE_OF_LABEL[labels]
    fractions = np.zeros((len(tissues), *labels.shape), np.float32)
    for name, fraction in zip(tissues, fractions, strict=True):
        inside = tissue == ALL_TISSUES.index(name)
        box = tuple(map(slice, *box_of(inside)))
        fraction[box] = _smooth(inside[box])
    healthy = labels.copy()
    for lesion, white in HEALTHY.items():
        healthy[labels == lesion] = white
    affine = volume.grid.crop(low, high).affine
    return Anatomy(volume.name, tissues, fractions, is_brain(labels), healthy, affine, sharpness=3)


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
    near, far = np.exp(-0.5 * (np.arange(1, 3) / SMOOTHING) ** 2)
    middle = 1 / (1 + 2 * near + 2 * far)
    x = mask.astype(np.float32)
    for axis in range(3):
        y = np.moveaxis(x, axis, 0)
        made = y * np.float32(middle)
        for shift, tap in ((1, near * middle), (2, far * middle)):
            made[shift:] += np.float32(tap) * y[:-shift]
            made[:-shift] += np.float32(tap) * y[shift:]
        x = np.moveaxis(made, 0, axis)
    return x
