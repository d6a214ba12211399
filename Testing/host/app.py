"""`slicer.app`, `slicer.modules` and the scene with the logics that the application always runs."""

from __future__ import annotations

import tempfile
from types import SimpleNamespace
from typing import Any

import slicer
from PySide6.QtCore import QObject, QSettings, Signal
from PySide6.QtWidgets import QApplication, QMainWindow, QStatusBar
from vtkmodules.util.misc import calldata_type
from vtkmodules.vtkCommonCore import VTK_OBJECT

from host import loadable, views


class Modules(SimpleNamespace):
    """`slicer.modules`: only loaded modules are in it, as in Slicer (`hasattr` is the usual question)."""


class ModuleManager(QObject):
    moduleAboutToBeUnloaded = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, Any] = {}

    def add(self, module: Any) -> None:
        slicer.qSlicerScriptedLoadableModule = type(module)  # type: ignore[attr-defined]
        if module.name in self._modules:
            self.moduleAboutToBeUnloaded.emit(module.name)  # the widget before it then observes no more
        self._modules[module.name] = module

    def module(self, name: str) -> Any:
        return self._modules.get(name)


class Application(QObject):
    startupCompleted = Signal()
    aboutToQuit = Signal()
    applicationName = "Slicer"
    majorVersion, minorVersion = 5, 13
    applicationVersion = "5.13.0"
    temporaryPath = tempfile.gettempdir()

    def __init__(self, qapplication: QApplication) -> None:
        super().__init__()
        self._qapplication = qapplication
        qapplication.aboutToQuit.connect(self.aboutToQuit)
        self._modules = ModuleManager()
        self._layouts: views.LayoutManager | None = None
        self._logic = slicer.vtkSlicerApplicationLogic()
        self._color_logic = slicer.vtkMRMLColorLogic()
        self._window = QMainWindow()
        self._window.setObjectName("qSlicerMainWindow")  # how slicer.util.mainWindow() finds it
        self._window.setStatusBar(QStatusBar())

    def newScene(self) -> None:
        """The one scene of the process; tests clear it, as users do."""
        scene = slicer.vtkMRMLScene()
        slicer.mrmlScene = scene  # type: ignore[attr-defined]
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
        self._logic.SetMRMLScene(scene)
        self._color_logic.SetMRMLScene(scene)
        self._layouts = views.LayoutManager(scene, self._logic)
        loadable.add_to(slicer.modules, scene, self._logic)
        scene.AddObserver(scene.NodeAddedEvent, _put_in_subject_hierarchy)
        scene.AddObserver(scene.NodeAboutToBeRemovedEvent, _take_out_of_subject_hierarchy)
        scene.AddObserver(scene.EndCloseEvent, lambda *_: self._layouts.setLayout(self._layouts.layout))
        scene.GetSubjectHierarchyNode()

    def translate(self, context: str, text: str) -> str:
        return text

    def processEvents(self) -> None:
        self._qapplication.processEvents()

    def moduleManager(self) -> ModuleManager:
        return self._modules

    def layoutManager(self) -> views.LayoutManager:
        assert self._layouts is not None
        return self._layouts

    def applicationLogic(self) -> Any:
        return self._logic

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def settings(self) -> QSettings:
        return QSettings("MRINR", "tests")

    userSettings = settings

    def testingEnabled(self) -> bool:
        return True  # messages go to the log, where tests read them

    def topLevelWidgets(self) -> list[Any]:
        return [self._window]

    def pythonConsole(self) -> None:
        return None

    def setOverrideCursor(self, cursor: Any) -> None:
        self._qapplication.setOverrideCursor(cursor)

    def restoreOverrideCursor(self) -> None:
        self._qapplication.restoreOverrideCursor()


@calldata_type(VTK_OBJECT)
def _put_in_subject_hierarchy(scene: Any, event: str, node: Any) -> None:
    """Slicer's subject hierarchy plugins give every displayable node an item as soon as it is added ..."""
    if node.GetHideFromEditors() or node.IsA("vtkMRMLAbstractViewNode"):
        return
    hierarchy = scene.GetSubjectHierarchyNode()
    if node.IsA("vtkMRMLDisplayableNode") and not hierarchy.GetItemByDataNode(node):
        hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)


@calldata_type(VTK_OBJECT)
def _take_out_of_subject_hierarchy(scene: Any, event: str, node: Any) -> None:
    """... and take it away with the node."""
    hierarchy = scene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(node) if node.IsA("vtkMRMLDisplayableNode") else 0
    if item and not scene.IsClosing():
        hierarchy.RemoveItem(item, False, False)
