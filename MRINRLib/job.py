"""A job of the worker as the modules see it: events in, callbacks and nodes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mrinr.engine import EngineError, Event
from mrinr.errors import InputError
from MRINRLib.engine import Engine


class WorkerJob:
    """Something that was started in the worker; subclasses turn its result into nodes.

    state : 'queued', 'running', 'cancelling', 'finished', 'cancelled' or 'failed'
    nodes : what the job made for the scene; empty unless finished
    report : the task's; warnings : sentences
    error : the exception of a failed job (InputError or EngineError), its text made for people
    """

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
                self._receive(event.volumes)
            except InputError as error:
                self.error = error
        if event.kind in ("result", "cancelled", "failed") and self._onFinished is not None:
            self._onFinished(self.value)

    def _receive(self, volumes: dict[str, Any]) -> None:
        """Make nodes of the result; `report` is there. Raises InputError where the scene has changed."""
        raise NotImplementedError
