# ruff: noqa: N801  (names are Slicer's)
"""qMRML widgets: containers that pass the scene on, and the node selector."""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Any

from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from host.unknown import placeholder


class qMRMLWidget(QWidget):
    mrmlSceneChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


_OPTIONS = {
    "nodeTypes": (),
    "noneEnabled": False,
    "noneDisplay": "None",
    "addEnabled": True,
    "removeEnabled": True,
    "editEnabled": False,
    "renameEnabled": False,
    "showHidden": False,
    "showChildNodeTypes": True,
    "selectNodeUponCreation": True,
    "baseName": "",
}


def _option(name: str, kind: Any) -> Any:
    def read(self: Any) -> Any:
        return self._options[name]

    def write(self: Any, value: Any) -> None:
        self._options[name] = tuple(value) if kind == "QStringList" else value
        self._refresh()

    return Property(kind, read, write)


def _observe_no_more(tags: list[tuple[Any, int]], *_: Any) -> None:
    while tags:
        observed, tag = tags.pop()
        observed.RemoveObserver(tag)


class qMRMLNodeComboBox(QWidget):
    """A combo box of the scene's nodes of some types. Without `noneEnabled` the first node is chosen."""

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeAddedByUser = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._combo = QComboBox(self)
        layout.addWidget(self._combo)
        self._combo.currentIndexChanged.connect(self._onIndex)
        self._options = dict(_OPTIONS)
        self._scene: Any = None
        self._tags: list[tuple[Any, int]] = []
        self.destroyed.connect(partial(_observe_no_more, self._tags))
        self._nodes: list[Any] = []
        self._current: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        _observe_no_more(self._tags)
        self._scene = scene
        if scene is not None:
            for event in (
                scene.NodeAddedEvent,
                scene.NodeRemovedEvent,
                scene.EndCloseEvent,
                scene.EndImportEvent,
            ):
                self._tags.append((scene, scene.AddObserver(event, lambda *_: self._refresh())))
        self._refresh()

    def currentNode(self) -> Any:
        return self._current

    def setCurrentNode(self, node: Any) -> None:
        node = self._scene.GetNodeByID(node) if isinstance(node, str) and self._scene else node
        self._refresh(node if node in self._nodes else None, chosen=True)

    def nodeCount(self) -> int:
        return len(self._nodes)

    def _wanted(self, node: Any) -> bool:
        types, exact = self._options["nodeTypes"], not self._options["showChildNodeTypes"]
        fits = node.GetClassName() in types if exact else any(node.IsA(name) for name in types)
        return fits and (self._options["showHidden"] or not node.GetHideFromEditors())

    def _refresh(self, current: Any = None, chosen: bool = False) -> None:
        scene = self._scene
        every = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())] if scene is not None else []
        self._nodes = [node for node in every if self._wanted(node)]
        if not chosen:
            current = self._current if self._current in self._nodes else None
            if current is None and not self._options["noneEnabled"] and self._nodes:
                current = self._nodes[0]
        none = [self._options["noneDisplay"]] if self._options["noneEnabled"] else []
        self._combo.blockSignals(True)
        self._combo.clear()
        self._combo.addItems(none + [node.GetName() for node in self._nodes])
        index = self._nodes.index(current) + len(none) if current is not None else (0 if none else -1)
        self._combo.setCurrentIndex(index)
        self._combo.blockSignals(False)
        self._become(current)

    def _onIndex(self, index: int) -> None:
        index -= 1 if self._options["noneEnabled"] else 0
        self._become(self._nodes[index] if 0 <= index < len(self._nodes) else None)

    def _become(self, node: Any) -> None:
        if node is self._current:
            return
        self._current = node
        self.currentNodeChanged.emit(node)
        self.currentNodeIDChanged.emit(node.GetID() if node is not None else "")

    nodeTypes = _option("nodeTypes", "QStringList")
    noneEnabled = _option("noneEnabled", bool)
    noneDisplay = _option("noneDisplay", str)
    addEnabled = _option("addEnabled", bool)
    removeEnabled = _option("removeEnabled", bool)
    editEnabled = _option("editEnabled", bool)
    renameEnabled = _option("renameEnabled", bool)
    showHidden = _option("showHidden", bool)
    showChildNodeTypes = _option("showChildNodeTypes", bool)
    selectNodeUponCreation = _option("selectNodeUponCreation", bool)
    baseName = _option("baseName", str)
    currentNodeID = Property(
        str,
        lambda self: self._current.GetID() if self._current is not None else "",
        lambda self, value: self.setCurrentNode(value),
    )


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """What a scripted widget gets as `parent`: knows whether the module is shown."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        QVBoxLayout(self)
        self._module = module
        self._self: Any = None
        self._entered = False

    isEntered = Property(bool, lambda self: self._entered)

    def self(self) -> Any:
        return self._self

    def reload(self) -> None:
        self._module.attach(self)

    def enter(self) -> None:
        self._entered = True
        self._self.enter()

    def exit(self) -> None:
        self._entered = False
        self._self.exit()


WIDGETS = (qMRMLWidget, qMRMLNodeComboBox)
_PLACEHOLDERS = ("qMRMLSliderWidget", "qMRMLSpinBox", "qMRMLRangeWidget", "qMRMLCheckableNodeComboBox")


def add_to(slicer: ModuleType) -> None:
    for widget in (*WIDGETS, qSlicerScriptedLoadableModuleWidget):
        setattr(slicer, widget.__name__, widget)
    for name in _PLACEHOLDERS:
        setattr(slicer, name, placeholder(name))
