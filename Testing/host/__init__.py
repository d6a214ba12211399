"""A test-only stand-in for the Qt half of 3D Slicer, on the `slicer-core` wheel (real MRML) and PySide6.

`start()` makes `qt`, `ctk`, `slicer.app`, `slicer.ScriptedLoadableModule`, ... importable, so that the real
.ui files and widget code of scripted modules run without the application. It knows what our modules use and
raises for everything else: passing here is a smoke test, the same tests inside the application are the proof.

With SLICER_PYTHON set to the `Base/Python` folder of a Slicer source tree, Slicer's own Python (the parameter
node wrapper, the scripted module classes) runs on top of the stand-in's Qt instead of our versions of it.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

_started: ModuleType | None = None


def start() -> ModuleType:
    """Make this process look like Slicer with an empty scene, once; returns `slicer`."""
    global _started
    if _started is not None:
        return _started
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

    from PySide6.QtWidgets import QApplication

    qapplication = QApplication.instance() or QApplication(sys.argv[:1])

    import slicer
    import slicer.util

    from host import app, ctk_widgets, pythonqt, qmrml, scripted, uiloader

    qt = pythonqt.module()
    qt.QUiLoader = uiloader.QUiLoader
    sys.modules["qt"] = slicer.qt = qt
    sys.modules["ctk"] = slicer.ctk = ctk_widgets.module()
    qmrml.add_to(slicer)
    slicer.modules = app.Modules()
    slicer.app = app.Application(qapplication)
    slicer.app.newScene()
    scripted.install(slicer)
    _started = slicer
    return slicer
