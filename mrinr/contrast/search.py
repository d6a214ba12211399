"""The TR, TE and TI that tell two regions apart best, within what a scanner can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from mrinr.context import Context
from mrinr.contrast.parameters import PRESETS, SECONDS, Box, times, title_of
from mrinr.errors import InputError
from mrinr.simulation.signal import Sequence as MRSequence

STEPS = {"TR": 10, "TE": 10, "TI": 16}  # of the coarse grid, in logarithmic steps
ROUNDS = 5  # of refinement, each with half the step
AROUND = (-1.0, -0.5, 0.0, 0.5, 1.0)  # steps
Signals = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Limits:
    """What the scanner can do, in ms, and what scan time costs.

    TR, TE, TI : lowest and highest; TI None for no inversion
    time_weight : 0 where time costs nothing, so that the contrast counts; 1 for contrast over the square root
        of TR, which is contrast to noise in a given scan time; in between a power in between
    """

    TR: tuple[float, float]
    TE: tuple[float, float]
    TI: tuple[float, float] | None = None
    time_weight: float = 0.0

    def __post_init__(self) -> None:
        for name in ("TR", "TE", "TI"):
            ends = getattr(self, name)
            if ends is None:
                continue
            low, high = ends
            if not (np.isfinite([low, high]).all() and SECONDS[name] <= low < high):
                raise InputError(
                    f"The range of {name} must be two rising times in milliseconds, not {low:g} to {high:g}."
                )
        if not 0 <= self.time_weight <= 1:
            raise InputError(f"The weight of scan time must be from 0 to 1, not {self.time_weight:g}.")

    def within(self, box: Box) -> tuple[Limits, list[str]]:
        """What lies in a model's box, too, and sentences about what does not; InputError for nothing."""
        said, kept = [], {}
        for name in ("TR", "TE", "TI"):
            ends = getattr(self, name)
            if ends is None:
                continue
            low, high = max(ends[0], box[name][0]), min(ends[1], box[name][1])
            if low >= high:
                raise InputError(
                    f"The range of {name}, {ends[0]:g} to {ends[1]:g} ms, lies outside what the model was "
                    f"trained on ({box[name][0]:g} to {box[name][1]:g} ms)."
                )
            if (low, high) != tuple(ends):
                said.append(
                    f"{name} is searched from {low:g} to {high:g} ms only, where the model was trained."
                )
            kept[name] = (low, high)
        return Limits(kept["TR"], kept["TE"], kept.get("TI"), self.time_weight), said


@dataclass(frozen=True, eq=False)
class Found:
    """The best sequence, the map that led there, and conventional sequences beside it.

    contrast : |difference of the regions' signals|
    score : contrast times TR (s) to the power -time_weight / 2
    TR, TI : axes of the map (ms; TI 0 is no inversion)
    map : (TR, TI) best score over TE, NaN where none can be played
    conventional : by name {TR, TE, TI, contrast, score}
    """

    best: MRSequence
    contrast: float
    score: float
    TR: np.ndarray
    TI: np.ndarray
    map: np.ndarray
    conventional: dict[str, dict[str, float]]

    def report(self) -> dict[str, Any]:
        """As JSON can carry it."""
        cells = [[None if np.isnan(x) else float(x) for x in row] for row in self.map]
        return {
            "best": dict(zip(("TR", "TE", "TI"), times(self.best), strict=True)),
            "contrast": self.contrast,
            "score": self.score,
            "map": {"TR": self.TR.tolist(), "TI": self.TI.tolist(), "score": cells},
            "conventional": self.conventional,
        }


