"""From a network's raw interval to one that holds what it says on heads it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

LEVEL = 0.9
BINS = 8
LEAST = 1e-4


def calibrate(raw: np.ndarray, error: np.ndarray, level: float = LEVEL) -> dict[str, Any]:
    """Factors for the raw half-width by its size, so that `level` of the errors lie inside (split conformal).

    Parameters
    ----------
    raw, error : (voxels,) half-width that the network gives and |prediction - truth|, on held-out people
    """
    edges = np.quantile(raw, np.linspace(0, 1, BINS + 1)[1:-1])
    edges += np.arange(len(edges)) * LEAST  # rising also where many voxels share one width
    which = np.searchsorted(edges, raw)
    ratio = error / np.maximum(raw, LEAST)
    everywhere = float(np.quantile(ratio, level))
    factors = [
        float(np.quantile(ratio[which == n], level)) if (which == n).any() else everywhere
        for n in range(BINS)
    ]
    return {"edges": [round(float(e), 6) for e in edges], "factors": [round(f, 4) for f in factors]}


def calibrated(raw: np.ndarray, table: Mapping[str, Sequence[float]] | None) -> np.ndarray:
    """The half-width of the 90 % interval; interpolated between the middles of the bins, so without steps."""
    if not table:
        return raw
    edges = np.asarray(table["edges"], dtype=float)
    middles = np.concatenate([[edges[0] / 2], (edges[1:] + edges[:-1]) / 2, [1.5 * edges[-1]]])
    factor = np.interp(raw, middles, table["factors"])
    return (raw * factor).astype(np.float32)
