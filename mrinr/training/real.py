"""Slices of real subjects; coil, noise, intensity curve, pose and motion are drawn each time (by MONAI)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from monai import transforms
from monai.data import CacheDataset
from torch.utils.data import IterableDataset, get_worker_info

from mrinr import bundles
from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.intensity import foreground_mask
from mrinr.registration import align
from mrinr.simulation.corruption import imperfect_strip
from mrinr.synthesis.find_brain import find_brain
from mrinr.synthesis.head import BRAIN_MODEL
from mrinr.synthesis.place import places
from mrinr.synthesis.space import onto, working_grid
from mrinr.training.batch import Batch, stack
from mrinr.training.folders import Subject, within
from mrinr.training.simulated import (
    BRIGHTEST,
    FEWEST_BRAIN,
    MARGIN,
    SLICES_PER_HEAD,
    Wanted,
    _draw_motion,
    _inverse,
    _moved,
    _window,
)
from mrinr.volume import Stack, Volume, check_image, read

KEPT = 16  # subjects that stay in memory, about 40 MB each; the others are read again when their turn comes
SUBJECTS_FOR_RATIOS = 24
BARE_BRAIN = (0.7, 2.1)  # a stripped scan is lit in at most this part of its voxels, and litres: no head is
STRIP = 0.5  # chance that a head as scanned is shown stripped


class RealSlices(IterableDataset[Batch]):
    """An endless stream of batches from scans; the parameters are those of `SimulatedSlices`.

    Subjects without the sequences are left out, those that cannot be read with a warning in the log.
    Raises InputError when nobody is left; one subject is read at once, so that this comes before training.
    """

    def __init__(
        self,
        subjects: Sequence[Subject],
        wanted: Wanted,
        size: tuple[int, int] = (128, 128),
        batch: int = 4,
        seed: int = 0,
        pool: int = 8,
    ) -> None:
        super().__init__()
        able = [subject for subject in subjects if within(wanted, subject.images)]
        self.wanted, self.size, self.batch = wanted, size, batch
        self.seed, self.pool = seed, min(pool, len(able))
        names = set(wanted.inputs) | set(wanted.targets)
        self.patients: Any = CacheDataset(
            able,
            Load(names),
            cache_num=KEPT,
            runtime_cache=True,
            copy_cache=False,
            as_contiguous=False,
            progress=False,
        )
        if not any(isinstance(self.patients[n], Patient) for n in range(len(able))):
            why = self.patients[0] if able else "they lack sequences that are asked for."
            raise InputError(f"None of the subjects can be trained on: {why}")

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        coming, chance = self._in_turns(rng), Chance(rng)
        people: deque[Patient] = deque(maxlen=self.pool)
        for drawn in count():
            # As in SimulatedSlices: the pool fills while training has begun, then its oldest is replaced.
            if drawn % (SLICES_PER_HEAD if len(people) == self.pool else SLICES_PER_HEAD // 5) == 0:
                people.append(next(coming))
            if drawn % self.batch == 0:
                slices = []
                first = within(self.wanted, people[rng.integers(len(people))].images)
                assert first is not None
                shown, asked = first.draw(rng)
                able = [person for person in people if {*shown, *asked} <= set(person.images)]
            slices.append(able[rng.integers(len(able))].slice(shown, asked, self.size, chance))
            if len(slices) == self.batch:
                yield stack(slices)

    def _in_turns(self, rng: np.random.Generator) -> Iterator[Patient]:
        """Each subject once in a random order, then again, without those that could not be read."""
        left = list(range(len(self.patients)))
        while True:
            for n in rng.permutation(left).tolist():
                found = self.patients[n]
                if isinstance(found, Patient):
                    yield found
                else:
                    left.remove(n)
                    logging.getLogger("mrinr").warning("Left out: %s", found)


class Load(transforms.Transform):
    """Subject to Patient, or to the InputError that says why not (MONAI would hide an exception)."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def __call__(self, subject: Subject) -> Patient | InputError:
        try:
            return load(subject, self.names)
        except InputError as error:
            return error


