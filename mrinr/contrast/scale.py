"""One gain for a subject: all contrasts on the physical scale on which the proton density of water is 1.

What is synthesised on the physical scale comes back in the units of an image by multiplying with its gain.
A gain is read from percentiles of the image in the brain: the weighted mean of their logarithms that varies
least over simulated brains at that TR, TE and TI. One percentile alone, such as the median, jumps from one
tissue to another where white and grey matter differ much.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from mrinr.errors import InputError
from mrinr.resources import resource
from mrinr.simulation.signal import Sequence, signal
from mrinr.simulation.tissue import TEXTURE, TISSUES, draw_scan

NOMINAL = ("white matter", "grey matter")  # the largest parts of every brain
BRIGHT = (*NOMINAL, "CSF")
DARKEST = 0.01  # where a sequence nulls a tissue nothing may be divided by its signal

PERCENTS = (5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98)
FLOOR = 0.03  # of the highest percentile: below it a scan shows noise
PEOPLE, VOXELS = 160, 200  # simulated brains from which weights are found
KINDS = ("white matter", "grey matter", "deep grey", "pallidum", "brainstem", "CSF")  # of tissue in them
COMPOSITION, FLUID = (
    0.3,
    0.12,
)  # how much what is taken for the brain varies: logarithm of shares; fluid around
SHADING, NOISE = 0.1, 0.03
MOST = 1.4  # beyond it real brains, with fluid that no simulated one has, misled the model (patient 19)
NULLED, FIXED = 0.1, 0.01  # of the brightest tissue; standard deviation of the logarithm of a gain
RIDGE = 3e-3  # variance of a percentile's logarithm that no simulation knows of


class Scale(NamedTuple):
    """Where an image lies.

    gain : what it has to be divided by to lie on the physical scale
    levels : (len(PERCENTS),) how much higher its percentiles are than usual, logarithm, cut where that is
        more than MOST times what it is in simulated brains
    spread : by how much, as a logarithm, gains found so vary between people
    """

    gain: float
    levels: np.ndarray
    spread: float


def expected(sequence: Sequence) -> float:
    """The mean of white and grey matter under `sequence`, PD 1 for water; at least `DARKEST`."""
    return max(float(np.mean([_signal(sequence, name) for name in NOMINAL])), DARKEST)


def brightest(sequence: Sequence) -> float:
    """The signal of the brightest tissue of a nominal brain, in whose units errors are comparable."""
    return max(*(_signal(sequence, name) for name in BRIGHT), DARKEST)


def percentiles(image: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Those of `PERCENTS` of `image` (voxels, any shape) in the brain.

    Raises InputError where the image is 0 in most of the brain.
    """
    inside = np.asarray(image)[np.asarray(brain) > 0]
    found = np.percentile(inside, PERCENTS) if inside.size else np.zeros(len(PERCENTS))
    if not np.isfinite(found).all() or found[PERCENTS.index(50)] <= 0:
        raise InputError("The image has no signal in the brain; check that it is an MR image of a head.")
    return found


def scale(found: np.ndarray, sequence: Sequence) -> Scale:
    """The scale of an image with these percentiles in the brain."""
    weights, usual, deviation, spread = _usual(sequence)
    logs = _logs(found)
    gain = float(logs @ weights - usual @ weights)
    levels = np.clip(logs - gain - usual, -MOST * deviation, MOST * deviation)
    return Scale(float(np.exp(gain)), levels.astype(np.float32), spread)


def known_to(found: Scale, sequence: Sequence) -> float:
    """How far the gain may be off, as a logarithm.

    Where the brain is nulled only fluid tells, of which the network knows least how much there is: it stays.
    """
    return found.spread if expected(sequence) > NULLED * brightest(sequence) else FIXED


def gain(image: np.ndarray, brain: np.ndarray, sequence: Sequence) -> float:
    """What `image` (voxels, any shape) has to be divided by to lie on the physical scale.

    brain : where the brain is, of the same shape

    Raises InputError where the image is 0 in most of the brain.
    """
    return scale(percentiles(image, brain), sequence).gain


@lru_cache(256)
def _usual(sequence: Sequence) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Of percentiles in simulated brains: weights (sum 1), means, deviations of levels, the spread."""
    shares, (T1, T2, PD), grain, noise = _brains()
    image = (shares @ signal(sequence, T1, T2, PD)[..., None].astype(np.float32))[..., 0] * grain
    image = np.hypot(image, noise * np.median(image, 1, keepdims=True))
    logs = _logs(np.percentile(image, PERCENTS, axis=1).T)
    covariance = np.cov(logs.T)
    weights = np.linalg.solve(covariance + RIDGE * np.eye(len(PERCENTS)), np.ones(len(PERCENTS)))
    weights /= weights.sum()
    usual, gains = logs.mean(0), (logs - logs.mean(0)) @ weights
    return weights, usual, (logs - usual - gains[:, None]).std(0), float(gains.std())


@cache
def _brains() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each person shares (people, voxels, KINDS), T1, T2 and PD (3, people, KINDS), shading and noise."""
    with np.load(resource("anatomy", "brain_voxels.npz"), allow_pickle=False) as kept:
        names, brains = list(kept["tissues"]), kept["shares"].astype(np.float32) / 255
    brains = brains[:, :, [names.index(name) for name in KINDS]]
    rng = np.random.default_rng(0)
    shares, values = [], []
    for n in range(PEOPLE):
        brain = brains[n % len(brains)]
        chance = np.exp(COMPOSITION * rng.standard_normal(len(KINDS)))[brain.argmax(1)]
        own = brain[rng.choice(len(brain), VOXELS, p=chance / chance.sum())]
        fluid = int(VOXELS * max(rng.uniform(-FLUID, FLUID), 0))
        own[:fluid] = 0
        own[:fluid, KINDS.index("CSF")] = rng.random(fluid)
        own[:fluid, KINDS.index("grey matter")] = 1 - own[:fluid, KINDS.index("CSF")]
        shares.append(own)
        drawn = draw_scan((1, 1, 1), rng).values
        values.append([drawn[name][:3] for name in KINDS])
    deviation = np.hypot(TEXTURE, SHADING * rng.random((PEOPLE, 1)))
    grain = np.exp(deviation * rng.standard_normal((PEOPLE, VOXELS)))
    noise = NOISE * np.abs(rng.standard_normal((PEOPLE, VOXELS)))
    return np.stack(shares), np.moveaxis(np.array(values), 2, 0), grain.astype(np.float32), noise


def _logs(found: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(found, FLOOR * found[..., -1:]))


def _signal(sequence: Sequence, tissue: str) -> float:
    T1, T2, PD, _ = TISSUES[tissue]
    return float(signal(sequence, np.array(T1), np.array(T2), np.array(PD)))
