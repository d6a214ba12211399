"""The loadable modules that ours use: their real logics, and what their windows would show, as attributes."""

from __future__ import annotations

from typing import Any

import slicer


class LoadableModule:
    """`slicer.modules.<name>`: a logic of Slicer's own that lives with the scene."""

    def __init__(self, logic: Any, scene: Any, application: Any) -> None:
        self._logic = logic
        self._logic.SetMRMLApplicationLogic(application)
        self._logic.SetMRMLScene(scene)

    def logic(self) -> Any:
        return self._logic


class Sequences(LoadableModule):
    """Knows which sequence its tool bar shows."""

    active: Any = None
    isToolBarShown = False

    def setToolBarActiveBrowserNode(self, node: Any) -> None:
        self.active = node

    def showSequenceBrowser(self, node: Any) -> bool:
        self.active, self.isToolBarShown = node, True
        return True


def add_to(modules: Any, scene: Any, application: Any) -> None:
    modules.sequences = Sequences(slicer.vtkSlicerSequencesLogic(), scene, application)
    modules.segmentations = LoadableModule(slicer.vtkSlicerSegmentationsModuleLogic(), scene, application)
    modules.volumes = LoadableModule(slicer.vtkSlicerVolumesLogic(), scene, application)
    modules.plots = LoadableModule(slicer.vtkSlicerPlotsLogic(), scene, application)
