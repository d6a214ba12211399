"""How parameters are kept in a vtkMRMLScriptedModuleNode: in Slicer's own layout, readable by either."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import slicer


@dataclasses.dataclass
class Default:
    value: Any


@dataclasses.dataclass
class Decimals:
    value: int


@dataclasses.dataclass
class SingleStep:
    value: float


@dataclasses.dataclass
class Minimum:
    minimum: float

    def validate(self, value: float) -> None:
        if value < self.minimum:
            raise ValueError(f"Value must be greater than or equal to {self.minimum}, is {value}")


@dataclasses.dataclass
class WithinRange:
    minimum: float
    maximum: float

    def validate(self, value: float) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within {self.minimum} and {self.maximum}, is {value}")


class Choice:
    def __init__(self, choices: list) -> None:
        self.choices = choices

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"Value must be one of {self.choices}, is {value}")


class _Text:
    """int, float, str, bool: one text parameter."""

    def __init__(self, kind: type) -> None:
        self.kind = kind
        self.default = kind()
        self.accepted = (int, float) if kind is float else kind

    def isIn(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(name))

    def write(self, node: Any, name: str, value: Any) -> None:
        if not isinstance(value, self.accepted):
            raise TypeError(f"Value for {name} must be {self.kind}, is {value!r}")
        node.SetParameter(name, str(value))

    def read(self, node: Any, name: str) -> Any:
        text = node.GetParameter(name)
        return text == "True" if self.kind is bool else self.kind(text)

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)


class NodeParameter:
    """A node reference, and an empty text parameter that says it was set."""

    default = None

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def isIn(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(name))

    def write(self, node: Any, name: str, value: Any) -> None:
        if value is not None and not isinstance(value, self.kind):
            raise TypeError(f"Value for {name} must be {self.kind}, is {value!r}")
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node: Any, name: str) -> Any:
        return node.GetNodeReference(name)

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)


class _ReadOnlyList(list):
    """Slicer's lists write themselves back when changed; we only assign whole lists and say so here."""

    def _refuse(self, *_: object) -> None:
        raise NotImplementedError("The test stand-in knows whole lists only: assign a new one.")

    append = extend = insert = remove = pop = clear = sort = reverse = _refuse  # type: ignore[assignment]
    __setitem__ = __delitem__ = __iadd__ = _refuse  # type: ignore[assignment]


class _List:
    default: tuple = ()

    def __init__(self, element: Any) -> None:
        self.element = element

    def isIn(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(f"{name}.len"))

    def _length(self, node: Any, name: str) -> int:
        return int(node.GetParameter(f"{name}.len") or 0)

    def write(self, node: Any, name: str, value: Any) -> None:
        for index in range(len(value), self._length(node, name)):
            self.element.remove(node, f"{name}.{index}")
        node.SetParameter(f"{name}.len", str(len(value)))
        for index, item in enumerate(value):
            self.element.write(node, f"{name}.{index}", item)

    def read(self, node: Any, name: str) -> Any:
        return _ReadOnlyList(self.element.read(node, f"{name}.{i}") for i in range(self._length(node, name)))


def serializer(kind: Any) -> Any:
    if kind in (int, float, str, bool):
        return _Text(kind)
    if isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode):
        return NodeParameter(kind)
    if typing.get_origin(kind) is list:
        return _List(serializer(typing.get_args(kind)[0]))
    raise NotImplementedError(f"The test stand-in knows no parameters of type {kind}.")
