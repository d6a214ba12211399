"""What a client must give back: the worker and the private folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mrinr.engine import process, transfer
from mrinr.engine.job import Job


class Held:
    """Owns them on behalf of a client. Knows no client, so that one may be collected and release runs."""

    def __init__(self) -> None:
        self.worker: process.WorkerProcess | None = None
        self._folder: transfer.PrivateFolder | None = None
        self._owner = os.getpid()

    def folder(self) -> Path:
        if self._folder is None:
            self._folder = transfer.PrivateFolder()
        return self._folder.path

    def job_folder(self, job: Job) -> Path:
        path = self.folder() / str(job.id)
        path.mkdir(exist_ok=True)
        return path

    def forget(self, job: Job) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder.path / str(job.id), ignore_errors=True)

    def release(self) -> None:
        if os.getpid() != self._owner:  # a fork of the program exits; the worker is not its own
            return
        if self.worker is not None:
            self.worker.kill(wait=5.0)
            self.worker = None
        if self._folder is not None:
            self._folder.remove()
            self._folder = None
