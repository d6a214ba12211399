"""Heads for training: label maps turned, bent, aged and given disease, a new one at every draw.

A head is a map of tissues (hard borders, 1 mm, axes along R, A, S); what they look like is drawn apart
(tissue.draw_scan), so that one head serves many scans.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mrinr.errors import InputError
from mrinr.simulation.labels import NO_BRAIN, NUMBERS, TISSUE_OF_LABEL, is_brain
from mrinr.simulation.pathology import DISEASED, KINDS, Place, cavity
from mrinr.simulation.shape import box_of, draw_shape
from mrinr.simulation.tissue import ALL_TISSUES, INDEX
from mrinr.volume import Volume

__all__ = ["ALL_TISSUES", "INDEX", "Head", "draw_head"]

CAVITY_CHANCE = 0.08
CHANCES = {"none": 0.3, "ms": 0.35, "tumour": 0.2, "stroke": 0.15}  # of lesions "any"
FLUID_AROUND = 24  # FreeSurfer's CSF; the ventricles have numbers of their own


@dataclass(frozen=True, eq=False)
class Head:
    """The tissues of one head.

    tissue : (i, j, k) uint8, indices into ALL_TISSUES (0 is air and gives no signal)
    brain : (i, j, k) bool, brain and ventricles without the fluid around them, before lesions: how much of
        that a label map has differs by a factor of two, and a mask must mean the same in every head
    lesions : (i, j, k) bool
    affine : 4x4, index to RAS mm; 1 mm voxels along R, A, S
    """

    tissue: np.ndarray
    brain: np.ndarray
    lesions: np.ndarray
    affine: np.ndarray
    name: str


def draw_head(labels: Volume, rng: np.random.Generator, lesions: str = "none", vary: bool = True) -> Head:
    """One head from a FreeSurfer-numbered label map.

    Parameters
    ----------
    lesions : "none", "ms", "tumour", "stroke", or "any" (one of these by `CHANCES`)
    vary : draw another anatomy (flip, turn, size, warp, ventricles, cavities); else the map as it is

    Raises InputError for unknown lesions and for maps without brain.
    """
    if lesions not in (*KINDS, "none", "any"):
        raise InputError(f"Lesions '{lesions}' are not known; use {', '.join(KINDS)}, any or none.")
    if lesions == "any":
        lesions = str(rng.choice(list(CHANCES), p=list(CHANCES.values())))
    shape = draw_shape(labels, rng if vary else None)
    numbers = np.rint(shape.nearest(labels.voxels)).clip(0, NUMBERS - 1).astype(np.int16)
    low, high = box_of(numbers > 0)
    numbers = np.ascontiguousarray(numbers[tuple(map(slice, low, high))])
    affine = shape.grid.crop(low, high).affine
    tissue = TISSUE_OF_LABEL[numbers]
    brain = is_brain(numbers)
    if not (brain & (tissue == INDEX["white matter"])).any():
        raise InputError(NO_BRAIN.format(labels.name))
    tight = brain & (numbers != FLUID_AROUND)
    place = Place(tissue, numbers, brain)
    if vary and rng.random() < CAVITY_CHANCE:
        cavity(place, rng)
    if lesions == "none":
        return Head(tissue, tight, np.zeros(brain.shape, bool), affine, labels.name)
    KINDS[lesions](place, rng)
    first, last = INDEX[DISEASED[0]], INDEX[DISEASED[-1]]
    diseased = (tissue >= first) & (tissue <= last)
    return Head(tissue, tight | diseased, diseased, affine, labels.name)
