"""Multi-contrast INR (McGinnis 2023), Table 1: two contrasts from one thick stack each, in two planes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mrinr.benchmark.cases import Case, cases
from mrinr.benchmark.table import Entry, compare
from mrinr.context import Context
from mrinr.degrade import degrade
from mrinr.volume import Stack, Volume

FACTOR = 4
PLANES = {"T1": 2, "FLAIR": 0}  # axial T1, sagittal FLAIR, as the paper cuts MSSEG
SMALL_SIZE = 36


def run(data: Path | None, small: bool, context: Context) -> dict[str, Any]:
    """The paper's four rows, then this package's profile-inr and guided, on the paper's degradation."""
    entries = [
        Entry("cubic", "cubic"),
        Entry("single", "single"),
        Entry("vanilla", "vanilla"),
        Entry("split-head", "split-head"),
        Entry("profile-inr", "profile-inr"),
        Entry("guided", "guided"),
    ]

    def stacks(head: Case) -> list[Stack]:
        made = []
        for contrast, axis in PLANES.items():
            thick = degrade(head.truths[contrast], axis, FACTOR, profile="paper-spline")
            made.append(Stack(Volume(thick.voxels, thick.affine, contrast, thick.meta), contrast, axis))
        return made

    heads = cases(data, tuple(PLANES), SMALL_SIZE if small else None, context)
    results = compare(heads, stacks, entries, "multi-contrast", "split-head", context)
    remarks = ["Small: the middle of one head."] if small else []
    return {
        "benchmark": "multi-contrast",
        "title": "Multi-contrast INR, axial T1 and sagittal FLAIR",
        "degradation": f"one stack each, point-sampled by a cubic spline, k = {FACTOR}, no noise",
        "remarks": remarks,
        **results,
    }
