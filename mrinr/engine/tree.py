"""Ending a process with everything that it started, by what the system itself offers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path


def kill_tree(pid: int) -> None:
    """Kill a process that leads a group of its own, and what it started; nothing when it is gone."""
    if sys.platform == "win32":
        with suppress(OSError):
            subprocess.run(
                ["taskkill", "/T", "/F", "/PID", str(pid)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                creationflags=subprocess.CREATE_NO_WINDOW,
            )
        return
    kill_children(pid)  # these may have left the group
    with suppress(OSError):
        os.killpg(pid, signal.SIGKILL)  # also those whose parent died before them


def kill_children(pid: int) -> None:
    """Kill what a process started; only Linux lists it."""
    if sys.platform != "linux":
        return
    with suppress(OSError):
        for listed in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, listed.read_text().split()):
                kill_children(child)
                with suppress(OSError):
                    os.kill(child, signal.SIGKILL)
