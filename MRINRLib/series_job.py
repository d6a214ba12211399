"""Several jobs, one after another, that a panel and a script treat as one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from mrinr.engine import EngineError
from mrinr.errors import InputError
from MRINRLib.job import WorkerJob

Start = Callable[..., WorkerJob]  # takes onProgress and onFinished; raises InputError where it cannot start


class SeriesJob:
    """Has what panels and scripts use of a `WorkerJob`. Only one of the jobs is in the queue at a time.

    results, others : of all jobs that have succeeded
    Subclasses say what follows when one has succeeded or failed, and when all are done.
    """

    def __init__(
        self,
        starts: Sequence[Start],
        onProgress: Callable[[float, float | None, str], None] | None = None,
        onFinished: Callable[[Any], None] | None = None,
    ) -> None:
        self.results: list[Any] = []
        self.others: list[Any] = []
        self.warnings: list[str] = []
        self.report: dict[str, Any] = {}
        self.error: InputError | EngineError | None = None
        self.state = "running"
        self.summary = ""
        self.number = 0  # of the job that runs, from 0
        self._starts = starts
        self._current: WorkerJob | None = None
        self._onProgress, self._onFinished = onProgress, onFinished
        self._began = time.monotonic()
        qt.QTimer.singleShot(
            0, self._next
        )  # whoever starts this has it in hand when the first callback comes

    # What subclasses say -------------------------------------------------------------------------------

    def _succeeded(self, job: WorkerJob) -> None:
        self.results += job.results
        self.others += job.others

    def _failed(self, error: InputError | EngineError) -> None:
        """Sets `error` to stop here; else the next one follows."""
        self.error = error

    def _end(self) -> None:
        """Called once, before `onFinished`."""

    def _where(self) -> str:
        """Which of them runs, for people."""
        raise NotImplementedError

    # What panels and scripts use -----------------------------------------------------------------------

    @property
    def done(self) -> bool:
        return self.state in ("finished", "cancelled", "failed")

    @property
    def nodes(self) -> list[Any]:
        return self.results

    @property
    def value(self) -> Any:
        """What `wait` returns and `onFinished` is given."""
        return self.results

    @property
    def cancelTip(self) -> str:
        return _("Stop; nothing will be changed.")

    def cancel(self) -> None:
        if self.state == "running":
            self.state = "cancelling"
            if self._current is not None:
                self._current.cancel()

    def wait(self) -> Any:
        """Wait with a live window; returns `value`. Raises `error` when the whole failed."""
        while not self.done:
            slicer.app.processEvents()
            time.sleep(0.01)
        if self.error is not None:
            raise self.error
        return self.value

    # How it goes on ------------------------------------------------------------------------------------

    def _next(self) -> None:
        while self.state == "running" and self.error is None and self.number < len(self._starts):
            self._progress(0.0, None, _("Starting…"))
            try:
                self._current = self._starts[self.number](
                    onProgress=self._progress, onFinished=lambda value: self._onEnded()
                )
                return
            except InputError as error:
                self._failed(error)
            except RuntimeError as error:  # the engine was closed meanwhile
                self._failed(EngineError(str(error)))
            self.number += 1
        if self.state == "cancelling":
            self.state = "cancelled"
        else:
            self.state = "failed" if self.error is not None else "finished"
        try:
            self._end()
        except InputError as error:  # the scene has changed
            self.error, self.state = error, "failed"
        if self._onFinished is not None:
            self._onFinished(self.value)

    def _onEnded(self) -> None:
        """Called when the current job is done, however it ended."""
        job, self._current = self._current, None
        assert job is not None
        if job.error is not None:
            if not isinstance(
                job.error, InputError
            ):  # which names volumes, and they may be named after people
                logging.error(
                    "MRINR: number %d failed: %s\n%s",
                    self.number + 1,
                    job.error,
                    getattr(job.error, "details", ""),
                )
            self._failed(job.error)
        elif job.state == "cancelled":  # by us, or because Slicer closes
            self.state = "cancelling"
        else:
            try:
                self._succeeded(job)
            except InputError as error:
                self._failed(error)
        self.number += 1
        self._next()

    def _progress(self, fraction: float, _secondsLeft: float | None, text: str) -> None:
        if self._onProgress is None:
            return
        done = (self.number + fraction) / len(self._starts)
        spent = time.monotonic() - self._began
        left = spent * (1 - done) / done if done > 0.02 and spent > 2 else None
        self._onProgress(done, left, _("{where}: {text}").format(where=self._where(), text=text))
