"""Robust intensity scale, its exact inverse, the foreground and the noise of an MR volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mrinr.volume import Volume


@dataclass(frozen=True)
class Scale:
    """Intensities divided by `unit`: `apply` and `undo` are exact inverses, zero stays zero."""

    unit: float

    def apply(self, voxels: np.ndarray) -> np.ndarray:
        return (voxels / self.unit).astype(np.float32)

    def undo(self, voxels: np.ndarray) -> np.ndarray:
        return (voxels * self.unit).astype(np.float32)


def otsu_threshold(values: np.ndarray, bins: int = 256) -> float:
    """The threshold that separates two classes with the largest variance between them (Otsu 1979)."""
    counts, edges = np.histogram(values, bins=bins)
    centres = (edges[:-1] + edges[1:]) / 2
    weight = np.cumsum(counts) / counts.sum()
    mean = np.cumsum(counts * centres) / counts.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mean[-1] * weight - mean) ** 2 / (weight * (1 - weight))
    return float(centres[np.nanargmax(between)])


def foreground_mask(volume: Volume) -> np.ndarray:
    """(i, j, k) bool: the head or brain without the air around it, holes inside filled.

    Half of Otsu's threshold on intensities clipped at their 99th percentile (scalp fat and vessels must not
    decide), then the air is what connects to the border of the field of view along some axis.
    """
    voxels = np.abs(volume.voxels)
    positive = voxels[voxels > 0]
    if positive.size == 0:
        return np.zeros(voxels.shape, dtype=bool)
    clipped = np.minimum(voxels, np.percentile(positive, 99))
    bright = clipped > 0.5 * otsu_threshold(clipped)
    # A voxel is inside when bright ones lie on both sides of it along at least two of the three axes.
    votes = np.zeros(voxels.shape, dtype=np.uint8)
    for axis in range(3):
        before = np.maximum.accumulate(bright, axis=axis)
        after = np.flip(np.maximum.accumulate(np.flip(bright, axis), axis=axis), axis)
        votes += before & after
    return bright | (votes >= 2)


def robust_scale(volume: Volume, mask: np.ndarray | None = None) -> Scale:
    """One scale for a volume: the 99th percentile of magnitudes in the foreground becomes 1."""
    mask = foreground_mask(volume) if mask is None else mask
    inside = np.abs(volume.voxels[mask]) if mask.any() else np.abs(volume.voxels)
    unit = float(np.percentile(inside, 99))
    return Scale(unit if unit > 0 else float(np.abs(volume.voxels).max()) or 1.0)


def noise_sigma(volume: Volume, slice_axis: int, mask: np.ndarray | None = None) -> float:
    """Standard deviation of the noise, from in-plane diagonal differences in the foreground.

    The diagonal Haar detail of smooth tissue vanishes; its median absolute value / 0.6745 estimates sigma
    (Donoho and Johnstone 1994). Edges make it an upper estimate.
    """
    first, second = (axis for axis in range(3) if axis != slice_axis)
    detail = np.diff(np.diff(volume.voxels, axis=first), axis=second) / 2
    if mask is not None:
        trimmed = tuple(slice(0, n) for n in detail.shape)
        detail = detail[mask[trimmed]]
    return float(np.median(np.abs(detail)) / 0.6745) if detail.size else 0.0
