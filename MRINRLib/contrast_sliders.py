"""Three sliders with a logarithmic scale, a box beside each to type into, and buttons of presets."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from mrinr.contrast.parameters import CLINICAL, NULLABLE, PAPER, PRESETS, TITLES, Box, text_of, times
from MRINRLib.contrast_sources import Times

STEPS = 1000  # of a slider
NONE = 40  # positions at the slider's left end that stand for no inversion
MOST = 99999.0  # ms that can be typed
FULL = {"TR": (400.0, 10000.0), "TE": (8.0, 200.0), "TI": (150.0, 3000.0)}  # where no model says
COLUMNS = 3  # of preset buttons


class ContrastSliders:
    """Drives TRSlider, TRBox, TESlider, TEBox, TISlider, TIBox, presetsLayout, paperBox and nullBox.

    onTimes : called with (TR, TE, TI) in ms while a person moves a slider, and after other choices
    onNull : called with the name of a tissue that is to be nulled
    """

    def __init__(self, ui: Any, onTimes: Callable[[Times], None], onNull: Callable[[str], None]) -> None:
        self._onTimes = onTimes
        self._widgets = {
            name: (getattr(ui, f"{name}Slider"), getattr(ui, f"{name}Box")) for name in ("TR", "TE", "TI")
        }
        self._range: Box = FULL
        self._times: Times = (0.0, 0.0, 0.0)
        self._showing = False
        for name, (slider, box) in self._widgets.items():
            slider.setRange(0, STEPS)
            box.setRange(0.0, MOST)
            box.setDecimals(1 if name == "TE" else 0)
            box.setKeyboardTracking(False)
            slider.connect("valueChanged(int)", lambda position, name=name: self._onSlider(name, position))
            box.connect("valueChanged(double)", lambda value, name=name: self._onBox(name, value))
        self._widgets["TI"][1].setSpecialValueText(_("none"))
        before = ui.liveButton
        for n, name in enumerate(CLINICAL):
            button = qt.QPushButton(TITLES.get(name, name))
            button.setObjectName(f"preset{name}")
            button.setToolTip(text_of(PRESETS[name]))
            button.connect("clicked(bool)", lambda checked=False, name=name: onTimes(times(PRESETS[name])))
            ui.presetsLayout.addWidget(button, n // COLUMNS, n % COLUMNS)
            qt.QWidget.setTabOrder(before, button)
            before = button
        ui.paperBox.addItems([_("of the paper…"), *(TITLES[name] for name in PAPER)])
        ui.paperBox.connect("activated(int)", lambda index: self._onPaper(index))
        ui.nullBox.addItems([_("make dark…"), *NULLABLE])
        self._onNullTissue = onNull
        ui.nullBox.connect("activated(int)", lambda index: self._onNull(index))

    def show(self, now: Times, box: Box | None) -> None:
        """Put sliders and boxes to these times; the sliders end where the model's knowledge does."""
        self._range = box or FULL
        if now == self._times and not self._showing and self._isShown():
            return
        self._times = now
        self._showing = True
        for name, value in zip(("TR", "TE", "TI"), now, strict=True):
            slider, field = self._widgets[name]
            slider.setValue(self._position(name, value))
            field.setValue(value)
        self._showing = False

    def _isShown(self) -> bool:
        return all(
            slider.value == self._position(name, value)
            for (name, (slider, _box)), value in zip(self._widgets.items(), self._times, strict=True)
        )

    def _onSlider(self, name: str, position: int) -> None:
        if not self._showing and position != self._position(name, self._value(name)):
            self._change(name, self._at(name, position))

    def _onBox(self, name: str, value: float) -> None:
        if not self._showing:
            self._change(name, value)

    def _onPaper(self, index: int) -> None:
        if index:
            self._onTimes(times(PRESETS[PAPER[index - 1]]))

    def _onNull(self, index: int) -> None:
        if index:
            self._onNullTissue(list(NULLABLE)[index - 1])

    def _value(self, name: str) -> float:
        return self._times[("TR", "TE", "TI").index(name)]

    def _change(self, name: str, value: float) -> None:
        at = list(self._times)
        at[("TR", "TE", "TI").index(name)] = value
        self._onTimes((at[0], at[1], at[2]))

    def _at(self, name: str, position: int) -> float:
        """The time at a slider's position."""
        low, high = self._range[name]
        start = 0
        if name == "TI":
            if position < NONE:
                return 0.0
            start = NONE
        value = low * (high / low) ** ((position - start) / (STEPS - start))
        return round(value, 1 if value < 100 else 0)

    def _position(self, name: str, value: float) -> int:
        low, high = self._range[name]
        start = NONE if name == "TI" else 0
        if value <= 0:
            return 0
        share = math.log(value / low) / math.log(high / low)
        return round(start + min(max(share, 0.0), 1.0) * (STEPS - start))
