"""How maps are shown: window, level and colours that suit what a volume holds."""

from __future__ import annotations

from typing import Any

import numpy as np

HOT = "vtkMRMLColorTableNodeIron"
GREY = "vtkMRMLColorTableNodeGrey"
FAINT = 0.25  # of the brightest colour; below it a map lets through what lies under it

UNLIMITED = 1e9  # brighter than any image


def _top(voxels: np.ndarray, mask: np.ndarray | None, percent: float) -> float:
    """A percentile in the mask, where it is not empty; above 0."""
    inside = voxels if mask is None or not mask.any() else voxels[mask]
    return max(float(np.percentile(inside, percent)), float(np.abs(voxels).max(initial=0)) * 1e-3, 1e-6)


def _window(node: Any, low: float, high: float, colours: str) -> None:
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(colours)
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(high - low, (high + low) / 2)


def _transparentBelow(node: Any, low: float) -> None:
    display = node.GetDisplayNode()
    display.SetAutoThreshold(False)
    display.SetThreshold(low, UNLIMITED)
    display.SetApplyThreshold(True)


def image(node: Any, voxels: np.ndarray, mask: np.ndarray | None = None) -> None:
    """An MR image in grey; the brain sets the window."""
    _window(node, 0.0, 1.2 * _top(voxels, mask, 99.5), GREY)


def partial(node: Any, voxels: np.ndarray, mask: np.ndarray | None = None) -> None:
    """An MR image of which only a part is there: where it is 0, it lets through what lies under it."""
    image(node, voxels, mask)
    _transparentBelow(node, 0.02 * _top(voxels, mask, 99.5))


def heat(node: Any, voxels: np.ndarray, mask: np.ndarray | None = None) -> None:
    """A map from 0 upwards, dark to bright; what is faint lets through what lies under it."""
    high = _top(voxels, mask, 99)
    _window(node, 0.0, high, HOT)
    _transparentBelow(node, FAINT * high)


def signed(node: Any, voxels: np.ndarray, mask: np.ndarray | None = None) -> None:
    """A difference: mid-grey is none, bright is above 0, dark is below."""
    high = _top(np.abs(voxels), mask, 99)
    _window(node, -high, high, GREY)


def mask(node: Any) -> None:
    """Zeros and ones."""
    _window(node, 0.0, 1.0, GREY)
