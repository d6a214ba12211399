"""Where the slices of a DICOM volume lie: their order, and one step from each to the next."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mrinr.errors import InputError

UNEVEN, LEAST = 0.02, 0.02  # of the usual distance, and mm: what rounding explains
SAME_PLACE = 1e-3  # mm


def is_repeated(positions: np.ndarray, axes: np.ndarray) -> bool:
    """Whether two of the images lie at one position along the normal."""
    along = np.sort(positions @ np.cross(axes[0, :3], axes[0, 3:]))
    return len(along) > 1 and bool(np.diff(along).min() < SAME_PLACE)


def sort(path: Path, positions: np.ndarray, axes: np.ndarray) -> tuple[list[int], np.ndarray, np.ndarray]:
    """The order of the slices along their normal, the step from one to the next, and where the first lies.

    positions : (slices, 3) LPS mm, Image Position (Patient)
    axes : (slices, 6) Image Orientation (Patient)

    Raises InputError: several orientations, several images at one place, uneven distances.
    """
    if not (np.isfinite(positions).all() and np.isfinite(axes).all()):
        raise InputError(f"{path} has slices without a position; export the series again.")
    if np.abs(axes - axes[0]).max() > 1e-3:
        raise InputError(f"{path} has slices in several orientations (a localizer?); choose another series.")
    along = positions @ np.cross(axes[0, :3], axes[0, 3:])
    order = np.argsort(along, kind="stable")
    first, last = positions[order[0]], positions[order[-1]]
    if len(order) == 1:
        return [0], np.cross(axes[0, :3], axes[0, 3:]), first
    if is_repeated(positions, axes):
        raise InputError(
            f"{path} has several images at one position (echoes or time points); "
            "export one volume as its own series."
        )
    gaps = np.diff(along[order])
    usual = float(np.median(gaps))
    if np.abs(gaps - usual).max() > max(UNEVEN * usual, LEAST):
        raise InputError(
            f"{path} has uneven slice distances ({gaps.min():.2f} to {gaps.max():.2f} mm): "
            f"{_why(gaps, usual)}; export the series again."
        )
    return order.tolist(), (last - first) / (len(order) - 1), first


def _why(gaps: np.ndarray, usual: float) -> str:
    steps = gaps / usual
    if np.abs(steps - np.round(steps)).max() > 0.05 or steps.min() < 0.5:
        return "slices are missing, or it is no single volume"
    count = int(np.round(steps).sum()) - len(gaps)
    where = int(np.argmax(steps)) + 1
    return f"{count} of {len(gaps) + 1 + count} slices missing, after slice {where}"
