"""`from slicer_session import slicer`: Slicer as the tests have it, the same one for the whole run."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

for needed in ("slicer", "PySide6.QtWidgets", "PySide6.QtUiTools"):  # also skipped without a system library
    pytest.importorskip(needed, exc_type=ImportError)

ROOT = Path(__file__).parents[2]
sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "Testing")) if path not in sys.path]

from host import start  # noqa: E402

slicer = start()


def wait_until(condition: Callable[[], object], what: str, seconds: float = 120) -> None:
    """Let Slicer run until `condition()`; a test that would hang fails instead, saying what it waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        slicer.app.processEvents()
        time.sleep(0.01)


def screenshot(name: str, default: Path) -> str:
    """Where a picture of that name belongs: in $MRINR_SCREENSHOTS where that is set, else in `default`."""
    folder = Path(os.environ.get("MRINR_SCREENSHOTS", default))
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / f"{name}.png")
