"""What a client hands out: jobs, events, and the error of a job that failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mrinr.volume import Volume


class EngineError(RuntimeError):
    """A job failed for a reason that is not its input. `details` holds the traceback and the worker's log."""

    def __init__(self, sentence: str, details: str = "") -> None:
        super().__init__(sentence)
        self.details = details


class Job:
    """One submitted piece of work.

    state : 'queued', 'running', 'cancelling', then one of 'finished', 'cancelled', 'failed'
    """

    def __init__(self, number: int, task: str, cancel: Callable[[Job], None]) -> None:
        self.id = number
        self.task = task
        self.state = "queued"
        self._cancel = cancel

    @property
    def done(self) -> bool:
        return self.state in ("finished", "cancelled", "failed")

    def cancel(self) -> None:
        """Ask the job to stop. The `cancelled` event comes out of `poll()` within a second."""
        self._cancel(self)

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.task} {self.state}>"


@dataclass(frozen=True)
class Event:
    """Something that happened to a job. Its last event is `result`, `cancelled` or `failed`.

    kind       data                                            volumes
    started    pid
    progress   fraction (0 to 1), seconds_left or None, text
    preview                                                    {"preview": Volume}
    warning    text
    result     report (dict)                                   the task's
    cancelled
    failed     text (what went wrong, what to do), details,
               input (True when the input is at fault)
    """

    kind: str
    job: Job
    data: dict[str, Any] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
