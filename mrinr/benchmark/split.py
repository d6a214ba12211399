"""Who is trained on and who is tested: quarters of the people; all scans or warps of one are one person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mrinr.benchmark.people import those_named
from mrinr.errors import InputError
from mrinr.simulation.labels import is_brain
from mrinr.simulation.shape import VENTRICLES
from mrinr.training.sources import Source, stem
from mrinr.volume import read

QUARTERS = 4


def folds(source: Source, small: bool, seed: int = 0) -> list[tuple[Source, Source]]:
    """(to train on, to test on) for each quarter; a small benchmark trains on one quarter, tests on the rest.

    Label maps are dealt out in the order of the size of their ventricles, real people in one that `seed`
    draws. Raises InputError for fewer people than quarters (small: than two), unless there is one label map
    alone.
    """
    if len(source.maps) == 1 and not source.subjects:
        return [(source, source)]
    fraction = {stem(path): _ventricles(path) for path in source.maps}
    names = [*sorted(fraction, key=lambda name: fraction[name]), *shuffled(source, seed)]
    fewest = 2 if small else QUARTERS
    if len(names) < fewest:
        raise InputError(f"This benchmark needs {fewest} people or more, not {len(names)}.")
    quarters = [names[n::QUARTERS] for n in range(QUARTERS)]
    if small:
        return [source.split([name for quarter in quarters[1:] for name in quarter])]
    return [source.split(quarter) for quarter in quarters]


def groups(
    source: Source, names: Sequence[str], small: bool, most: int, trained_on: str, seed: int = 0
) -> list[tuple[Source | None, Source]]:
    """(to train on, to test on): quarters; once in a small benchmark and where `names` says whom to test.

    most : so many are tested in a small benchmark, of those whom a model's card, `trained_on`, does not name
    """
    if not names and not small:
        return [*folds(source, small, seed)]
    tested = those_named(source, names, trained_on)
    if not names:
        order = [*map(stem, tested.maps), *shuffled(tested, seed)]
        tested = those_named(tested, order[:most], "")
    apart = {*map(stem, tested.maps), *(subject.person for subject in tested.subjects)}
    if all(name in apart for name in (*map(stem, source.maps), *shuffled(source, seed))):
        return [(None, tested)]
    return [(source.split(sorted(apart))[0], tested)]


def shuffled(source: Source, seed: int) -> list[str]:
    """The real people (not their scans) in an order that `seed` draws."""
    people = list(dict.fromkeys(subject.person for subject in source.subjects))
    return [people[n] for n in np.random.default_rng([seed, 7]).permutation(len(people))]


def _ventricles(path: Path) -> float:
    """Their part of the brain."""
    labels = np.rint(read(path).voxels).astype(int)
    return float(np.isin(labels, VENTRICLES).sum() / max(int(is_brain(labels).sum()), 1))
