"""Somebody who does anything at all with a panel, always the same for the same seed."""

from __future__ import annotations

import logging
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from PySide6 import QtWidgets
from shiboken6 import isValid
from slicer_session import slicer


class RandomUser:
    """Moves, chooses and presses whatever is enabled in a panel.

    starters : names of the buttons that start a job; they are pressed in `rate` of all events, as what they
        start takes its time
    load : adds a volume to the scene
    """

    def __init__(
        self,
        panel: Any,
        load: Callable[[int], Any],
        seed: int,
        starters: tuple[str, ...],
        rate: float = 0.004,
    ) -> None:
        self._panel, self._load, self._starters, self._rate = panel, load, starters, rate
        self._random = random.Random(seed)
        self._loaded = 0
        self._known: list[Any] = []
        self.done: dict[str, int] = {}  # how often, by what

    def act(self, events: int) -> None:
        for number in range(events):
            if number % 100 == 0:
                self._known = self._offered()
            self._one()
            if number % 10 == 0:
                slicer.app.processEvents()

    def _one(self) -> None:
        dice = self._random.random()
        if dice < self._rate:
            self._press(self._random.choice(self._starters))
        elif dice < self._rate + 0.01:
            self._change_scene()
        else:
            self._widget_event()

    def _count(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1

    def _press(self, name: str) -> None:
        button = getattr(self._panel.ui, name)
        if button.isEnabled():
            self._count(name)
            button.click()

    def _change_scene(self) -> None:
        nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if len(nodes) < 4 or (len(nodes) < 9 and self._random.random() < 0.5):
            self._loaded += 1
            self._load(self._loaded)
            self._count("load")
        else:
            slicer.mrmlScene.RemoveNode(self._random.choice(nodes))
            self._count("remove")

    def _widget_event(self) -> None:
        widgets = [each for each in self._known if isValid(each) and each.isEnabled()]
        if self._panel._job is not None or not widgets:  # watch it, or stop it
            self._count("watch")
            if self._random.random() < 0.02:
                self._press(self._starters[0])
            time.sleep(0.005)
            return
        widget = self._random.choice(widgets)
        self._count(type(widget).__name__)
        if isinstance(widget, slicer.qMRMLNodeComboBox):
            kinds = [kind for kind in widget.property("nodeTypes") or () if kind]
            nodes = [node for kind in kinds for node in slicer.util.getNodesByClass(kind)]
            widget.setCurrentNode(self._random.choice([None, *nodes]))
        elif isinstance(widget, QtWidgets.QComboBox):
            if widget.count:
                index = self._random.randrange(widget.count)
                widget.setCurrentIndex(index)
                widget.activated.emit(index)
        elif isinstance(widget, QtWidgets.QAbstractSlider):
            widget.setValue(self._random.randint(widget.minimum, widget.maximum))
        elif isinstance(widget, (QtWidgets.QSpinBox, QtWidgets.QDoubleSpinBox)):
            part = self._random.random()
            value = widget.minimum + part * (widget.maximum - widget.minimum)
            widget.setValue(int(value) if isinstance(widget, QtWidgets.QSpinBox) else value)
        elif isinstance(widget, QtWidgets.QTableWidget):
            if widget.rowCount:
                widget.setCurrentCell(self._random.randrange(widget.rowCount), 0)
        elif isinstance(widget, QtWidgets.QAbstractButton):
            widget.click()

    def _offered(self) -> list[Any]:
        top = self._panel.parent
        starters = {getattr(self._panel.ui, name) for name in self._starters}
        kinds = (
            slicer.qMRMLNodeComboBox,
            QtWidgets.QComboBox,
            QtWidgets.QAbstractButton,
            QtWidgets.QAbstractSlider,
            QtWidgets.QSpinBox,
            QtWidgets.QDoubleSpinBox,
            QtWidgets.QTableWidget,
        )
        found = []
        for each in top.findChildren(QtWidgets.QWidget):
            inside = isinstance(each.parent(), (slicer.qMRMLNodeComboBox, QtWidgets.QAbstractScrollArea))
            bar = isinstance(each, QtWidgets.QScrollBar)
            offered = isinstance(each, kinds) and not inside and not bar
            if offered and each not in starters and each.isVisibleTo(top):
                found.append(each)
        return found


@contextmanager
def nothing_goes_wrong() -> Iterator[None]:
    """Raises at the end where an exception went unseen meanwhile: in a slot, destructor or handler."""
    seen: list[str] = []
    before = sys.excepthook, sys.unraisablehook

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info:
                seen.append(self.format(record))

    handler = Handler(logging.ERROR)
    logging.getLogger().addHandler(handler)
    sys.excepthook = lambda kind, error, trace: seen.append(_text(error))
    sys.unraisablehook = lambda what: seen.append(_text(what.exc_value))
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        sys.excepthook, sys.unraisablehook = before
    assert not seen, f"{len(seen)} errors, the first: {seen[0]}"


def _text(error: BaseException | None) -> str:
    return "".join(traceback.format_exception(error)) if error is not None else "?"