def search(
    signals: Signals,
    limits: Limits,
    context: Context | None = None,
    conventional: Mapping[str, MRSequence] = PRESETS,
) -> Found:
    """The sequence within `limits` with the highest score: a coarse grid, then ever finer around its best.

    signals : (n, 3) times in ms to the (n, 2) signals of the two regions

    Raises InputError where nothing within the limits can be played.
    """
    context = context or Context()
    axes = [_steps(limits, name) for name in ("TR", "TE", "TI")]
    grid = np.array(list(product(*axes)))
    context.progress(0.0, "Searching")
    scores = _scores(signals, grid, limits)
    if np.isnan(scores).all():
        raise InputError("Nothing within these ranges can be played: TI and two TE have to fit into TR.")
    starts = [part[np.nanargmax(scores[part])] for part in _inversions(grid, scores)]
    best, top = grid[0], -np.inf
    for n, start in enumerate(starts):
        at, score = grid[start], scores[start]
        for finer in range(ROUNDS):
            context.progress(0.5 + (n + finer / ROUNDS) / (2 * len(starts)), "Refining")
            near = _near(at, axes, 0.5**finer)
            found = _scores(signals, near, limits)
            if np.nanmax(found) > score:
                at, score = near[np.nanargmax(found)], np.nanmax(found)
        if score > top:
            best, top = at, score
    TR, TE, TI = (float(round(value, 1)) for value in best)
    played = MRSequence(TR, TE, TI)
    shape = [len(axis) for axis in axes]
    with np.errstate(all="ignore"):
        filled = np.where(np.isnan(scores), -np.inf, scores).reshape(shape).max(1)
    others = {title_of(each): each for each in conventional.values()}
    contrast, score = _values(signals, [played, *others.values()], limits)
    return Found(
        played,
        float(contrast[0]),
        float(score[0]),
        axes[0],
        axes[2],
        np.where(np.isinf(filled), np.nan, filled),
        {
            name: {"TR": each.TR, "TE": each.TE, "TI": each.TI, "contrast": float(c), "score": float(s)}
            for (name, each), c, s in zip(others.items(), contrast[1:], score[1:], strict=True)
        },
    )


def _steps(limits: Limits, name: str) -> np.ndarray:
    ends = getattr(limits, name)
    if ends is None:
        return np.zeros(1)
    low, high = ends
    values = np.geomspace(low, high, STEPS[name])
    return np.concatenate([[0.0], values]) if name == "TI" else values


def _inversions(grid: np.ndarray, scores: np.ndarray) -> list[np.ndarray]:
    """Candidates without and with inversion, refined apart: between TI 0 and the others there is no way."""
    parts = [np.flatnonzero((grid[:, 2] > 0) == inverted) for inverted in (False, True)]
    return [part for part in parts if len(part) and not np.isnan(scores[part]).all()]


def _near(at: np.ndarray, axes: Sequence[np.ndarray], width: float) -> np.ndarray:
    """Times around `at`, up to `width` steps of the coarse grid away, within its ends."""
    around = []
    for value, axis in zip(at, axes, strict=True):
        steps = axis[axis > 0]
        if value == 0 or len(steps) < 2:
            around.append(np.array([value]))
            continue
        ratio = steps[1] / steps[0]
        around.append(np.clip(value * ratio ** (width * np.array(AROUND)), steps[0], steps[-1]))
    return np.array(list(product(*around)))


def _scores(signals: Signals, grid: np.ndarray, limits: Limits) -> np.ndarray:
    """NaN for what cannot be played."""
    playable = grid[:, 2] + 2 * grid[:, 1] < grid[:, 0]
    scores = np.full(len(grid), np.nan)
    if playable.any():
        found = signals(grid[playable])
        scores[playable] = np.abs(found[:, 0] - found[:, 1]) * _price(grid[playable, 0], limits)
    return scores


def _values(signals: Signals, played: Sequence[MRSequence], limits: Limits) -> tuple[np.ndarray, np.ndarray]:
    """Contrast and score."""
    found = signals(np.array([times(each) for each in played]))
    contrast = np.abs(found[:, 0] - found[:, 1])
    return contrast, contrast * _price(np.array([each.TR for each in played]), limits)


def _price(TR: np.ndarray, limits: Limits) -> np.ndarray:
    return (TR / 1000) ** (-limits.time_weight / 2)
