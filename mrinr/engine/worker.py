"""The worker process, `python -m mrinr.engine.worker FOLDER`: requests on stdin, events on stdout (wire)."""

from __future__ import annotations

import faulthandler
import gc
import os
import queue
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import IO, Any

from mrinr.context import Context
from mrinr.engine import cache, failures, tasks, transfer, tree, wire
from mrinr.errors import Cancelled, InputError
from mrinr.volume import Volume

PROGRESS_INTERVAL = 0.1  # seconds
QUICK = 0.3  # seconds: so short a job leaves little behind, and a slider cannot wait for the collection
PREVIEW_INTERVAL = 0.5  # seconds, for each volume's name


class Worker:
    def __init__(self, folder: Path, requests: IO[bytes], events: IO[bytes]) -> None:
        self.folder = folder
        self._requests = requests
        self._events = events
        self._lock = threading.Lock()  # a task may report from its own threads
        self._jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._cache: dict[str, Any] = {}

    def serve(self) -> None:
        """Do jobs until the client closes its end."""
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            self._do(self._jobs.get())

    def send(self, job: int, event: str, data: dict[str, Any], volumes: dict[str, Any] | None = None) -> None:
        self._write(wire.encode({"event": event, "job": job, "data": data, "volumes": volumes or {}}))

    def is_cancelled(self, job: int) -> bool:
        return job in self._cancelled

    def _write(self, line: bytes) -> None:
        try:
            with self._lock:
                self._events.write(line)
                self._events.flush()
        except OSError:  # nobody reads any more
            _vanish(self.folder)

    def _listen(self) -> None:
        for line in self._requests:
            message = wire.decode(line)
            if message is None:
                continue
            if message["do"] == "run":
                self._jobs.put(message)
            else:
                self._cancelled.add(message["job"])
        _vanish(self.folder)

    def _do(self, request: dict[str, Any]) -> None:
        job, started = request["job"], time.monotonic()
        self.send(job, "started", {"pid": os.getpid()})
        try:
            self._run(request)
        except Cancelled:
            self.send(job, "cancelled", {})
        except BaseException as error:  # a task may raise anything, SystemExit too
            data = {
                "text": failures.sentence(error),
                "details": "" if isinstance(error, InputError) else traceback.format_exc(),
                "input": isinstance(error, InputError),
                "spoiled": failures.breaks_gpu(error),
            }
            self.send(job, "failed", data)
        self._cancelled.discard(job)
        cache.trim(self._cache)
        if time.monotonic() - started > QUICK:
            _give_memory_back()

    def _run(self, request: dict[str, Any]) -> None:
        folder = self.folder / str(request["job"])
        reporter = Reporter(self, request["job"], folder)
        context = Context(
            reporter.progress, reporter.preview, reporter.warning, reporter.cancelled, self._cache
        )
        context.check()
        volumes = transfer.take(request["volumes"], folder, mapped=True)
        task = tasks.resolve(request["task"])
        results, report = task(volumes, request["parameters"], context)
        context.check()
        self.send(request["job"], "result", {"report": report}, transfer.put(results, folder, "result"))


class Reporter:
    """Sends what a context reports, no faster than a person can watch."""

    def __init__(self, worker: Worker, job: int, folder: Path) -> None:
        self._worker = worker
        self._job = job
        self._folder = folder
        self._waiting: dict[str, Any] | None = None
        self._progress_sent = float("-inf")
        self._previews: dict[str, tuple[Path, float]] = {}  # by the volume's name: file, time sent

    def progress(self, fraction: float, seconds_left: float | None, text: str) -> None:
        self._waiting = {"fraction": fraction, "seconds_left": seconds_left, "text": text}
        self._send_progress()

    def preview(self, volume: Volume) -> None:
        stem = f"preview-{len(self._previews)}"
        if volume.name in self._previews:
            path, sent = self._previews[volume.name]
            if path.exists() or time.monotonic() - sent < PREVIEW_INTERVAL:
                return  # the last one was not fetched yet, or is too fresh
            stem = path.stem.rpartition("-")[0]
        records = transfer.put({"preview": volume}, self._folder, stem)
        self._previews[volume.name] = (self._folder / records["preview"]["file"], time.monotonic())
        self._worker.send(self._job, "preview", {}, records)

    def warning(self, sentence: str) -> None:
        self._worker.send(self._job, "warning", {"text": sentence})

    def cancelled(self) -> bool:
        self._send_progress()  # polled often, so a line held back shows up here
        return self._worker.is_cancelled(self._job)

    def _send_progress(self) -> None:
        now = time.monotonic()
        if self._waiting is not None and now - self._progress_sent >= PROGRESS_INTERVAL:
            self._worker.send(self._job, "progress", self._waiting)
            self._waiting, self._progress_sent = None, now


def _give_memory_back() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _vanish(folder: Path) -> None:
    """End this process at once, with its children and files: the client is gone."""
    tree.kill_children(os.getpid())  # first, as they may write to the folder
    transfer.remove_tree(folder)
    tree.kill_tree(os.getpid())
    os._exit(0)


def _claim_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Keep stdin and stdout for the protocol: what a task prints goes to the log, and it can read nothing."""
    requests, events = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return requests, events


if __name__ == "__main__":
    requests, events = _claim_pipes()
    faulthandler.enable()
    Worker(Path(sys.argv[1]), requests, events).serve()
