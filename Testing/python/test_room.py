"""Memory is asked for before work starts: too much is one sentence, and what people have fits."""

from __future__ import annotations

import numpy as np
import pytest

from mrinr import memory
from mrinr.contrast import change_contrast
from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.simulation.signal import Sequence
from mrinr.synthesis import synthesize
from mrinr.synthesis.room import check_room, needed_bytes
from mrinr.volume import Volume


def grid(n: int, mm: float) -> Grid:
    return Grid((n, n, n), np.diag([mm, mm, mm, 1.0]))


def test_three_heads_of_one_millimetre_need_less_than_two_gigabytes():
    grids = {name: Grid((240, 240, 155), np.eye(4)) for name in ("T1", "T2", "FLAIR")}
    assert needed_bytes(grids, "T1") < 2e9
    check_room(grids, "T1")


def test_finer_voxels_and_more_scans_need_more():
    one, fine = {"T1": grid(200, 1.0)}, {"T1": grid(400, 0.5)}
    assert needed_bytes(one, "T1") < needed_bytes(one | {"T2": grid(200, 1.0)}, "T1")
    assert needed_bytes(one, "T1") < needed_bytes(fine, "T1")


def test_what_cannot_fit_is_refused_with_a_way_out():
    with pytest.raises(InputError, match=r"3000 x 3000 x 3000 voxels would need .* crop them"):
        check_room({"T1": grid(3000, 0.1)}, "T1")


def test_a_machine_without_memory_starts_nothing(monkeypatch):
    monkeypatch.setattr(memory, "LIMIT", 1e8)
    scan = Volume(np.random.default_rng(0).random((16, 16, 16), np.float32), np.eye(4), "scan")
    with pytest.raises(InputError, match="of memory"):
        synthesize({"T1": scan}, "FLAIR")
    with pytest.raises(InputError, match="of memory"):
        change_contrast([(scan, Sequence(5000, 80))], Sequence(600, 10))
