"""`from slicer_session import slicer`: Slicer as the tests have it, the same one for the whole run."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


@contextmanager
def shown(module: Any, name: str, height: int) -> Iterator[Any]:
    """The widget of a loaded module in an empty scene, as tall as that, entered; then left."""
    slicer.mrmlScene.Clear()
    parent = module.widgetRepresentation()
    parent.resize(440, height)
    parent.show()
    parent.enter()
    yield slicer.util.getModuleWidget(name)
    parent.exit()
    slicer.mrmlScene.Clear()


def run_in_a_fresh_slicer(module: str, script: str, first: str = "") -> None:
    """Run `script` with `slicer`, `panel` and `own`, without PYTHONPATH and with the models that ship."""
    lines = f"""
import sys
sys.path[:0] = [{str(ROOT / "Testing")!r}]
{first}
from host import start
slicer = start()
slicer.loadModule({str(ROOT / module / f"{module}.py")!r})
panel = slicer.util.getModuleWidget({module!r})
panel.parent.enter()
own = sys.modules[{module!r}].{module}Test
{textwrap.dedent(script)}
"""
    done = subprocess.run(
        [sys.executable, "-c", lines],
        cwd=ROOT.parent,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
