"""The line under the sliders that says how bright the live image is under the mouse, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin


class CursorLine(VTKObservationMixin):
    """Follows the mouse in the slice views and fills a label.

    at : value and half its 90 % interval at a place in RAS mm; None where there is no live image
    """

    def __init__(self, label: Any, at: Callable[[Sequence[float]], tuple[float, float] | None]) -> None:
        super().__init__()
        self._label, self._at = label, at
        self.follow(False)

    def follow(self, on: bool) -> None:
        """Look at the mouse from now on, or no longer."""
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode") if on else None
        self._label.visible = crosshair is not None
        if crosshair is None:
            self.removeObservers()
        elif not self.hasObserver(crosshair, crosshair.CursorPositionModifiedEvent, self._onMoved):
            self.addObserver(crosshair, crosshair.CursorPositionModifiedEvent, self._onMoved)
            self._onMoved(crosshair)

    def _onMoved(self, crosshair: Any, event: Any = None) -> None:
        place = [0.0, 0.0, 0.0]
        found = self._at(place) if crosshair.GetCursorPositionRAS(place) else None
        if found is None:
            self._label.text = _("Under the mouse: no live image")
            return
        text = _("Under the mouse: {value:.4g} ± {half:.2g} (90 %)")
        self._label.text = text.format(value=found[0], half=found[1])
