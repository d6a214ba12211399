"""The module `qt` as PythonQt shows it: properties are attributes, `connect("clicked(bool)", f)` works.

Every PySide6 class is patched from its meta-object, so that what Qt itself creates looks right too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from host.unknown import PartialModule

LEFT_ALONE = (QtCore.QIODevice, QtUiTools.QUiLoader)  # patching these crashes PySide6


def _property(name: str) -> property:
    return property(
        lambda self: _as_pythonqt(QtCore.QObject.property(self, name)),
        lambda self, value: _set(self, name, value),
    )


def _as_pythonqt(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value  # PythonQt gives string lists as tuples


def _set(self: QtCore.QObject, name: str, value: Any) -> None:
    known = self.metaObject().property(self.metaObject().indexOfProperty(name))
    if not known.isWritable():
        raise AttributeError(f"The property {name} of {type(self).__name__} is read-only.")
    if not self.setProperty(name, list(value) if isinstance(value, tuple) else value):
        raise ValueError(f"{type(self).__name__}.{name} cannot be {value!r}.")


def _signal(self: QtCore.QObject, signature: str) -> Any:
    """The PySide6 signal of a signature such as "clicked(bool)", which has to exist in exactly this form."""
    name, _, arguments = signature.partition("(")
    signal = getattr(self, name, None)
    exact = bytes(QtCore.QMetaObject.normalizedSignature(signature)).decode()
    known = "vtk" in arguments or self.metaObject().indexOfSignal(exact) >= 0
    if not known or not hasattr(signal, "connect"):
        raise ValueError(f"{type(self).__name__} has no signal {signature}.")
    chosen = "vtk" in arguments or exact in repr(signal)  # else it is another overload of that name
    return signal if chosen else signal[tuple(exact.partition("(")[2].rstrip(")").split(","))]


def _connect(self: QtCore.QObject, signature: str, slot: Callable) -> bool:
    _signal(self, signature).connect(slot)
    return True


def _disconnect(self: QtCore.QObject, signature: str, slot: Callable) -> bool:
    _signal(self, signature).disconnect(slot)
    return True


_EXTRA = {
    "connect": lambda self: lambda *a: _connect(self, *a),
    "disconnect": lambda self: lambda *a: _disconnect(self, *a),
    "delete": lambda self: lambda: shiboken6.delete(self),
    "className": lambda self: lambda: type(self).__name__,
    "name": lambda self: QtCore.QObject.property(self, "objectName"),
}


_original_get = QtCore.QObject.__getattribute__


def _get(self: Any, name: str) -> Any:
    extra = _EXTRA.get(name)
    return extra(self) if extra is not None else _original_get(self, name)


def _put(self: Any, name: str, value: Any) -> None:
    """PythonQt refuses unknown attributes of what it wraps; subclasses written in Python may have any."""
    if name == "name":
        self.setObjectName(value)
        return
    if isinstance(value, QtCore.QObject) and not hasattr(type(self), name) and value.objectName == name:
        return  # PySide6's loader hangs every named child on the form; PythonQt's does not
    wrapped = type(self).__module__.startswith(("PySide6.", "host."))
    if wrapped and not name.startswith("_") and not hasattr(type(self), name):
        raise AttributeError(f"{type(self).__name__} has no attribute {name} that could be set.")
    attribute = inspect.getattr_static(type(self), name, None)
    if isinstance(attribute, QtCore.Property):  # one that the stand-in's own widgets declare
        _set(self, name, value)
    elif hasattr(attribute, "__set__"):
        attribute.__set__(self, value)
    else:
        self.__dict__[name] = value  # Python does not let one override call Shiboken's own __setattr__


def _patch_class(cls: type) -> None:
    meta = cls.staticMetaObject  # type: ignore[attr-defined]
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        name = meta.property(index).name()
        if name != "singleShot":  # QTimer.singleShot(msec, callable) is what people mean
            setattr(cls, name, _property(name))
    cls.__getattribute__ = _get  # type: ignore[method-assign,assignment]
    cls.__setattr__ = _put  # type: ignore[method-assign,assignment]
    if hasattr(cls, "exec") and not hasattr(cls, "exec_"):
        cls.exec_ = cls.exec  # type: ignore[attr-defined]


def module() -> PartialModule:
    """Patch PySide6 once and return `qt`."""
    qt = PartialModule("qt")
    patched: set[type] = set()
    for source in (QtCore, QtGui, QtWidgets, QtUiTools):
        for name in dir(source):
            if name.startswith("_"):
                continue
            value = getattr(source, name)
            setattr(qt, name, value)
            if not (inspect.isclass(value) and issubclass(value, QtCore.QObject)):
                continue
            for cls in reversed(value.__mro__):
                wanted = "staticMetaObject" in dir(cls) and not issubclass(cls, LEFT_ALONE)
                if wanted and cls not in patched:
                    patched.add(cls)
                    _patch_class(cls)
    return qt