class Chance:
    """What is drawn for a slice.

    pose : of the person, one for all images
    scan : what a scanner and its software do to an image, on (1, h, w)
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        both = ("image", "mask")
        pose = [
            transforms.RandFlipd(both, prob=0.5, spatial_axis=0),
            transforms.RandAffined(
                both,
                prob=0.7,
                rotate_range=0.12,
                scale_range=(0.1, 0.1),
                mode=("bicubic", "nearest"),
                padding_mode="zeros",
            ),
        ]
        scan = [
            transforms.RandBiasField(prob=0.8, degree=3, coeff_range=(-0.1, 0.1)),
            transforms.RandAdjustContrast(prob=0.7, gamma=(0.75, 1.35)),
            transforms.RandRicianNoise(prob=0.8, std=0.07),
        ]
        seeds = rng.integers(2**31, size=2).tolist()
        self.pose = transforms.Compose(pose).set_random_state(seeds[0])
        self.scan = transforms.Compose(scan).set_random_state(seeds[1])


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

    def slice(
        self, shown: Sequence[str], asked: Sequence[str], size: tuple[int, int], chance: Chance
    ) -> dict[str, Any]:
        """The fields of `Batch` for one slice: a window around a random place in the brain."""
        rng = chance.rng
        level = int(rng.choice(np.flatnonzero(self.brain.sum((0, 1)) >= FEWEST_BRAIN)))
        planes = [self.images[name][..., level] for name in (*shown, *asked)]
        masks = [self.brain[..., level], self.lesions[..., level], np.any(self.brain, axis=2)]
        posed: Any = chance.pose({"image": _tensor(planes), "mask": _tensor(masks)})
        images = dict(zip((*shown, *asked), np.asarray(posed["image"]).clip(0, BRIGHTEST), strict=True))
        brain, lesions, shadow = np.asarray(posed["mask"]) > 0.5
        box = np.argwhere(shadow)
        low, high = box.min(0), box.max(0)
        slack = (
            high - low + 1 - size
        )  # the window lies within the brain's box where it is smaller, else around it
        corner = low + np.minimum(slack, 0) + rng.integers(np.abs(slack) + 1)
        outer = [np.arange(c - MARGIN, c + n + MARGIN) for c, n in zip(corner, size, strict=True)]
        rows, columns = (at[MARGIN:-MARGIN] for at in outer)
        inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
        brain = _window(brain, *outer)
        strip = not self.bare and rng.random() < STRIP
        kept = imperfect_strip(brain, rng) if strip else np.ones(brain.shape, bool)

        seen, motion = {}, {}
        for n, name in enumerate(shown):
            image, inside, mask = _window(images[name], *outer), brain, kept
            if n:
                motion[name] = _draw_motion(rng)
            if n and motion[name].any():
                back = _inverse(motion[name])
                image = _moved(image, back)
                inside, mask = (_moved(x.astype(np.float32), back) > 0.5 for x in (brain, kept))
            seen[name] = (_scanned(image, inside, chance) * mask)[inner].clip(0, BRIGHTEST)
        return {
            "seen": seen,
            "clean": {name: (_window(images[name], *outer) * kept)[inner] for name in asked},
            "brain": brain[inner],
            "lesions": _window(lesions, rows, columns),
            "place": places(rows, columns, low, high),
            "motion": motion,
        }


def _tensor(planes: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(planes).astype(np.float32))


def _scanned(image: np.ndarray, brain: np.ndarray, chance: Chance) -> np.ndarray:
    """`image` scanned again; air that was cut to zero stays zero, the brain's median moves a little."""
    found = np.asarray(chance.scan(torch.from_numpy(image)[None]))[0] * (image > 0)
    gain = np.exp(0.08 * chance.rng.standard_normal())
    inside = brain & (image > 0)
    if inside.any():
        gain *= float(np.median(image[inside])) / max(float(np.median(found[inside])), 1e-3)
    return (found * gain).astype(np.float32)


def load(subject: Subject, names: set[str]) -> Patient:
    """Read those of `names` that `subject` has, on the working grid of the first of them.

    Volumes that lie on one grid are taken as aligned; others are moved rigidly onto the first. The brain is
    the subject's mask, else what is left of a stripped scan, else found by the model that ships.
    Raises InputError for files that cannot be used.
    """
    given = {name: read(path) for name, path in subject.images.items() if name in names}
    for volume in given.values():
        check_image(volume)
    motions = _motions(given)
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

    bare = _bare(first, grid)
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


def _motions(given: dict[str, Volume]) -> dict[str, np.ndarray]:
    """By sequence, the rigid motion (4x4, RAS mm) onto the first."""
    first, *others = given
    apart = [name for name in others if not given[name].grid.same_as(given[first].grid)]
    _, motions = align([Stack(given[name], name) for name in (first, *apart)], Context())
    return {name: np.eye(4) for name in given} | dict(zip((first, *apart), motions, strict=True))


def _bare(volume: Volume, grid: Grid) -> np.ndarray | None:
    """On `grid`, what is not zero in a skull-stripped scan, holes filled; None for a head as scanned."""
    lit = volume.voxels != 0
    part, litres = BARE_BRAIN
    if lit.mean() > part or lit.sum() * np.prod(volume.spacing) > litres * 1e6:
        return None
    filled = sitk.GetArrayFromImage(sitk.BinaryFillhole(sitk.GetImageFromArray(lit.astype(np.uint8))))
    return onto(volume.with_voxels(filled), grid) > 0.5


@cache
def _finder() -> torch.nn.Module:
    return bundles.find(BRAIN_MODEL).network()


def ratios(
    subjects: Sequence[Subject], inputs: Sequence[str], targets: Sequence[str], seed: int
) -> dict[str, dict[str, float]]:
    """By target and input: the target's median in the brain over the input's, geometric mean over subjects.

    Log medians are taken as a subject's gain plus a sequence's level (least squares), so subjects may lack
    some of the sequences. Raises InputError when no subject can be read.
    """
    names = sorted({*inputs, *targets})
    order = np.random.default_rng([seed, 2]).permutation(len(subjects))[:SUBJECTS_FOR_RATIOS]
    found = [Load(set(names))(subjects[n]) for n in order]
    usable = [patient.units for patient in found if isinstance(patient, Patient)]
    if not usable:
        raise InputError(f"None of the subjects can be used: {found[0] if found else 'there are none'}")
    rows, logs = [], []
    for n, units in enumerate(usable):
        for name, unit in units.items():
            row = np.zeros(len(usable) + len(names))
            row[n] = row[len(usable) + names.index(name)] = 1
            rows.append(row)
            logs.append(np.log(unit))
    levels = np.linalg.lstsq(np.array(rows), np.array(logs), rcond=None)[0][len(usable) :]
    level = dict(zip(names, levels.tolist(), strict=True))
    return {t: {n: round(float(np.exp(level[t] - level[n])), 4) for n in inputs} for t in targets}
