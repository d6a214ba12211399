"""A job of the worker as the modules see it: events in, callbacks and nodes out."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import Any

from slicer.i18n import tr as _

from mrinr.engine import EngineError, Event, failures
from mrinr.errors import InputError
from MRINRLib import nodes
from MRINRLib.engine import Engine


def asJobError(error: Exception) -> InputError | EngineError:
    """What a job ends with, for any exception: one sentence for people, the traceback in its details."""
    if isinstance(error, (InputError, EngineError)):
        return error
    return EngineError(failures.sentence(error), "".join(traceback.format_exception(error)))


class WorkerJob:
    """Something that was started in the worker; subclasses turn its result into nodes.

    state : 'queued', 'running', 'cancelling', 'finished', 'cancelled' or 'failed'
    nodes : what the job made for the scene; empty unless finished
    report : the task's; warnings : sentences
    error : the exception of a failed job (InputError or EngineError), its text made for people
    summary : what a panel says at the end, where that is more than the warnings
    """

    summary = ""

    def __init__(
        self,
        onProgress: Callable[[float, float | None, str], None] | None = None,
        onPreview: Callable[[Any], None] | None = None,
        onFinished: Callable[[Any], None] | None = None,
    ) -> None:
        self.nodes: list[Any] = []
        self.report: dict[str, Any] = {}
        self.warnings: list[str] = []
        self.error: InputError | EngineError | None = None
        self._onProgress, self._onPreview, self._onFinished = onProgress, onPreview, onFinished
        self._added = nodes.Added()

    def _submit(
        self, engine: Engine, task: str, volumes: Mapping[str, Any], parameters: Mapping[str, Any]
    ) -> None:
        self._engine = engine
        self._job = engine.submit(task, volumes, parameters, self._onEvent)

    @property
    def state(self) -> str:
        return self._job.state

    @property
    def done(self) -> bool:
        return self._job.done

    @property
    def value(self) -> Any:
        """What `wait` returns and `onFinished` is given."""
        return self.nodes

    @property
    def results(self) -> list[Any]:
        """The volumes that were asked for; `nodes` may hold more."""
        return self.nodes

    @property
    def others(self) -> list[Any]:
        """The volumes that explain the results; the same number of them for every job of a request."""
        return []

    @property
    def cancelTip(self) -> str:
        """What a panel says of Cancel."""
        return _("Stop; nothing will be changed.")

    def discard(self) -> None:
        """Take everything that the job has made out of the scene again."""
        self._added.remove()

    def cancel(self) -> None:
        """Stop; `onFinished` is called within a second, with an empty value."""
        self._job.cancel()

    def wait(self) -> Any:
        """Wait with a live window; returns `value`. Raises `error` when the job failed."""
        self._engine.wait(self._job)
        if self.error is not None:
            raise self.error
        return self.value

    def _onEvent(self, event: Event) -> None:
        data = event.data
        if event.kind == "progress" and self._onProgress is not None:
            self._onProgress(data["fraction"], data["seconds_left"], data["text"])
        elif event.kind == "preview" and self._onPreview is not None:
            self._onPreview(event.volumes["preview"])
        elif event.kind == "warning":
            self.warnings.append(data["text"])
        elif event.kind == "failed":
            text = data["text"]
            self.error = InputError(text) if data["input"] else EngineError(text, data["details"])
        elif event.kind == "result":
            self.report = data["report"]
            try:
                with self._added:
                    self._receive(event.volumes)
            except Exception as error:  # half a result in the scene would be worse than none
                self.discard()
                text = _("The result could not be put into the scene; the log says more.")
                details = traceback.format_exc()
                self.error = error if isinstance(error, InputError) else EngineError(text, details)
        if event.kind in ("result", "cancelled", "failed") and self._onFinished is not None:
            self._onFinished(self.value)

    def _receive(self, volumes: dict[str, Any]) -> None:
        """Make nodes of the result; `report` is there. Raises InputError where the scene has changed."""
        raise NotImplementedError
