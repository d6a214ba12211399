"""Heads to run a super-resolution benchmark on: simulated from label maps or ICBM152, or real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mrinr.benchmark.people import those_named
from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.intensity import foreground_mask
from mrinr.itk import resample
from mrinr.registration import align
from mrinr.simulation import Anatomy, from_labels, icbm, simulate_subject
from mrinr.simulation.labels import is_brain
from mrinr.training.folders import Subject
from mrinr.training.sources import find_sources, stem
from mrinr.volume import Stack, Volume, check_image, read

MARGIN = 4  # voxels around the brain
THICKEST = 1.5  # mm: coarser scans are no truth for thinner slices
UNEQUAL = 1.05  # spacings of a grid that differ by more are made 1 mm, as the multi-contrast paper has them
REAL = "Real scans are taken as truth as they are: one made of thicker slices is smooth along their axis."

Corner = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Case:
    """One head, all on one grid: the truth of every contrast, the brain, and lesions (None without any)."""

    name: str
    truths: dict[str, Volume]
    brain: Volume
    lesions: Volume | None


@dataclass(frozen=True)
class Head:
    """Where a case comes from: a real subject, a label map, or (neither) the ICBM152 anatomy."""

    subject: Subject | None = None
    labels: Path | None = None

    @property
    def name(self) -> str:
        return self.subject.name if self.subject else stem(self.labels) if self.labels else "ICBM152"

    @property
    def names(self) -> set[str]:
        """Of the head and of whose it is."""
        return {self.name} | ({self.subject.person} if self.subject else set())

    def has(self, contrasts: Sequence[str]) -> bool:
        return self.subject is None or set(contrasts) <= set(self.subject.scans)


def heads(data: Path | None, names: Sequence[str], most: int | None = None, seed: int = 0) -> list[Head]:
    """Those in a folder (see `mrinr.training.folders`) that are named, or all; ICBM152 without a folder.

    most : at most so many, drawn by `seed`, as the papers take some of a data set
    Raises InputError for an empty folder and for unknown names.
    """
    if data is None:
        if names:
            raise InputError("Name --subjects together with the --data that they are in.")
        return [Head()]
    source = those_named(find_sources([data], []), names, "")
    found = [Head(labels=path) for path in source.maps] + [Head(subject) for subject in source.subjects]
    if most is not None and len(found) > most and not names:
        chosen = sorted(np.random.default_rng(seed).permutation(len(found))[:most])
        found = [found[n] for n in chosen]
    return found


def case(
    head: Head, contrasts: Sequence[str], size: int | None, disease: str = "none", seed: int = 1
) -> Case:
    """The head with these contrasts; with a `size` the middle only, that many voxels along each axis.

    disease : of simulated people, see `simulate_subject`. Real ones have what they have; the middle is then
        that of their lesions, where there are some and `disease` is not "none"
    seed : of tissue and disease of simulated people
    Raises InputError for scans that are no truth (thick slices) or cannot be used.
    """
    if head.subject is not None:
        return _real(head.subject, contrasts, size, disease != "none")
    anatomy = _anatomy(head.labels, size)
    subject = simulate_subject(anatomy, list(contrasts), seed, disease)
    brain = replace(subject.brain, name="the brain")
    return Case(f"{head.name} simulated", subject.volumes, brain, _any(subject.lesions))


def _anatomy(labels: Path | None, size: int | None) -> Anatomy:
    if labels is None:
        anatomy = icbm()
        return anatomy.crop(*_box(anatomy.brain, size))
    volume = read(labels)
    low, high = _box(is_brain(np.rint(volume.voxels).astype(int)), size)
    return from_labels(_cut(volume, low, high))


def _real(subject: Subject, contrasts: Sequence[str], size: int | None, on_lesions: bool) -> Case:
    scans = {c: read(subject.scans[c]) for c in contrasts}
    for c, volume in scans.items():
        check_image(volume)
        if volume.spacing.max() > THICKEST:
            raise InputError(
                f"{subject.scans[c]} has voxels of {volume.spacing.max():.1f} mm: no truth; leave "
                f"{subject.name} out."
            )
    first, *_ = scans.values()
    moved = {c: np.eye(4) for c in scans}
    if not all(v.grid.same_as(first.grid, 1e-2) for v in scans.values()):  # else somebody registered them
        _, motions = align([Stack(replace(v, name=c), c) for c, v in scans.items()], Context())
        moved = dict(zip(scans, motions, strict=True))
    even = first.spacing.max() <= UNEQUAL * first.spacing.min()
    grid = first.grid if even else first.grid.with_spacing((1.0, 1.0, 1.0))

    def placed(volume: Volume, name: str, order: int = 3) -> Volume:
        on = next((c for c, scan in scans.items() if scan.grid.same_as(volume.grid)), None)
        there = volume if on is None else volume.moved(moved[on])
        there = there if there.grid.same_as(grid, 1e-2) else resample(there, grid, order)
        return Volume(np.maximum(there.voxels, 0), grid.affine, name)

    truths = {c: placed(scan, c) for c, scan in scans.items()}
    if subject.brain:
        brain = placed(read(subject.brain), "the brain mask", 0)
    else:
        brain = Volume(
            foreground_mask(truths[contrasts[0]]).astype(np.float32), grid.affine, "the foreground"
        )
    lesions = None if subject.lesions is None else _any(placed(read(subject.lesions), "lesions", 0))
    middle = brain if lesions is None or not on_lesions else lesions
    low, high = _box(middle.voxels > 0, size, brain.voxels > 0)
    cut = {c: _cut(v, low, high) for c, v in truths.items()}
    there = None if lesions is None else _any(_cut(lesions, low, high))
    return Case(subject.name, cut, _cut(brain, low, high), there)


def _any(mask: Volume) -> Volume | None:
    return mask if mask.voxels.any() else None


def _cut(volume: Volume, low: Corner, high: Corner) -> Volume:
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    part: Grid = volume.grid.crop(low, high)
    return replace(volume, voxels=np.ascontiguousarray(volume.voxels[box]), affine=part.affine)


def _box(mask: np.ndarray, size: int | None, whole: np.ndarray | None = None) -> tuple[Corner, Corner]:
    """`size` voxels along each axis around the middle of the mask; without a size all of `whole`."""
    shape = np.array(mask.shape)
    inside = np.argwhere(mask if size is not None or whole is None else whole)
    if size is None:
        low, high = inside.min(0) - MARGIN, inside.max(0) + 1 + MARGIN
    else:
        low = np.clip((inside.min(0) + inside.max(0) + 1 - size) // 2, 0, np.maximum(shape - size, 0))
        high = low + size
    low, high = np.maximum(low, 0), np.minimum(high, shape)
    return (int(low[0]), int(low[1]), int(low[2])), (int(high[0]), int(high[1]), int(high[2]))
