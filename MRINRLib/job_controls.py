"""The part of a panel that starts, shows and cancels a job: button, progress, time left, messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _


class JobControls:
    """Drives applyButton (which is Cancel while a job runs), allPatientsButton, everyFrameBox, progressBar,
    progressLabel and messageLabel.

    sections : widgets that nobody may change while a job runs
    verb : what the button says while none runs; default Apply
    """

    def __init__(self, ui: Any, sections: Sequence[Any], verb: str = "") -> None:
        self._ui = ui
        self._verb = verb or _("Apply")
        self._sections = sections
        self._cancelling = False

    def showRunning(self, running: bool, cancelTip: str = "") -> None:
        ui = self._ui
        self._cancelling = False
        for section in self._sections:
            section.enabled = not running
        ui.allPatientsButton.enabled = ui.everyFrameBox.enabled = not running
        ui.progressBar.visible = running
        ui.progressLabel.visible = running
        ui.progressBar.value = 0
        ui.progressLabel.text = _("Starting…")
        ui.applyButton.text = _("Cancel") if running else self._verb
        if running:
            ui.applyButton.enabled = True
            ui.applyButton.toolTip = cancelTip

    def showCancelling(self) -> None:
        self._cancelling = True
        self._ui.applyButton.enabled = False
        self._ui.progressLabel.text = _("Cancelling…")

    def progress(self, fraction: float, secondsLeft: float | None, text: str) -> None:
        """Called by the job; fraction from 0 to 1."""
        self._ui.progressBar.value = int(1000 * fraction)
        if not self._cancelling:
            left = "" if secondsLeft is None else _(", about {time} left").format(time=duration(secondsLeft))
            self._ui.progressLabel.text = text + left

    def say(self, text: str, error: bool = False) -> None:
        self._ui.messageLabel.text = text
        self._ui.messageLabel.visible = bool(text)
        font = self._ui.messageLabel.font  # no colour of ours: themes have their own
        font.setBold(error)
        self._ui.messageLabel.font = font


def duration(seconds: float) -> str:
    """Seconds in words for people."""
    return (
        _("{seconds:.0f} s").format(seconds=seconds)
        if seconds < 90
        else _("{minutes:.0f} min").format(minutes=seconds / 60)
    )
