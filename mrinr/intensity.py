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


NOISE_BLOCK = 8  # voxels a side of the in-plane blocks that noise is estimated in
TENTH_OF_64 = 0.89  # 10th percentile of the standard deviation of 64 normal samples, in units of sigma


def noise_sigma(volume: Volume, slice_axis: int, mask: np.ndarray | None = None) -> float:
    """Standard deviation of the noise, from in-plane diagonal differences in the mask (all when None).

    The diagonal Haar detail (Donoho and Johnstone 1994) of smooth tissue vanishes. Its standard deviation in
    8 x 8 blocks is noise where the anatomy is smooth and noise plus edges elsewhere: the 10th percentile over
    the blocks counts. 0 where no block fits into the mask.
    """
    voxels = np.moveaxis(volume.voxels, slice_axis, 0)
    inside = np.ones(voxels.shape, bool) if mask is None else np.moveaxis(mask, slice_axis, 0)
    detail = np.diff(np.diff(voxels, axis=1), axis=2) / 2
    rows, columns = (n // NOISE_BLOCK for n in detail.shape[1:])

    def blocks(x: np.ndarray) -> np.ndarray:
        x = x[:, : rows * NOISE_BLOCK, : columns * NOISE_BLOCK]
        x = x.reshape(len(x), rows, NOISE_BLOCK, columns, NOISE_BLOCK).transpose(0, 1, 3, 2, 4)
        return x.reshape(-1, NOISE_BLOCK**2)

    kept = blocks(detail)[blocks(inside).all(axis=1)]
    if len(kept) == 0:
        return 0.0
    return float(np.percentile(np.sqrt((kept**2).mean(axis=1)), 10)) / TENTH_OF_64
