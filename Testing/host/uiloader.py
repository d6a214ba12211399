"""QUiLoader that knows our Python versions of CTK and qMRML widgets, and MRML connections in .ui files."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from PySide6.QtCore import QBuffer, QByteArray, QFile
from PySide6.QtUiTools import QUiLoader as PySideLoader
from PySide6.QtWidgets import QWidget

from host import ctk_widgets, qmrml

_CLASSES = {widget.__name__: widget for widget in (*ctk_widgets.WIDGETS, *qmrml.WIDGETS)}
_FORWARDED = {
    "mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged",
    "setMRMLScene(vtkMRMLScene*)": "setMRMLScene",
}


class QUiLoader(PySideLoader):
    def createWidget(self, name: str, parent: QWidget | None = None, object_name: str = "") -> QWidget:
        if name in _CLASSES:
            widget = _CLASSES[name](parent)
            widget.setObjectName(object_name)
            return widget
        if name.startswith(("ctk", "qMRML", "qSlicer")):
            raise NotImplementedError(f"The test stand-in for Slicer has no {name}.")
        return super().createWidget(name, parent, object_name)

    def load(self, file: QFile, parent: QWidget | None = None) -> QWidget:
        root = ET.fromstring(bytes(file.readAll()))
        forwarded = _take_scene_connections(root)
        buffer = QBuffer()
        buffer.setData(QByteArray(ET.tostring(root)))
        buffer.open(QBuffer.OpenModeFlag.ReadOnly)
        widget = super().load(buffer, parent)
        if widget is None:
            raise RuntimeError(f"The .ui file cannot be loaded: {self.errorString()}")
        for sender, signal, receiver, slot in forwarded:
            getattr(_named(widget, sender), signal).connect(getattr(_named(widget, receiver), slot))
        return widget


def _take_scene_connections(root: ET.Element) -> list[tuple[str, str, str, str]]:
    """Remove connections that carry a vtkMRMLScene* (PySide6 does not know that type) and return them."""
    taken = []
    for parent in root.iter("connections"):
        for connection in list(parent):
            sender, signal, receiver, slot = (
                connection.findtext(tag, "") for tag in ("sender", "signal", "receiver", "slot")
            )
            if "vtkMRML" in signal:
                taken.append((sender, _FORWARDED[signal], receiver, _FORWARDED[slot]))
                parent.remove(connection)
    return taken


def _named(widget: QWidget, name: str) -> QWidget:
    found = widget if widget.property("objectName") == name else widget.findChild(QWidget, name)
    if found is None:
        raise RuntimeError(f"The .ui file connects {name}, which it does not have.")
    return found
