"""What the slice views show: a live preview of work going on, and inputs over results when it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from mrinr.volume import Volume
from MRINRLib import nodes

INPUT_VIEWS = ("Red", "Green", "Yellow")
RESULT_VIEWS = ("Red+", "Green+", "Yellow+")
OVERLAY = 0.6  # opacity of a map over its result


def _composites() -> list[Any]:
    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")


class Layers:
    """The volumes in all slice views as they were when this was made; `restore` shows them again."""

    def __init__(self) -> None:
        self._saved = [
            (
                c,
                c.GetBackgroundVolumeID(),
                c.GetForegroundVolumeID(),
                c.GetLabelVolumeID(),
                c.GetForegroundOpacity(),
                c.GetLinkedControl(),
                c.GetHotLinkedControl(),
            )
            for c in _composites()
        ]

    def restore(self) -> None:
        scene = slicer.mrmlScene
        for composite, background, foreground, label, opacity, linked, hot in self._saved:
            if composite.GetScene() is not scene:
                continue
            background, foreground, label = (
                identifier if identifier and scene.GetNodeByID(identifier) else None
                for identifier in (background, foreground, label)
            )
            composite.SetBackgroundVolumeID(background)
            composite.SetForegroundVolumeID(foreground)
            composite.SetLabelVolumeID(label)
            composite.SetForegroundOpacity(opacity)
            composite.SetLinkedControl(linked)
            composite.SetHotLinkedControl(hot)


class Preview:
    """A passing volume over the input in the slice views, that sharpens while the worker works.

    Previews of the first contrast that arrives are shown; the node is never saved and leaves no trace.
    """

    def __init__(
        self, inputNode: Any, display: Callable[[Any, np.ndarray, np.ndarray], None] | None = None
    ) -> None:
        """display : sets window and level of a node from its voxels and where it is; default: the input's"""
        self._input = inputNode
        self._display = display
        self._layers: Layers | None = None
        self._node: Any = None
        self._name = ""

    def show(self, volume: Volume) -> None:
        if self._node is not None and volume.name != self._name:
            return
        if self._node is None:
            self._begin(volume.name)
        if self._node.GetScene() is not slicer.mrmlScene:  # the scene was closed meanwhile
            return
        nodes.updateNode(self._node, volume)
        if self._node.GetDisplayNode() is None:
            self._node.CreateDefaultDisplayNodes()
            nodes.copyWindowLevel(self._input, self._node)
            if self._display is not None:
                self._display(self._node, volume.voxels, volume.voxels > 0)
            slicer.util.setSliceViewerLayers(
                background=self._input, foreground=self._node, foregroundOpacity=1.0, fit=nothingIsShown()
            )

    def _begin(self, name: str) -> None:
        self._layers = Layers()
        self._name = name
        self._node = slicer.vtkMRMLScalarVolumeNode()
        self._node.SetName(_("{name} (preview)").format(name=name))
        self._node.SetHideFromEditors(True)
        self._node.SetSaveWithScene(False)
        self._node.SetAttribute(nodes.PREVIEW_ATTRIBUTE, "1")
        slicer.mrmlScene.AddNode(self._node)

    def end(self) -> None:
        """Remove the preview and show what was shown before."""
        if self._node is None:
            return
        if self._layers is not None:
            self._layers.restore()
        if self._node.GetScene() is slicer.mrmlScene:
            display = self._node.GetDisplayNode()
            slicer.mrmlScene.RemoveNode(self._node)
            if display is not None and display.GetScene() is slicer.mrmlScene:
                slicer.mrmlScene.RemoveNode(display)
        self._node = None
        self._layers = None


