"""How the tests run, and fixtures that they share."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

# One thread that does not spin: two cores may be all there is, and workers run beside the tests. torch reads
# this when it is imported.
os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE", KMP_BLOCKTIME="0")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


def pytest_configure(config: pytest.Config) -> None:
    """Of several processes that run tests, each has a folder for temporary files of its own."""
    if hasattr(config, "workerinput"):
        folder = tempfile.mkdtemp(prefix="mrinr-tests-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        os.environ["TMPDIR"] = tempfile.tempdir = folder


@pytest.fixture(scope="session")
def made_once(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Callable[[str, Callable[[Path], Path]], Path]:
    """Makes a folder, read-only by agreement, once for all processes that run tests; returns where it is."""
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent

    def made(name: str, make: Callable[[Path], Path]) -> Path:
        folder = shared / name
        with FileLock(shared / f"{name}.lock"):
            if not folder.is_dir():
                make(shared / f"{name}.unfinished").rename(folder)
        return folder

    return made


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real scans (MRINR_DATA, else ../shared/data); the test is skipped without it."""
    folder = Path(os.environ.get("MRINR_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real scans at {folder} (set MRINR_DATA)")
    return folder
