"""IREM (Wu 2021), Figure 4: one contrast from three orthogonal stacks, interpolated against represented."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mrinr.benchmark.cases import Case, cases
from mrinr.benchmark.table import Entry, compare
from mrinr.context import Context
from mrinr.degrade import degrade
from mrinr.volume import Stack, Volume

FACTOR = 4
SMALL_SIZE = 48
SMALL = {"epochs": 50, "learning_rate": 1e-3}


def run(data: Path | None, small: bool, context: Context) -> dict[str, Any]:
    """Averaged cubic, the total variation that stands for SRR, and IREM, on stacks of factor 4."""
    entries = [
        Entry("cubic", "cubic"),
        Entry("tv", "tv"),
        Entry("irem", "irem", SMALL if small else {}),
        Entry("profile-inr", "profile-inr"),
    ]

    def stacks(head: Case) -> list[Stack]:
        truth = head.truths["T1"]
        made = [degrade(truth, axis, FACTOR, profile="paper-spline") for axis in range(3)]
        return [
            Stack(Volume(v.voxels, v.affine, f"T1 axis {axis}", v.meta), "T1", axis)
            for axis, v in enumerate(made)
        ]

    results = compare(
        cases(data, ("T1",), SMALL_SIZE if small else None, context), stacks, entries, "irem", "irem", context
    )
    remarks = ["Small: the middle of one head; IREM for 50 epochs at 1e-3 instead of 1e-4."] if small else []
    return {
        "benchmark": "irem",
        "paper": "IREM above SRR and B-spline interpolation (Wu et al., MICCAI 2021, Figure 4)",
        "order": ["cubic", "irem"],
        "title": "IREM, three orthogonal stacks of one contrast",
        "degradation": f"three stacks, point-sampled by a cubic spline, k = {FACTOR}, no noise",
        "remarks": remarks,
        **results,
    }
