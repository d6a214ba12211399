"""Slices of the local INR's benchmark: those trained on and, of every person held out, those tested."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np

from mrinr.benchmark.local_inr_training import Size
from mrinr.errors import InputError
from mrinr.synthesis.place import places
from mrinr.training.batch import Batch, stack
from mrinr.training.folders import Subject, within
from mrinr.training.patient import load
from mrinr.training.simulated import FEWEST_BRAIN, Wanted, window
from mrinr.training.sources import Source, stem


def batches(source: Source, size: Size) -> Iterable[Batch]:
    """What every model is trained on: a list of those kept, or a stream that is the same each time."""
    wanted = Wanted(size.inputs, (size.target,))
    stream = source.slices(wanted, seed=0, size=size.crop, batch=size.batch, pool=4)
    return stream if size.kept is None else list(islice(stream, size.kept))


def tested(source: Source, size: Size) -> dict[str, Batch]:
    """By person: slices that every model is tested on; of real people those of their first scan.

    Raises InputError where nobody has all sequences.
    """
    wanted, found = Wanted(size.inputs, (size.target,)), {}
    for n, path in enumerate(source.maps):
        stream = Source((path,)).slices(wanted, seed=1000 + n, size=size.crop, batch=size.slices, pool=1)
        found[stem(path)] = next(iter(stream))
    for subject in source.subjects:
        if subject.person not in found and within(wanted, subject.images):
            found[subject.person] = as_scanned(subject, size)
    if not found:
        names = ", ".join((*size.inputs, size.target))
        raise InputError(f"Nobody in the data has {names}; give people who have, with --data.")
    return found


def as_scanned(subject: Subject, size: Size) -> Batch:
    """Slices of a real person at equal distances through the brain, cut to the crop around its middle."""
    names = (*size.inputs, size.target)
    patient = load(subject, set(names))
    levels = np.flatnonzero(patient.brain.sum((0, 1)) >= FEWEST_BRAIN)
    some = levels[np.linspace(0, len(levels) - 1, size.slices + 2).round().astype(int)[1:-1]]
    box = np.argwhere(patient.brain.any(2))
    low, high = box.min(0), box.max(0)
    corner = (low + high + 1 - size.crop) // 2
    rows, columns = (np.arange(c, c + n) for c, n in zip(corner, size.crop, strict=True))

    def one(level: int) -> dict[str, Any]:
        cut = {name: window(patient.images[name][..., level], rows, columns) for name in names}
        return {
            "seen": {name: cut[name] for name in size.inputs},
            "clean": {size.target: cut[size.target]},
            "brain": window(patient.brain[..., level], rows, columns),
            "lesions": window(patient.lesions[..., level], rows, columns),
            "place": places(rows, columns, low, high),
            "motion": {},
        }

    return stack([one(int(level)) for level in some])
