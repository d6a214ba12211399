"""How a running method talks to whoever started it: progress, previews, warnings and Cancel."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mrinr.volume import Volume


class Context:
    """Progress, previews and cancellation for one run. Every public method works with a plain `Context()`.

    Parameters
    ----------
    on_progress : called with (fraction in [0, 1], seconds left or None, one line of text)
    on_preview : called with a partial `Volume`; None when nobody watches, so that methods need not make one
    on_warning : called with one sentence; every warning is also kept in `warnings`
    cancelled : polled by `check()`
    cache : kept by the worker between jobs
    """

    def __init__(
        self,
        on_progress: Callable[[float, float | None, str], None] | None = None,
        on_preview: Callable[[Volume], None] | None = None,
        on_warning: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        cache: dict[str, Any] | None = None,
    ) -> None:
        self._on_progress = on_progress
        self._on_preview = on_preview
        self._on_warning = on_warning
        self._cancelled = cancelled
        self._started = time.monotonic()
        self._span = (0.0, 1.0)
        self.cache: dict[str, Any] = {} if cache is None else cache
        self.warnings: list[str] = []

    @property
    def wants_preview(self) -> bool:
        return self._on_preview is not None

    def check(self) -> None:
        """Raise `Cancelled` if the person pressed Cancel. Called at least every 0.3 s by every method."""
        if self._cancelled is not None and self._cancelled():
            from mrinr.errors import Cancelled

            raise Cancelled

    def progress(self, fraction: float, text: str) -> None:
        """Report `fraction` of the current `stage()`; the time left is extrapolated from the time spent."""
        self.check()
        low, high = self._span
        overall = low + (high - low) * min(max(fraction, 0.0), 1.0)
        spent = time.monotonic() - self._started
        left = spent * (1 - overall) / overall if overall > 0.02 else None
        if self._on_progress is not None:
            self._on_progress(overall, left, text)

    def preview(self, volume: Volume) -> None:
        if self._on_preview is not None:
            self._on_preview(volume)

    def warn(self, sentence: str) -> None:
        if sentence in self.warnings:
            return
        self.warnings.append(sentence)
        if self._on_warning is not None:
            self._on_warning(sentence)

    def stage(self, low: float, high: float) -> Context:
        """A context whose progress 0..1 is shown as `low`..`high` of this one's."""
        part = Context.__new__(Context)
        part.__dict__ = dict(self.__dict__)
        a, b = self._span
        part._span = (a + (b - a) * low, a + (b - a) * high)
        return part

    def quiet(self) -> Context:
        """A context that only forwards Cancel: for trial runs whose progress means nothing to a person."""
        return Context(cancelled=self._cancelled, cache=self.cache)
