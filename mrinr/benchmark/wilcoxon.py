"""Wilcoxon's signed-rank test (1945), two-sided, as the local INR's paper compares its methods."""

from __future__ import annotations

import math

import numpy as np

FEWEST_PEOPLE = 12  # with fewer, one odd person decides
MOST_EXACT = 50  # pairs: beyond, the rank sum is normal enough


def wilcoxon(a: np.ndarray, b: np.ndarray) -> float:
    """The p value of paired samples (n,) having one location; equal pairs are left out.

    Exact for up to `MOST_EXACT` pairs whose differences all differ in size, else by the normal approximation
    with correction for ties.
    """
    difference = np.asarray(a, float) - np.asarray(b, float)
    pairs = difference[difference != 0]
    n = len(pairs)
    if n == 0:
        return 1.0
    sizes, where, counts = np.unique(np.abs(pairs), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[where]
    positive = float(ranks[pairs > 0].sum())
    if len(sizes) == n == len(difference) and n <= MOST_EXACT:
        ways = np.ones(1)  # how many subsets of the ranks 1..k have each sum
        for k in range(1, n + 1):
            ways = np.pad(ways, (0, k)) + np.pad(ways, (k, 0))
        lower = round(min(positive, n * (n + 1) / 2 - positive))
        return min(1.0, 2 * float(ways[: lower + 1].sum()) / 2.0**n)
    variance = n * (n + 1) * (2 * n + 1) / 24 - float((counts**3 - counts).sum()) / 48
    return math.erfc(abs(positive - n * (n + 1) / 4) / math.sqrt(2 * variance))


def verdict(a: np.ndarray, b: np.ndarray) -> str:
    """The p value in words, or why there is none."""
    if len(a) < FEWEST_PEOPLE:
        return f"not tested: {len(a)} {'person' if len(a) == 1 else 'people'}, fewer than {FEWEST_PEOPLE}"
    p = wilcoxon(a, b)
    return "p < 0.001" if p < 1e-3 else f"p = {p:.3f}"
