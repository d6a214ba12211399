"""A real subject as models see it: on one grid, aligned, the brain found, scaled by its median."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mrinr import bundles
from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.intensity import foreground_mask
from mrinr.registration import align
from mrinr.synthesis.find_brain import bare_brain, find_brain
from mrinr.synthesis.head import BRAIN_MODEL
from mrinr.synthesis.levels import known
from mrinr.synthesis.prediction import BRIGHTEST
from mrinr.synthesis.space import onto, working_grid
from mrinr.training.folders import Subject
from mrinr.training.simulated import FEWEST_BRAIN
from mrinr.volume import Stack, Volume, check_image, read

SUBJECTS_FOR_LEVELS = 24
SPREAD = 0.1  # of log medians around their mean


@dataclass(eq=False)
class Patient:
    """One subject in the working space, cut to the head.

    images : by sequence, (i, j, k) float16, the brain's median at 1, cut to 0..BRIGHTEST
    units : by sequence, the brain's median in the scan's own units
    brain, lesions : (i, j, k) bool
    bare : whether the scans were stripped before we got them
    """

    images: dict[str, np.ndarray]
    units: dict[str, float]
    brain: np.ndarray
    lesions: np.ndarray
    bare: bool


def load(subject: Subject, names: set[str]) -> Patient:
    """Read those of `names` that `subject` has, on the working grid of the first of them.

    Volumes that lie on one grid are taken as aligned; others are moved rigidly onto the first. The brain is
    the subject's mask, else what is left of a stripped scan, else found by the model that ships.
    Raises InputError for files that cannot be used.
    """
    given = {name: read(path) for name, path in subject.images.items() if name in names}
    for volume in given.values():
        check_image(volume)
    motions = motions_onto_first(given)
    volumes = {name: volume.moved(motions[name]) for name, volume in given.items()}
    first = next(iter(volumes.values()))
    grid = working_grid(first.grid)
    images = {name: np.clip(onto(volume, grid), 0, None) for name, volume in volumes.items()}

    def mask_of(path: Path) -> np.ndarray:
        """A mask is moved along with the image that it was drawn on."""
        mask = read(path)
        on = next((name for name, volume in given.items() if volume.grid.same_as(mask.grid)), None)
        mask = mask.with_voxels(mask.voxels > 0.5)
        return onto(mask if on is None else mask.moved(motions[on]), grid) > 0.5

    bare = bare_brain(first, grid)
    brain = mask_of(subject.brain) if subject.brain else bare
    if brain is None:
        brain = find_brain(_finder(), list(images.values()), grid.spacing, torch.device("cpu"), Context())
    levels = np.flatnonzero(brain.sum((0, 1)) >= FEWEST_BRAIN)
    if not len(levels):
        raise InputError(f"{subject.name} has no slice with enough brain; check its mask.")
    units = {}
    for name, image in images.items():
        units[name] = float(np.median(image[brain]))
        if units[name] <= 0:
            raise InputError(f"{name} of {subject.name} is dark in more than half of the brain.")
        images[name] = np.minimum(image / units[name], BRIGHTEST).astype(np.float16)
    lesions = mask_of(subject.lesions) if subject.lesions else np.zeros(brain.shape, bool)
    lit = foreground_mask(Volume(images[next(iter(images))], grid.affine)) | brain
    rows, columns = (np.flatnonzero(lit.any(axis=other)) for other in ((1, 2), (0, 2)))
    head = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1, levels[0] : levels[-1] + 1]
    images = {name: np.ascontiguousarray(image[head]) for name, image in images.items()}
    return Patient(images, units, brain[head].copy(), lesions[head].copy(), bare is not None)


def motions_onto_first(given: dict[str, Volume]) -> dict[str, np.ndarray]:
    """By sequence, the rigid motion (4x4, RAS mm) onto the first."""
    first, *others = given
    apart = [name for name in others if not given[name].grid.same_as(given[first].grid)]
    _, motions = align([Stack(given[name], name) for name in (first, *apart)], Context())
    return {name: np.eye(4) for name in given} | dict(zip((first, *apart), motions, strict=True))


@cache
def _finder() -> torch.nn.Module:
    return bundles.find(BRAIN_MODEL).network()


def levels(subjects: Sequence[Subject], names: Sequence[str], seed: int) -> dict[str, Any]:
    """What `mrinr.synthesis.levels` knows of `names`, from the subjects' own medians.

    Log medians are taken as a subject's gain plus a sequence's level (least squares), so subjects may lack
    some of the sequences; all levels are taken to vary alike. Raises InputError when no subject can be read.
    """
    order = np.random.default_rng([seed, 2]).permutation(len(subjects))[:SUBJECTS_FOR_LEVELS]
    usable: list[dict[str, float]] = []
    for n in order:
        try:
            usable.append(load(subjects[n], set(names)).units)
        except InputError as error:
            why = error
    if not usable:
        raise InputError(f"None of the subjects can be used: {why}")
    rows, logs = [], []
    for n, units in enumerate(usable):
        for name, unit in units.items():
            row = np.zeros(len(usable) + len(names))
            row[n] = row[len(usable) + names.index(name)] = 1
            rows.append(row)
            logs.append(np.log(unit))
    mean = np.linalg.lstsq(np.array(rows), np.array(logs), rcond=None)[0][len(usable) :]
    return known(names, mean, SPREAD**2 * np.eye(len(names)))
