"""Rows of scores: which, and their means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mrinr.simulation.sequences import GROUPS

NINE = GROUPS["crl"]
Rows = Sequence[Mapping[str, Any]]
ALONE = "means over people, PSNR in dB"


def of(rows: Rows, model: str, sources: Sequence[str] | None = None, target: str | None = None) -> Rows:
    return [
        row
        for row in rows
        if row["model"] == model
        and (sources is None or row["sources"] == list(sources))
        and (target is None or row["target"] == target)
    ]


def mean(rows: Rows, key: str) -> float:
    return float(np.mean([row[key] for row in rows]))


def cell(rows: Rows, source: str, target: str) -> Rows:
    return [row for row in rows if row["sources"] == [source] and row["target"] == target]


def models(rows: Rows) -> list[str]:
    return list(dict.fromkeys(row["model"] for row in rows))
