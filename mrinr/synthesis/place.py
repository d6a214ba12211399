"""Where a pixel lies in the brain: the global coordinates that a local INR encodes."""

from __future__ import annotations

import numpy as np


def places(rows: np.ndarray, columns: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(2, rows, columns) float32: -1 at the low end, 1 at the high end of the brain's box along each axis.

    rows, columns, low, high are in one unit (voxels or mm); what lies outside the box goes beyond 1. The box
    is that of the whole brain, never of the crop: a place must mean the same in each crop (Chen 2022).
    """
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-6)
    i = (rows - middle[0]) / half[0]
    j = (columns - middle[1]) / half[1]
    return np.stack(np.meshgrid(i, j, indexing="ij")).astype(np.float32)
