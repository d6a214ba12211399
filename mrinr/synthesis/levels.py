"""How bright a sequence is at the gain of others: what the medians in the brain say about one more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

ANY_GAIN = 100.0  # variance of a subject's log gain: nothing is known of it
UNSURE = 0.03**2  # of a scan's own log median: noise, an imperfect brain mask


def learned(names: Sequence[str], logs: np.ndarray) -> dict[str, Any]:
    """Levels from log medians in the brain, (people, names), those of a person at one gain."""
    own = logs - logs.mean(1, keepdims=True)
    return known(names, logs.mean(0), np.atleast_2d(np.cov(own, rowvar=False)))


def known(names: Sequence[str], mean: np.ndarray, covariance: np.ndarray) -> dict[str, Any]:
    """Levels as a bundle keeps them: mean and covariance of the log medians of `names`, but for the gain."""
    return {
        "names": list(names),
        "mean": [round(float(each), 4) for each in mean],
        "covariance": [[round(float(each), 6) for each in row] for row in covariance],
    }


def expected(levels: Mapping[str, Any], target: str, units: Mapping[str, float]) -> float:
    """The target's median in the brain, where those of other sequences are `units` at the same gain.

    The conditional mean of normal log medians: one that varies with the target's tells more than others.
    """
    names = levels["names"]
    given, wanted = [names.index(name) for name in units], names.index(target)
    mean, covariance = np.array(levels["mean"]), np.array(levels["covariance"]) + ANY_GAIN
    off = np.log(list(units.values())) - mean[given]
    seen = covariance[np.ix_(given, given)] + UNSURE * np.eye(len(given))
    return float(np.exp(mean[wanted] + covariance[wanted, given] @ np.linalg.solve(seen, off)))


def moved(levels: Mapping[str, Any], target: str, people: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Levels by which `target` is as bright as in the medians of `people`, on average."""
    off = []
    for units in people:
        others = {name: unit for name, unit in units.items() if name != target}
        off.append(np.log(units[target] / expected(levels, target, others)))
    mean = np.array(levels["mean"])
    mean[levels["names"].index(target)] += np.mean(off)
    return known(levels["names"], mean, np.array(levels["covariance"]))
