"""mrinr's engine inside Slicer: a Qt timer polls it, so that the window stays live while the worker works."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import qt
import slicer

from mrinr.engine import Client, Event, Job
from mrinr.volume import Volume

INTERVAL = 50  # ms between two looks at the worker


def workerPython() -> str:
    """Slicer's own interpreter; in builds that have no PythonSlicer the one that Slicer was built with.

    Never `sys.executable` unseen: inside the application it can be empty, or the application itself.
    """
    found = shutil.which("PythonSlicer")
    if found:
        return found
    if os.path.basename(sys.executable or "").lower().startswith("python"):
        return sys.executable
    prefixes = dict.fromkeys((sys.exec_prefix, sys.prefix, sys.base_exec_prefix, sys.base_prefix))
    folders = [folder for prefix in prefixes for folder in (os.path.join(prefix, "bin"), prefix)]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for path in (os.pathsep.join(folders), None):
        for name in (version, "python-real", "python3", "python"):
            found = shutil.which(name, path=path)
            if found:
                return found
    return "PythonSlicer"  # the failure to start it then names what is missing


def workerPath() -> list[str]:
    """Where this Slicer finds packages, for the worker to find the same."""
    return [path for path in sys.path if path and os.path.isdir(path)]


def workerThreads() -> int:
    """All cores but one, which is left to the window."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return max(1, cores - 1)


class Engine:
    """Submits jobs to one worker and hands each job's events to its own handler, in order, in this thread."""

    def __init__(self, interval: int = INTERVAL) -> None:
        self._client = Client(python=workerPython(), threads=workerThreads(), search_path=workerPath())
        self._handlers: dict[Job, Callable[[Event], None]] = {}
        self._events: deque[Event] = deque()
        self._timer = qt.QTimer(slicer.app.moduleManager())  # which goes before Python does
        self._timer.setInterval(interval)
        self._timer.connect("timeout()", self.poll)

    def submit(
        self,
        task: str,
        volumes: Mapping[str, Volume],
        parameters: Mapping[str, Any],
        onEvent: Callable[[Event], None],
        replaces: Job | None = None,
    ) -> Job:
        """Queue a task (see `mrinr.engine.Client.submit`); `onEvent` is called from Slicer's event loop."""
        job = self._client.submit(task, volumes, parameters, replaces)
        self._handlers[job] = onEvent
        self._timer.start()
        return job

    def poll(self) -> None:
        """Hand out what happened. Called by the timer, and by `wait`."""
        # A handler may run an event loop of its own (a message box), which comes back here: one queue keeps
        # the order.
        self._events.extend(self._client.poll())
        while self._events:
            event = self._events.popleft()
            last = event.kind in ("result", "cancelled", "failed")
            handler = self._handlers.pop(event.job, None) if last else self._handlers.get(event.job)
            if handler is None:
                continue
            try:
                handler(event)
            except Exception:
                logging.exception("MRINR: handling the worker's %s event failed", event.kind)
        if not self._handlers:
            self._timer.stop()

    def wait(self, job: Job) -> None:
        """Return when the job is done and its last event was handled; the window stays live meanwhile."""
        while job in self._handlers:
            self.poll()
            slicer.app.processEvents()
            time.sleep(0.01)

    def close(self) -> None:
        """End the worker; jobs that were not done are cancelled."""
        self._client.close()
        self.poll()


_shared: dict[str, Engine] = {}


def shared(name: str = "", interval: int = INTERVAL) -> Engine:
    """The engine of that name of this Slicer: its worker is started by its first job and kept warm.

    name : of a worker of its own, for what may not wait for other jobs nor lose what it keeps when they are
        cancelled
    interval : ms between two looks at it
    """
    if name not in _shared:
        if not _shared:
            slicer.app.connect("aboutToQuit()", closeShared)
        _shared[name] = Engine(interval)
    return _shared[name]


def closeShared() -> None:
    """End the shared workers; the next job starts another."""
    while _shared:
        _shared.popitem()[1].close()