class Comparison:
    """Three planes of an input above the same planes of its result: linked, aligned to the input's slices.

    In the lower row the result lies over the input, so that Slicer's own key "t" in a view flickers between
    the two. Inputs are shown uninterpolated. `close` brings the layout and the layers from before back.
    """

    def __init__(self) -> None:
        self._layers: Layers | None = None
        self._layout = 0
        self._planes: list[tuple[Any, vtk.vtkMatrix4x4]] = []
        self._groups: list[tuple[Any, int]] = []
        self._interpolated: list[tuple[Any, int]] = []

    @property
    def isOpen(self) -> bool:
        return self._layers is not None

    def show(self, inputNode: Any, resultNode: Any, rescanNode: Any = None, overlayNode: Any = None) -> None:
        """Open, or change what is shown.

        resultNode : None shows the input in the lower row, too, over which the caller puts something
        rescanNode : the result as the input's scanner would see it, shown over the input in the upper row
        overlayNode : a map of the result, shown half transparent over it; the input is then not below
        """
        opening = not self.isOpen
        if opening:
            self._open()
        self._uninterpolate([node for node in (inputNode, rescanNode) if node is not None])
        lower = (inputNode, resultNode) if overlayNode is None else (resultNode, overlayNode)
        for names, (below, over) in ((INPUT_VIEWS, (inputNode, rescanNode)), (RESULT_VIEWS, lower)):
            for name in names:
                composite = _sliceWidget(name).mrmlSliceCompositeNode()
                composite.SetBackgroundVolumeID(below.GetID())
                composite.SetForegroundVolumeID(over.GetID() if over is not None else None)
                composite.SetForegroundOpacity(
                    0.0 if over is None else OVERLAY if over is overlayNode else 1.0
                )
                composite.SetLabelVolumeID(None)
        if opening:
            self._align(inputNode)

    def _open(self) -> None:
        manager = slicer.app.layoutManager()
        self._layers = Layers()
        self._layout = manager.layout
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            plane = vtk.vtkMatrix4x4()
            plane.DeepCopy(node.GetSliceToRAS())
            self._planes.append((node, plane))
        manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutThreeOverThreeView)
        for name in (*INPUT_VIEWS, *RESULT_VIEWS):
            widget = _sliceWidget(name)
            node = widget.mrmlSliceNode()
            self._groups.append((node, node.GetViewGroup()))
            node.SetViewGroup(0)  # only views of one group are linked
            widget.mrmlSliceCompositeNode().SetLinkedControl(True)
            widget.mrmlSliceCompositeNode().SetHotLinkedControl(True)

    def _align(self, inputNode: Any) -> None:
        slicer.app.processEvents()  # the new views have their size only then
        for upper, lower in zip(INPUT_VIEWS, RESULT_VIEWS, strict=True):
            first = _sliceWidget(upper)
            first.mrmlSliceNode().RotateToVolumePlane(inputNode)
            first.sliceLogic().FitSliceToBackground()
            second = _sliceWidget(lower)
            second.mrmlSliceNode().RotateToVolumePlane(inputNode)
            second.sliceLogic().FitSliceToBackground()

    def _uninterpolate(self, shown: Sequence[Any]) -> None:
        for node in shown:
            display = node.GetDisplayNode()
            if display is not None and all(display is not known for known, _before in self._interpolated):
                self._interpolated.append((display, display.GetInterpolate()))
                display.SetInterpolate(False)

    def close(self) -> None:
        if self._layers is None:
            return
        scene = slicer.mrmlScene
        for display, interpolate in self._interpolated:
            display.SetInterpolate(interpolate)
        for node, group in self._groups:
            node.SetViewGroup(group)
        self._layers.restore()
        slicer.app.layoutManager().setLayout(self._layout)
        for node, plane in self._planes:
            if node.GetScene() is scene:
                node.GetSliceToRAS().DeepCopy(plane)
                node.UpdateMatrices()
        self.__init__()  # type: ignore[misc]


def _sliceWidget(name: str) -> Any:
    return slicer.app.layoutManager().sliceWidget(name)


def showInSliceViews(node: Any, overlay: Any = None) -> None:
    """The volume in all slice views, which are fitted to it only if they showed nothing before.

    overlay : a map to show half transparent over it
    """
    slicer.util.setSliceViewerLayers(
        background=node,
        foreground=overlay,
        foregroundOpacity=None if overlay is None else OVERLAY,
        fit=nothingIsShown(),
    )


def nothingIsShown() -> bool:
    return not any(composite.GetBackgroundVolumeID() for composite in _composites())
