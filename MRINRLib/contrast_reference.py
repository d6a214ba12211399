"""The line that says how well a target is known, voxel by voxel, and which scan would add most."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from mrinr.contrast.parameters import of_times, title_of
from mrinr.engine import Event
from MRINRLib import engine
from MRINRLib.contrast_job import REFERENCE, Request
from MRINRLib.contrast_sources import Times


class ReferenceLine:
    """Asks the worker that all modules share, so that the live view need not wait, and fills a label."""

    def __init__(self, label: Any) -> None:
        self._label = label
        self._job: Any = None
        self._asked: tuple[list[Times], Times] | None = None
        self.clear()

    def ask(self, request: Request, target: Times) -> None:
        """Compute for these sources and this target; what was asked before is dropped."""
        self._asked = [row.times for row in request.sources], target
        self._say(_("Looking voxels up in simulated heads…"))
        parameters = {"sources": [list(times) for times in self._asked[0]], "target": list(target)}
        self._job = engine.shared().submit(REFERENCE, {}, parameters, self._onEvent, replaces=self._job)

    def follow(self, sources: list[Times], target: Times | None) -> None:
        """Forget the answer where it is no longer that to the question."""
        if self._asked is not None and (sources, target) != self._asked:
            self.clear()

    def clear(self) -> None:
        if self._job is not None:
            self._job.cancel()
        self._job, self._asked = None, None
        self._say("")

    def _say(self, text: str) -> None:
        self._label.text = text
        self._label.visible = bool(text)

    def _onEvent(self, event: Event) -> None:
        if event.job is not self._job:
            return
        if event.kind == "result":
            assert self._asked is not None
            self._say(sentence(*self._asked, event.data["report"]))
        elif event.kind == "failed":
            self._say(event.data["text"])
        if event.kind in ("result", "failed", "cancelled"):
            self._job = None


def sentence(sources: list[Times], target: Times, report: dict[str, Any]) -> str:
    """What the report of the task says, for people."""
    given = " + ".join(title_of(of_times(times)) for times in sources)
    text = _("From {sources} alone, voxel by voxel, {target} is known to about {dB:.0f} dB").format(
        sources=given, target=title_of(of_times(target)), dB=report["alone"]
    )
    added = report["adding"]
    if not added:
        return text + "."
    best = max(added, key=added.__getitem__)
    return text + _("; adding a {name} scan would give {dB:.0f}.").format(name=best, dB=added[best])
