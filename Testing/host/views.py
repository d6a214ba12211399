"""Layouts and slice views: real layout, slice and blend logics; pictures are written instead of shown."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import slicer
from PIL import Image, ImageDraw
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkCollection
from vtkmodules.vtkRenderingAnnotation import vtkCornerAnnotation

SIZE = 320  # pixels of a slice view


class SliceWidget:
    """What `layoutManager().sliceWidget(name)` gives: one slice node with its logic."""

    def __init__(self, node: Any, application_logic: Any, scene: Any) -> None:
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(application_logic)
        self._logic.SetMRMLScene(scene)
        self._logic.SetSliceNode(node)
        self._logic.ResizeSliceNode(SIZE, SIZE)
        self._node = node
        annotation = vtkCornerAnnotation()
        self._view = SimpleNamespace(
            forceRender=lambda: None, scheduleRender=lambda: None, cornerAnnotation=lambda: annotation
        )

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._node

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def sliceView(self) -> Any:
        return self._view

    def picture(self) -> Image.Image:
        """The blended slice as the view would show it, with the names of its layers in the corner."""
        picture = Image.new("RGB", (SIZE, SIZE))
        composite = self.mrmlSliceCompositeNode()
        layers = [composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()]
        shown = [slicer.mrmlScene.GetNodeByID(layer) for layer in layers if layer]
        if shown:
            connection = self._logic.GetImageDataConnection()
            producer = connection.GetProducer()
            producer.Update()
            image = producer.GetOutputDataObject(connection.GetIndex())
            width, height, _ = image.GetDimensions()
            pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)
            alpha = pixels[::-1, :, 3:] / 255.0
            picture = Image.fromarray((pixels[::-1, :, :3] * alpha).astype(np.uint8))
        text = self._node.GetName() + "  " + self._node.GetOrientation()
        for kind, node in zip("BF", shown, strict=False):
            opacity = f" ({composite.GetForegroundOpacity():.0%})" if kind == "F" else ""
            text += f"\n{kind}: {node.GetName()}{opacity}"
        drawing = ImageDraw.Draw(picture)
        drawing.text((4, 4), text, fill=(255, 220, 80))
        edge = self._view.cornerAnnotation().GetText(vtkCornerAnnotation.UpperEdge) or ""
        drawing.text((SIZE / 2, 4), edge, fill=(255, 255, 255))
        return picture


class LayoutManager:
    def __init__(self, scene: Any, application_logic: Any) -> None:
        self._scene = scene
        self._application_logic = application_logic
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLScene(scene)
        self._widgets: dict[str, SliceWidget] = {}
        self._logics = vtkCollection()
        self.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)

    def layoutLogic(self) -> Any:
        return self._logic

    @property
    def layout(self) -> int:
        return self._logic.GetLayoutNode().GetViewArrangement()

    @layout.setter
    def layout(self, value: int) -> None:
        self.setLayout(value)

    def setLayout(self, layout: int) -> None:
        self._logic.GetLayoutNode().SetViewArrangement(layout)
        self._make_widgets()

    def _make_widgets(self) -> None:
        for index in range(self._scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")):
            node = self._scene.GetNthNodeByClass(index, "vtkMRMLSliceNode")
            known = self._widgets.get(node.GetLayoutName())
            if known is None or known.mrmlSliceNode() is not node:
                widget = SliceWidget(node, self._application_logic, self._scene)
                self._widgets[node.GetLayoutName()] = widget
                self._logics.AddItem(widget.sliceLogic())
        self._application_logic.SetSliceLogics(self._logics)
        shown = self._shown()
        for name, widget in self._widgets.items():  # as qMRMLLayoutViewFactory does
            widget.mrmlSliceNode().SetMappedInLayout(name in shown)

    def _shown(self) -> list[str]:
        nodes = self._logic.GetViewNodes()
        found = [nodes.GetItemAsObject(n) for n in range(nodes.GetNumberOfItems())]
        return [node.GetLayoutName() for node in found if node.IsA("vtkMRMLSliceNode")]

    def sliceViewNames(self) -> tuple[str, ...]:
        """All slice views that were ever made, shown or not, as in Slicer."""
        return tuple(self._widgets)

    def sliceWidget(self, name: str) -> SliceWidget | None:
        return self._widgets.get(name)

    def mrmlSliceLogics(self) -> Any:
        return self._logics

    def resetSliceViews(self) -> None:
        for widget in self._widgets.values():
            widget.sliceLogic().FitSliceToBackground()

    threeDViewCount = tableViewCount = plotViewCount = 0

    def save(self, path: str | Path, columns: int = 3) -> None:
        """Write a picture of the slice views of the current layout."""
        pictures = [self._widgets[name].picture() for name in self._shown()]
        rows = -(-len(pictures) // columns)
        sheet = Image.new("RGB", (columns * (SIZE + 4), rows * (SIZE + 4)), (60, 60, 60))
        for number, picture in enumerate(pictures):
            sheet.paste(picture, ((number % columns) * (SIZE + 4), (number // columns) * (SIZE + 4)))
        sheet.save(path)
