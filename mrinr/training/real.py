"""Slices of real subjects; coil, noise, intensity curve, pose and motion are drawn each time (by MONAI)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
import torch
from monai import transforms
from monai.data import CacheDataset
from torch.utils.data import IterableDataset, get_worker_info

from mrinr.errors import InputError
from mrinr.simulation.corruption import imperfect_strip
from mrinr.synthesis.place import places
from mrinr.synthesis.prediction import BRIGHTEST
from mrinr.training.batch import Batch, stack
from mrinr.training.folders import Subject, within
from mrinr.training.patient import Patient, load
from mrinr.training.simulated import (
    FEWEST_BRAIN,
    MARGIN,
    SLICES_PER_HEAD,
    Wanted,
    draw_motion,
    moved_image,
    undone,
    window,
)

KEPT = 16  # subjects that stay in memory, about 40 MB each; the others are read again when their turn comes
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
            one = able[rng.integers(len(able))]
            slices.append(draw_slice(one, shown, asked, self.size, chance))
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
    scan : what a scanner and its software do to (1, h, w); often nothing, because scans have noise already
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
            transforms.RandBiasField(prob=0.5, degree=3, coeff_range=(-0.1, 0.1)),
            transforms.RandAdjustContrast(prob=0.5, gamma=(0.75, 1.35)),
            transforms.RandRicianNoise(prob=0.5, std=0.07),
        ]
        seeds = rng.integers(2**31, size=2).tolist()
        self.pose = transforms.Compose(pose).set_random_state(seeds[0])
        self.scan = transforms.Compose(scan).set_random_state(seeds[1])


def draw_slice(
    patient: Patient, shown: Sequence[str], asked: Sequence[str], size: tuple[int, int], chance: Chance
) -> dict[str, Any]:
    """The fields of `Batch` for one slice: a window around a random place in the brain."""
    rng = chance.rng
    level = int(rng.choice(np.flatnonzero(patient.brain.sum((0, 1)) >= FEWEST_BRAIN)))
    planes = [patient.images[name][..., level] for name in (*shown, *asked)]
    masks = [patient.brain[..., level], patient.lesions[..., level], np.any(patient.brain, axis=2)]
    posed: Any = chance.pose({"image": _tensor(planes), "mask": _tensor(masks)})
    images = dict(zip((*shown, *asked), np.asarray(posed["image"]).clip(0, BRIGHTEST), strict=True))
    brain, lesions, shadow = np.asarray(posed["mask"]) > 0.5
    box = np.argwhere(shadow)
    low, high = box.min(0), box.max(0)
    # the window lies within the brain's box where it is smaller, else around it
    slack = high - low + 1 - size
    corner = low + np.minimum(slack, 0) + rng.integers(np.abs(slack) + 1)
    outer = [np.arange(c - MARGIN, c + n + MARGIN) for c, n in zip(corner, size, strict=True)]
    rows, columns = (at[MARGIN:-MARGIN] for at in outer)
    inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    brain = window(brain, *outer)
    strip = not patient.bare and rng.random() < STRIP
    kept = imperfect_strip(brain, rng) if strip else np.ones(brain.shape, bool)

    seen, motion = {}, {}
    for n, name in enumerate(shown):
        image, inside, mask = window(images[name], *outer), brain, kept
        if n:
            motion[name] = draw_motion(rng)
        if n and motion[name].any():
            back = undone(motion[name])
            image = moved_image(image, back)
            inside, mask = (moved_image(x.astype(np.float32), back) > 0.5 for x in (brain, kept))
        seen[name] = (_scanned(image, inside, chance) * mask)[inner].clip(0, BRIGHTEST)
    return {
        "seen": seen,
        "clean": {name: (window(images[name], *outer) * kept)[inner] for name in asked},
        "brain": brain[inner],
        "lesions": window(lesions, rows, columns),
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
