"""Fixtures shared by the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real scans (MRINR_DATA, else ../shared/data); the test is skipped without it."""
    folder = Path(os.environ.get("MRINR_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real scans at {folder} (set MRINR_DATA)")
    return folder
