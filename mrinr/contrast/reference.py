"""What a voxel's own intensities say about another contrast: the voxel-wise reference.

Voxels of simulated people, each of other relaxation times, are looked up by their intensities in the sources:
the mean of the target over the most similar ones (k nearest neighbours) is the best guess that no voxel's
surroundings have helped. It is a reference and no bound: a model that sees the surroundings can beat it.
Needs numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from mrinr.contrast.scale import expected, gain
from mrinr.errors import InputError
from mrinr.resources import resource
from mrinr.simulation.signal import Sequence as MRSequence
from mrinr.simulation.signal import signal
from mrinr.simulation.tissue import TEXTURE, TISSUES, draw_scan

LEARNED, CHOSEN, TESTED = 36, 8, 16  # people to look up in, to choose k by, to report on
NOISE = 1 / 40  # of a source, as a fraction of the brain's median
SHADING = 0.04  # of a source, standard deviation of the logarithm
NEIGHBOURS = (15, 30, 60, 120, 240, 480)
MOST = 12_000  # voxels to look up in where there are several sources
CHUNK = 500
TOP = 99.9  # percentile of the truth in the brain that is the range


@dataclass(frozen=True, eq=False)
class Person:
    """Voxels of one brain.

    shares : (voxels, tissues) of TISSUES in each
    T1, T2, PD : (voxels, tissues)
    """

    shares: np.ndarray
    T1: np.ndarray
    T2: np.ndarray
    PD: np.ndarray

    def image(self, sequence: MRSequence) -> np.ndarray:
        """(voxels,) on the physical scale, free of noise; tissues mixed in signal."""
        return (self.shares * signal(sequence, self.T1, self.T2, self.PD)).sum(1)


@cache
def people(seed: int = 0) -> tuple[Person, ...]:
    """Simulated ones: brains of the training's label maps, relaxation times drawn for each."""
    with np.load(resource("anatomy", "brain_voxels.npz"), allow_pickle=False) as found:
        names, brains = list(found["tissues"]), found["shares"].astype(np.float32) / 255
    brains = brains[:, :, [names.index(name) for name in TISSUES]]
    rng = np.random.default_rng(seed)
    made = []
    for n in range(LEARNED + CHOSEN + TESTED):
        shares = brains[n % len(brains)]
        values = draw_scan((1, 1, 1), rng).values
        table = np.array([values[name][:3] for name in TISSUES])  # (tissues, T1 T2 PD)
        varied = table * np.exp(TEXTURE * rng.standard_normal((len(shares), *table.shape)))
        made.append(Person(shares, *np.moveaxis(varied.astype(np.float32), 2, 0)))
    return tuple(made)


def reference(sources: Sequence[MRSequence], target: MRSequence, seed: int = 0) -> float:
    """PSNR in dB at which `target` is known from `sources`, voxel by voxel, in brains without skull.

    Median over simulated people whose relaxation times and brains' voxels were not looked up in; range: the
    99.9th percentile of the truth in the brain. The number of neighbours is chosen on yet other people.
    A few seconds. Raises InputError without sources.
    """
    lookup = Lookup(sources, target, seed)
    tested = people(seed)[-TESTED:]
    rng = np.random.default_rng([seed, 1])
    return round(float(np.median([_psnr(lookup, person, rng) for person in tested])), 2)


class Lookup:
    """The conditional mean of `target` given intensities of `sources`, each on the physical scale."""

    def __init__(self, sources: Sequence[MRSequence], target: MRSequence, seed: int = 0) -> None:
        if not sources:
            raise InputError("A reference needs at least one source.")
        self.sources, self.target = list(sources), target
        rng = np.random.default_rng([seed, 2])
        seen, truth = zip(*(observed(p, sources, target, rng) for p in people(seed)[:LEARNED]), strict=True)
        self.seen, self.truth = np.concatenate(seen), np.concatenate(truth)
        # Distances count in units of the noise.
        self.unit = np.array([NOISE * expected(each) for each in sources], np.float32)
        if len(sources) > 1 and len(self.seen) > MOST:
            some = rng.choice(len(self.seen), MOST, replace=False)
            self.seen, self.truth = self.seen[some], self.truth[some]
        if len(sources) == 1:
            order = np.argsort(self.seen[:, 0], kind="stable")
            self.seen, self.truth = self.seen[order], self.truth[order]
            self.summed = np.concatenate([[0.0], np.cumsum(self.truth, dtype=np.float64)])
        chosen = people(seed)[LEARNED : LEARNED + CHOSEN]
        scores = {}
        for self.k in NEIGHBOURS:
            again = np.random.default_rng([seed, 3])
            scores[self.k] = np.median([_psnr(self, person, again) for person in chosen])
        self.k = max(scores, key=scores.__getitem__)

    def __call__(self, seen: np.ndarray) -> np.ndarray:
        """(voxels,) means of the target, on the first source's scale; seen : (voxels, sources)."""
        if len(self.sources) == 1:
            middle = np.searchsorted(self.seen[:, 0], seen[:, 0])
            first = np.clip(middle - self.k // 2, 0, len(self.truth) - self.k)
            return (self.summed[first + self.k] - self.summed[first]) / self.k
        found = np.empty(len(seen))
        table = (self.seen / self.unit).astype(np.float32)
        length = (table**2).sum(1)
        for start in range(0, len(seen), CHUNK):
            asked = (seen[start : start + CHUNK] / self.unit).astype(np.float32)
            distance = length - 2 * asked @ table.T
            nearest = np.argpartition(distance, self.k, axis=1)[:, : self.k]
            found[start : start + CHUNK] = self.truth[nearest].mean(1)
        return found


def observed(
    person: Person, sources: Sequence[MRSequence], target: MRSequence, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(voxels, sources) as scanned, each by its own gain, and (voxels,) the truth by the first one's gain."""
    seen, gains = [], []
    for sequence in sources:
        image = person.image(sequence)
        noise = NOISE * np.median(image) * rng.standard_normal((2, len(image)))
        image = np.hypot(image * np.exp(SHADING * rng.standard_normal(len(image))) + noise[0], noise[1])
        gains.append(gain(image, np.ones_like(image), sequence))
        seen.append(image / gains[-1])
    return np.stack(seen, 1).astype(np.float32), (person.image(target) / gains[0]).astype(np.float32)


def _psnr(lookup: Lookup, person: Person, rng: np.random.Generator) -> float:
    seen, truth = observed(person, lookup.sources, lookup.target, rng)
    top = max(float(np.percentile(truth, TOP)), 1e-6)
    return float(10 * np.log10(top**2 / max(float(((lookup(seen) - truth) ** 2).mean()), 1e-12)))
