"""The program's side of the engine: a queue of jobs, one worker process, and the events that come back."""

from __future__ import annotations

import sys
import time
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mrinr.engine import failures, process, transfer, wire
from mrinr.engine.held import Held
from mrinr.engine.job import EngineError, Event, Job
from mrinr.errors import Cancelled, InputError
from mrinr.volume import Volume

GRACE = 0.7  # seconds that a cancelled job has to stop by itself
LOG_TAIL = 8192  # bytes of the worker's log in the details of a failure


class Client:
    """Runs tasks, one after the other, in a worker process that starts with the first and is then kept warm.

    python : the interpreter of the worker, by default the running one
    threads : cores that the worker may use, by default what its libraries take
    env : variables to add to the worker's environment
    search_path : folders in which the worker finds packages, besides the one that holds mrinr

    To be used from one thread. Leaves no process and no file behind, closed or not.
    """

    def __init__(
        self,
        python: str | None = None,
        threads: int | None = None,
        env: Mapping[str, str] | None = None,
        search_path: Sequence[str] | None = None,
    ) -> None:
        self._python = python or sys.executable
        self._threads = threads
        self._env = env
        self._search_path = search_path
        self._queue: deque[tuple[Job, dict[str, Any]]] = deque()
        self._running: Job | None = None
        self._deadline = float("inf")  # of the running job, once cancelled
        self._again: dict[str, Any] | None = None  # its request, while a warm worker has not started it
        self._events: list[Event] = []
        self._submitted = 0
        self._held = Held()
        self._finalizer = weakref.finalize(self, self._held.release)  # also at exit

    def submit(
        self,
        task: str,
        volumes: Mapping[str, Volume],
        parameters: Mapping[str, Any],
        replaces: Job | None = None,
    ) -> Job:
        """Queue a task of `tasks.TASKS`, or "package.module:function", and return without waiting for it.

        The volumes are copied here, so the caller may change its arrays afterwards. The job that this one
        replaces is dropped from the queue, or cancelled when it runs. What goes wrong arrives as a `failed`
        event, except TypeError for parameters or meta that JSON cannot carry, and RuntimeError when closed.
        """
        if not self._finalizer.alive:
            raise RuntimeError("This engine client is closed.")
        self._submitted += 1
        job = Job(self._submitted, task, self._cancel)
        try:
            folder = self._held.job_folder(job)
            request = {
                "do": "run",
                "job": job.id,
                "task": task,
                "volumes": transfer.put(volumes, folder, "input"),
                "parameters": parameters,
            }
            wire.encode(request)  # a mistake shows where it was made
        except OSError as error:
            self._fail(job, error)
            return job
        except TypeError:
            self._held.forget(job)
            raise
        if replaces is not None:
            replaces.cancel()
        self._queue.append((job, request))
        self._start_next()
        return job

    def poll(self) -> list[Event]:
        """What happened since the last call. Never waits; call it a few times a second."""
        if self._held.worker is not None:
            for message in self._held.worker.receive():
                if message is None:
                    self._worker_died()
                else:
                    self._receive(message)
        if self._running is not None and time.monotonic() > self._deadline:
            self._drop_worker()
            self._finish(self._running, "cancelled")
        self._start_next()
        events, self._events = self._events, []
        return events

    def run(
        self,
        task: str,
        volumes: Mapping[str, Volume],
        parameters: Mapping[str, Any],
        on_event: Callable[[Event], None] | None = None,
    ) -> tuple[dict[str, Volume], dict[str, Any]]:
        """Submit a task, wait for it, and return its volumes and report; for scripts.

        Raises InputError, Cancelled (somebody called `event.job.cancel()`) or EngineError.
        """
        job = self.submit(task, volumes, parameters)
        others: list[Event] = []
        try:
            while True:
                for event in self.poll():
                    if event.job is not job:
                        others.append(event)
                        continue
                    if on_event is not None:
                        on_event(event)
                    if event.kind == "result":
                        return event.volumes, event.data["report"]
                    if event.kind == "cancelled":
                        raise Cancelled
                    if event.kind == "failed":
                        text = event.data["text"]
                        raise (
                            InputError(text)
                            if event.data["input"]
                            else EngineError(text, event.data["details"])
                        )
                time.sleep(0.01)
        finally:
            job.cancel()  # after an exception in on_event or Ctrl+C; nothing when it is done
            self._events = others + self._events

    def close(self) -> None:
        """End the worker and remove the files. Unfinished jobs are cancelled; `poll` still says so."""
        self._finalizer()
        unfinished = [self._running] if self._running is not None else []
        for job in [*unfinished, *(job for job, _ in self._queue)]:
            self._finish(job, "cancelled")
        self._queue.clear()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start_next(self) -> None:
        while self._running is None and self._queue:
            job, request = self._queue.popleft()
            try:
                worker, is_new = self._ready_worker()
            except (OSError, ImportError) as error:
                self._fail(
                    job, error, f"The Python interpreter {self._python} could not be started ({error})."
                )
                continue
            self._running = job
            self._deadline = float("inf")
            self._again = None if is_new else request
            job.state = "running"
            worker.send(request)

    def _ready_worker(self) -> tuple[process.WorkerProcess, bool]:
        if self._held.worker is not None and not self._held.worker.alive:
            self._drop_worker()
        folder = self._held.folder()
        log = folder / "worker.log"
        log.write_bytes(b"")  # the details of a failure show this job's part only
        is_new = self._held.worker is None
        if self._held.worker is None:
            variables = process.environment(self._threads, self._env, self._search_path, folder)
            self._held.worker = process.WorkerProcess(self._python, variables, folder, log)
        return self._held.worker, is_new

    def _receive(self, message: dict[str, Any]) -> None:
        job = self._running
        if job is None or message.get("job") != job.id:
            return
        kind, data = message["event"], message["data"]
        last = kind in ("result", "cancelled", "failed")
        self._again = None
        if job.state == "cancelling":
            if last:
                self._finish(job, "cancelled")
        elif kind == "failed":
            data["details"] += self._log_tail()
            self._finish(job, "failed", data)
        else:
            volumes = message["taken"]
            if isinstance(volumes, Exception):
                self._fail(job, volumes)
                return
            if last:
                self._finish(job, kind, data, volumes)
            else:
                for record in message["volumes"].values():  # the worker waits for it to go before the next
                    (self._held.job_folder(job) / record["file"]).unlink(missing_ok=True)
                self._events.append(Event(kind, job, data, volumes))
        if last and data.get("spoiled"):
            self._drop_worker()

    def _worker_died(self) -> None:
        code = self._drop_worker()
        job = self._running
        if job is None:
            return
        if job.state == "cancelling":
            self._finish(job, "cancelled")
        elif self._again is not None:  # it was dying when it was sent the job: start a new one for that
            job.state = "queued"
            self._running = None
            self._queue.appendleft((job, self._again))
        else:
            data = {"text": failures.died(code), "details": self._log_tail(), "input": False}
            self._finish(job, "failed", data)

    def _cancel(self, job: Job) -> None:
        if job.state == "queued":
            self._queue = deque(entry for entry in self._queue if entry[0] is not job)
            self._finish(job, "cancelled")
        elif job.state == "running":
            job.state = "cancelling"
            self._deadline = time.monotonic() + GRACE
            assert self._held.worker is not None
            self._held.worker.send({"do": "cancel", "job": job.id})

    def _fail(self, job: Job, error: BaseException, text: str | None = None) -> None:
        data = {
            "text": text or failures.sentence(error),
            "details": "".join(traceback.format_exception(error)),
            "input": isinstance(error, InputError),
        }
        self._finish(job, "failed", data)

    def _finish(
        self,
        job: Job,
        kind: str,
        data: dict[str, Any] | None = None,
        volumes: dict[str, Volume] | None = None,
    ) -> None:
        job.state = "finished" if kind == "result" else kind
        if job is self._running:
            self._running = None
        self._held.forget(job)
        self._events.append(Event(kind, job, data or {}, volumes or {}))

    def _drop_worker(self) -> int | None:
        worker, self._held.worker = self._held.worker, None
        return worker.kill(wait=0.1) if worker is not None else None

    def _log_tail(self) -> str:
        try:
            return (self._held.folder() / "worker.log").read_bytes()[-LOG_TAIL:].decode("utf-8", "replace")
        except OSError:
            return ""
