"""Which sequences a contrast model is trained on: a box of times, but nothing near those kept unseen."""

from __future__ import annotations

import math

import numpy as np

from mrinr.contrast.scale import brightest, expected
from mrinr.errors import InputError
from mrinr.simulation.sequences import SEQUENCES, jittered
from mrinr.simulation.signal import Sequence

BOX = {"TR": (400.0, 10000.0), "TE": (8.0, 200.0), "TI": (150.0, 3000.0)}  # ms; TI may also be 0
UNSEEN = ("CRL4", "CRL6")  # of the paper; no draw at TI 0 comes within APART of them in both TR and TE
APART = 0.15
NAMED = ("CRL1", "CRL2", "CRL3", "CRL5", "CRL7", "CRL8", "CRL9",
         "T1", "T2", "FLAIR", "PD", "T1FLAIR", "STIR")  # fmt: skip
OFTEN = 0.35  # share of draws around the named ones
INVERTED = 0.45  # share of the others
FAINTEST = 0.02  # median in the brain of a source, PD 1: below it a scan shows noise
DARKEST = 0.03  # brightest tissue of a target


def plain(sequence: Sequence) -> Sequence:
    """Only its TR, TE and TI: all that the model is told."""
    return Sequence(sequence.TR, sequence.TE, sequence.TI)


def draw(rng: np.random.Generator, source: bool) -> Sequence:
    """A sequence that can be played and is not too dark, as a source or a target."""
    while True:
        try:
            made = _around_named(rng) if rng.random() < OFTEN else _in_box(rng)
        except InputError:
            continue  # does not fit into its TR
        clear = expected(made) > FAINTEST if source else brightest(made) > DARKEST
        if clear and in_box(made) and seen(made):
            return made


def in_box(sequence: Sequence) -> bool:
    TI = sequence.TI == 0 or _within(sequence.TI, "TI")
    return TI and _within(sequence.TR, "TR") and _within(sequence.TE, "TE")


def seen(sequence: Sequence) -> bool:
    """Whether training may show it."""
    return min(distance(sequence, SEQUENCES[name]) for name in UNSEEN) > APART


def distance(sequence: Sequence, other: Sequence) -> float:
    """The larger of the relative differences in TR and in TE; infinite where only one inverts."""
    if sequence.TI != other.TI:
        return math.inf
    return max(abs(sequence.TR / other.TR - 1), abs(sequence.TE / other.TE - 1))


def nearest(name: str, draws: int = 20_000) -> Sequence:
    """Of so many draws the one that comes nearest to an unseen sequence."""
    rng = np.random.default_rng(0)
    return min((draw(rng, False) for _ in range(draws)), key=lambda each: distance(each, SEQUENCES[name]))


def _around_named(rng: np.random.Generator) -> Sequence:
    return plain(jittered(SEQUENCES[NAMED[rng.integers(len(NAMED))]], rng))


def _in_box(rng: np.random.Generator) -> Sequence:
    TR, TE, TI = (math.exp(rng.uniform(*np.log(BOX[name]))) for name in BOX)
    return Sequence(TR, TE, TI if rng.random() < INVERTED else 0.0)


def _within(value: float, name: str) -> bool:
    low, high = BOX[name]
    return low <= value <= high
