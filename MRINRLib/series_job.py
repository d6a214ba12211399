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
from MRINRLib.job import WorkerJob, asJobError
from MRINRLib.nodes import inScene

Start = Callable[..., WorkerJob]  # takes onProgress and onFinished; raises InputError where it cannot start


class SeriesJob:
    """Has what panels and scripts use of a `WorkerJob`. Only one of the jobs is in the queue at a time.

    results, others : of all jobs that have succeeded; at the end those that are still in the scene
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
            else:  # none has started
                self._finish()

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
            try:
                self._progress(0.0, None, _("Starting…"))
                self._current = self._starts[self.number](
                    onProgress=self._progress, onFinished=lambda value: self._onEnded()
                )
            except Exception as error:  # nobody else would hear of it, and the panel would wait for ever
                self._fail(error)
                self.number += 1
                continue
            if self.state != "running":  # cancelled while it was started
                self._current.cancel()
            return
        self._finish()

    def _finish(self) -> None:
        if self.done:  # cancelled before the first one was started
            return
        if self.state == "cancelling":
            self.state = "cancelled"
        else:
            self.state = "failed" if self.error is not None else "finished"
        try:
            self._end()
        except Exception as error:  # the scene has changed, or memory is full
            self.error, self.state = asJobError(error), "failed"
        self.results = [node for node in self.results if inScene(node)]
        self.others = [node for node in self.others if inScene(node)]
        if self._onFinished is not None:
            self._onFinished(self.value)

    def _fail(self, error: Exception) -> None:
        known = asJobError(error)
        if isinstance(known, EngineError):  # others name volumes, and they may be named after people
            logging.error("MRINR: number %d failed: %s\n%s", self.number + 1, known, known.details)
        self._failed(known)

    def _onEnded(self) -> None:
        """Called when the current job is done, however it ended."""
        job, self._current = self._current, None
        if self.done:
            return
        assert job is not None
        if job.error is not None:
            self._fail(job.error)
        elif job.state == "cancelled":  # by us, or because Slicer closes
            self.state = "cancelling"
        else:
            try:
                self._succeeded(job)
            except Exception as error:
                self._fail(error)
        self.number += 1
        self._next()

    def _progress(self, fraction: float, _secondsLeft: float | None, text: str) -> None:
        if self._onProgress is None:
            return
        done = (self.number + fraction) / len(self._starts)
        spent = time.monotonic() - self._began
        left = spent * (1 - done) / done if done > 0.02 and spent > 2 else None
        self._onProgress(done, left, _("{where}: {text}").format(where=self._where(), text=text))
