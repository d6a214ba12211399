"""Names that Slicer has and the stand-in has not: they can be compared with, and raise when used."""

from __future__ import annotations

from types import ModuleType


class Unknown:
    """Base of placeholders: `type(widget) == ctk.ctkThing` works, `ctk.ctkThing()` raises."""

    def __init__(self, *_: object) -> None:
        raise NotImplementedError(f"The test stand-in for Slicer has no {type(self).__name__}.")


def placeholder(name: str) -> type:
    return type(name, (Unknown,), {})


class PartialModule(ModuleType):
    """A module that answers for names with a known prefix with placeholders and raises for all others."""

    prefix = ""

    def __getattr__(self, name: str) -> type:
        if not self.prefix or not name.startswith(self.prefix):
            raise AttributeError(f"The test stand-in for Slicer has no {self.__name__}.{name}.")
        value = placeholder(name)
        setattr(self, name, value)
        return value
