"""Progress on stderr: one line that is rewritten on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time

FIRST, EVERY = 3.0, 10.0  # seconds before the first and between further lines of a log


class ProgressLine:
    """Shows what `Context.progress` reports."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._next = time.monotonic() + (0.0 if self._terminal else FIRST)
        self._shown = False

    def show(self, fraction: float, seconds_left: float | None, text: str) -> None:
        now = time.monotonic()
        if self._quiet or now < self._next:
            return
        self._next = now + (0.1 if self._terminal else EVERY)
        left = "" if seconds_left is None else f", {_duration(seconds_left)} left"
        line = f"{fraction:4.0%}{left}: {text}"
        print(
            f"\r\033[K{line[:100]}" if self._terminal else line,
            end="" if self._terminal else "\n",
            file=sys.stderr,
        )
        sys.stderr.flush()
        self._shown = True

    def clear(self) -> None:
        """Take the line away, so that what follows stands alone."""
        if self._terminal and self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
