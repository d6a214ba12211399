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
SMALL_SIZE = 32
SMALL = {"epochs": 25, "batch": 250}  # smaller batches: as many steps on so few samples


def run(data: Path | None, small: bool, context: Context) -> dict[str, Any]:
    """The paper's four rows, then this package's profile-inr and guided, on the paper's degradation."""
    settings = SMALL if small else {}
    entries = [
        Entry("cubic", "cubic"),
        Entry("single", "single", settings),
        Entry("vanilla", "vanilla", settings),
        Entry("split-head", "split-head", settings),
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
    remarks = (
        ["Small: the middle of one head; published networks for 25 epochs in batches of 250, not 50 of 1000."]
        if small
        else []
    )
    return {
        "benchmark": "multi-contrast",
        "paper": "cubic below single below vanilla below split-head (McGinnis et al., MICCAI 2023, Table 1)",
        "order": ["cubic", "single", "vanilla", "split-head"],
        "title": "Multi-contrast INR, axial T1 and sagittal FLAIR",
        "degradation": f"one stack each, point-sampled by a cubic spline, k = {FACTOR}, no noise",
        "remarks": remarks,
        **results,
    }
