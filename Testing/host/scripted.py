"""Slicer's Python packages that the wheel lacks: module classes, parameter nodes, i18n, packaging."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType

from host import modules, parameters

_STAND_INS = ("ScriptedLoadableModule", "i18n", "packaging", "parameterNodeWrapper")


def install(slicer: ModuleType) -> None:
    source = os.environ.get("SLICER_PYTHON")
    if source:  # Slicer's own files, from a source tree
        slicer.__path__.append(os.path.join(source, "slicer"))
        for name in _STAND_INS:
            setattr(slicer, name, importlib.import_module(f"slicer.{name}"))
    else:
        classes = _module(slicer, "ScriptedLoadableModule", modules.CLASSES)
        classes.__all__ = list(modules.CLASSES)  # type: ignore[attr-defined]
        _module(slicer, "parameterNodeWrapper", parameters.NAMES)
        _module(slicer, "i18n", {"tr": lambda text: text, "translate": lambda context, text: text})
        _module(slicer, "packaging", {"pip_ensure": _pip_ensure})
    sys.modules["SampleData"] = _sample_data()
    slicer.loadModule = modules.loadModule  # type: ignore[attr-defined]


def _module(slicer: ModuleType, name: str, content: dict) -> ModuleType:
    module = ModuleType(f"slicer.{name}")
    vars(module).update(content)
    sys.modules[module.__name__] = module
    setattr(slicer, name, module)
    return module


def _pip_ensure(requirements: list[str], requester: str | None = None, **_: object) -> None:
    raise NotImplementedError(f"A test wanted to install {requirements} for {requester}.")


def _sample_data() -> ModuleType:
    class SampleDataLogic:
        registered: dict[str, list[dict]] = {}  # noqa: RUF012

        @classmethod
        def registerCustomSampleDataCategory(cls, category: str, **_: object) -> None:
            cls.registered.setdefault(category, [])

        @classmethod
        def registerCustomSampleDataSource(cls, category: str, **source: object) -> None:
            cls.registered.setdefault(category, []).append(source)

    module = ModuleType("SampleData")
    module.SampleDataLogic = SampleDataLogic  # type: ignore[attr-defined]
    return module
