"""Ctrl-C while a C++ library calls back into Python."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def held_back() -> Iterator[Callable[[], bool]]:
    """Ctrl-C, and a SIGTERM that Python handles, take effect after the block.

    Raised in a callback they would be printed and swallowed by the library that called. Yields a function
    that says whether one has come, so that the callback can end the work early.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # only the main thread hears signals
        return
    came: list[tuple] = []
    before: dict[signal.Signals, Callable[..., object]] = {}
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            heard = signal.getsignal(number)
            if callable(heard):
                before[number] = heard
                signal.signal(number, lambda *what: came.append(what))
        yield lambda: bool(came)
    finally:
        for number, heard in before.items():
            signal.signal(number, heard)
        for number, frame in came:
            before[signal.Signals(number)](number, frame)
