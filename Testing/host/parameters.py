"""`slicer.parameterNodeWrapper`: typed parameters kept in a vtkMRMLScriptedModuleNode and bound to widgets.

Numbers, text, booleans, nodes and lists of those; the widgets in `_connector`. Everything else raises.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from typing import Any

import slicer
from PySide6.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QLineEdit, QPushButton, QSpinBox, QWidget
from vtkmodules.vtkCommonCore import vtkCommand

from host.parameter_types import (
    Choice,
    Decimals,
    Default,
    Minimum,
    NodeParameter,
    SingleStep,
    WithinRange,
    serializer,
)
from host.qmrml import qMRMLNodeComboBox

PROPERTY = "SlicerParameterName"


class _Parameter:
    def __init__(self, name: str, annotated: Any, owner: type) -> None:
        self.name = name
        self.kind = typing.get_args(annotated)[0] if hasattr(annotated, "__metadata__") else annotated
        self.annotations = list(getattr(annotated, "__metadata__", ()))
        self.serializer = serializer(self.kind)
        stated = [a.value for a in self.annotations if isinstance(a, Default)]
        self.default = getattr(owner, name, stated[0] if stated else self.serializer.default)

    def read(self, node: Any) -> Any:
        return self.serializer.read(node, self.name)

    def write(self, node: Any, value: Any) -> None:
        for annotation in self.annotations:
            if hasattr(annotation, "validate"):
                annotation.validate(value)
        with slicer.util.NodeModify(node):
            self.serializer.write(node, self.name, value)

    def find(self, kind: type) -> Any:
        return next((a for a in self.annotations if isinstance(a, kind)), None)


@dataclasses.dataclass
class _Connector:
    changed: Any
    read: Callable[[], Any]
    write: Callable[[Any], None]


def _connector(widget: QWidget, parameter: _Parameter) -> _Connector:
    """How to read, write and watch `widget`, by its exact type, as Slicer has it."""

    def attribute(name: str, signal: str) -> _Connector:
        return _Connector(
            getattr(widget, signal), lambda: getattr(widget, name), lambda value: setattr(widget, name, value)
        )

    pair = (type(widget), parameter.kind)
    if pair == (QCheckBox, bool):
        return attribute("checked", "stateChanged")
    if pair == (QPushButton, bool):
        widget.checkable = True
        return attribute("checked", "toggled")
    if pair == (QLineEdit, str):
        return attribute("text", "textChanged")
    if pair in ((QSpinBox, int), (QDoubleSpinBox, float)):
        decimals, step = parameter.find(Decimals), parameter.find(SingleStep)
        if decimals is not None:
            widget.decimals = decimals.value
        if step is not None:
            widget.singleStep = step.value
        limits = parameter.find(WithinRange) or parameter.find(Minimum)
        widget.minimum = limits.minimum if limits else -(2**31)
        widget.maximum = getattr(limits, "maximum", 2**31 - 1)
        return attribute("value", "valueChanged")
    if type(widget) is QComboBox and parameter.kind in (int, float, str, bool):
        choices = parameter.find(Choice).choices
        widget.clear()
        widget.addItems([str(choice) for choice in choices])
        return _Connector(
            widget.currentIndexChanged,
            lambda: choices[widget.currentIndex],
            lambda value: setattr(widget, "currentIndex", choices.index(value)),
        )
    if type(widget) is qMRMLNodeComboBox and isinstance(parameter.serializer, NodeParameter):
        widget.nodeTypes = (parameter.kind().GetClassName(),)
        return _Connector(widget.currentNodeChanged, widget.currentNode, widget.setCurrentNode)
    raise RuntimeError(f"Unable to create GUI connector from {parameter.kind} to {type(widget)}.")


class _Wrapper:
    """What `parameterNodeWrapper` adds to a class."""

    allParameters: dict[str, _Parameter]

    def __init__(self, node: Any) -> None:
        self.parameterNode = node
        self._guis: dict[int, tuple[int, list]] = {}
        self._updating = False
        for parameter in self.allParameters.values():
            if not parameter.serializer.isIn(node, parameter.name):
                parameter.write(node, parameter.default)

    def connectGui(self, gui: Any) -> int:
        connections = []
        for widget in vars(gui).values():
            name = widget.property(PROPERTY)
            if not name:
                continue
            parameter = self.allParameters[name]
            connector = _connector(widget, parameter)
            connector.write(parameter.read(self.parameterNode))
            slot = self._make_slot(parameter, connector)
            connector.changed.connect(slot)
            connections.append((parameter, connector, slot))
        tag = self.AddObserver(vtkCommand.ModifiedEvent, lambda *_: self._update(connections))
        self._guis[tag] = (tag, connections)
        return tag

    def disconnectGui(self, tag: int) -> None:
        if tag in self._guis:
            _, connections = self._guis.pop(tag)
            self.RemoveObserver(tag)
            for _, connector, slot in connections:
                connector.changed.disconnect(slot)

    def _make_slot(self, parameter: _Parameter, connector: _Connector) -> Callable:
        def changed(*_: object) -> None:
            if not self._updating:
                parameter.write(self.parameterNode, connector.read())

        return changed

    def _update(self, connections: list) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for parameter, connector, _ in connections:
                connector.write(parameter.read(self.parameterNode))
        finally:
            self._updating = False

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, was: int) -> None:
        self.parameterNode.EndModify(was)

    def AddObserver(self, event: Any, callback: Callable, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)


def parameterNodeWrapper(cls: type) -> type:
    hints = typing.get_type_hints(cls, include_extras=True)
    parameters = {name: _Parameter(name, annotated, cls) for name, annotated in hints.items()}

    def accessor(parameter: _Parameter) -> property:
        return property(
            lambda self: parameter.read(self.parameterNode),
            lambda self, value: parameter.write(self.parameterNode, value),
        )

    content = {name: accessor(parameter) for name, parameter in parameters.items()}
    return type(cls.__name__, (_Wrapper,), {"allParameters": parameters, "__doc__": cls.__doc__, **content})


NAMES = {
    item.__name__: item
    for item in (parameterNodeWrapper, Default, Decimals, SingleStep, Minimum, WithinRange, Choice)
}
