"""The line in a panel that says which device will compute, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from mrinr.engine import Event
from MRINRLib import device, engine, install


class DeviceLine:
    """Asks the worker, which also warms it up, and shows the answer in a label."""

    def __init__(self, label: Any, engineOf: Callable[[], engine.Engine] = engine.shared) -> None:
        self._label = label
        self._engineOf = engineOf
        self._asked = ""
        self._job: Any = None

    def ask(self, wanted: str) -> None:
        """Show what becomes of 'auto', 'cpu', 'cuda' or 'mps'; does nothing when that is shown already."""
        if not install.hasTorch():
            self._label.text = _("Device: PyTorch is not installed yet; Apply offers to install it.")
            return
        if wanted == self._asked:
            return
        self._asked = wanted
        self._label.text = _("Device: looking…")
        self._job = self._engineOf().submit(
            device.TASK, {}, {"device": wanted}, self._onEvent, replaces=self._job
        )

    def _onEvent(self, event: Event) -> None:
        if event.job is not self._job:
            return
        if event.kind == "result":
            self._label.text = _("Device: {text}").format(text=event.data["report"]["text"])
        elif event.kind in ("failed", "cancelled"):
            self._asked = ""  # ask again at the next occasion
            self._label.text = _("Device: {text}").format(text=event.data.get("text", ""))
