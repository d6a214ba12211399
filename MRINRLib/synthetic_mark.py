"""The word SYNTHETIC in every slice view that shows a synthetic volume."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from MRINRLib import provenance

PLACE = vtk.vtkCornerAnnotation.UpperEdge  # Slicer's own annotations are in the corners


class SyntheticMark(VTKObservationMixin):
    """Watches what the slice views show, those that open later too."""

    def __init__(self) -> None:
        super().__init__()
        scene = slicer.mrmlScene
        for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
            self._watch(scene.GetNthNodeByClass(index, "vtkMRMLSliceCompositeNode"))
        self.addObserver(scene, scene.NodeAddedEvent, self._onNodeAdded)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAdded(self, scene: Any, event: Any, node: Any) -> None:
        if node.IsA("vtkMRMLSliceCompositeNode"):
            self._watch(node)

    def _watch(self, composite: Any) -> None:
        if not self.hasObserver(composite, vtk.vtkCommand.ModifiedEvent, self._update):
            self.addObserver(composite, vtk.vtkCommand.ModifiedEvent, self._update)
        self._update(composite)

    def _update(self, composite: Any, event: Any = None) -> None:
        manager = slicer.app.layoutManager()
        widget = None if manager is None else manager.sliceWidget(composite.GetLayoutName())
        if widget is None:
            return
        view, text = widget.sliceView(), _("SYNTHETIC") if showsSynthetic(composite) else ""
        if (view.cornerAnnotation().GetText(PLACE) or "") != text:
            view.cornerAnnotation().SetText(PLACE, text)
            view.scheduleRender()


def showsSynthetic(composite: Any) -> bool:
    """Whether one of the layers that can be seen was made by synthesis."""
    shown = [composite.GetBackgroundVolumeID()]
    if composite.GetForegroundOpacity() > 0:
        shown.append(composite.GetForegroundVolumeID())
    found = [slicer.mrmlScene.GetNodeByID(identifier) for identifier in shown if identifier]
    return any(node is not None and provenance.isSynthetic(node) for node in found)
