"""The worker process as its client holds it: started, spoken to, and killed with all its children."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from mrinr.engine import transfer, tree, wire

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


class WorkerProcess:
    """A running `python -m mrinr.engine.worker`; raises OSError when it cannot be started.

    A thread reads its messages, and the volumes that they announce, into a queue, so that `receive` never
    blocks. What the worker and its libraries print goes to `log`.
    """

    def __init__(self, python: str, environment: Mapping[str, str], folder: Path, log: Path) -> None:
        options: dict[str, Any] = (
            {"creationflags": 0x0800_0200}  # no console window, and Ctrl+C is not for it
            if sys.platform == "win32"
            else {"start_new_session": True}
        )
        with open(log, "ab") as errors:
            self._process = subprocess.Popen(
                [python, "-m", "mrinr.engine.worker", str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,  # not the user's, whose files would shadow packages
                env=dict(environment),
                **options,
            )
        self._killed = False
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        assert self._process.stdout is not None
        threading.Thread(
            target=_read, args=(self._process.stdout, folder, self._messages), daemon=True
        ).start()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message. That the worker is gone shows in `receive`, not here."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(wire.encode(message))
            self._process.stdin.flush()

    def receive(self) -> list[dict[str, Any] | None]:
        """The messages since the last call; None at the end says that the worker is gone.

        Each holds, as "taken", its volumes or the exception met in reading them.
        """
        if not self.alive:
            self.kill()  # its children, that would keep the pipe open
        messages = []
        with suppress(queue.Empty):
            while True:
                messages.append(self._messages.get_nowait())
        return messages

    def kill(self, wait: float = 0.0) -> int | None:
        """Kill the worker and its children, and return its exit status if it ends within `wait` seconds."""
        if not self._killed:
            self._killed = True
            tree.kill_tree(self._process.pid)
            with suppress(OSError):
                assert self._process.stdin is not None
                self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(wait)
        return None


def environment(
    threads: int | None, extra: Mapping[str, str] | None, search_path: Sequence[str] | None, folder: Path
) -> dict[str, str]:
    """This process's variables, the search path, threads that sleep while they wait, and `extra`."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *(search_path or ()), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    result = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(os.path.abspath(path) for path in paths if path)),
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "KMP_BLOCKTIME": "0",
    }
    # What libraries leave in the temporary folder goes with ours.
    result |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    if threads is not None:
        result |= dict.fromkeys(_THREAD_VARIABLES, str(threads))
    return result | dict(extra or {})


def _read(stream: IO[bytes], folder: Path, messages: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    with stream, suppress(OSError, ValueError):
        for line in stream:
            message = wire.decode(line)
            if message is not None and "event" in message:
                try:
                    message["taken"] = transfer.take(message["volumes"], folder / str(message["job"]))
                except (OSError, ValueError, MemoryError) as error:
                    message["taken"] = error
                messages.put(message)
    messages.put(None)
