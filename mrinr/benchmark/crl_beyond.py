"""Tables of the contrast benchmark beyond the paper's: sequences never shown, two sources, physics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mrinr.benchmark.crl_rows import ALONE, NINE, Rows, cell, mean
from mrinr.benchmark.sheets import Sheet
from mrinr.simulation.signal import Sequence as MRSequence
from mrinr.training.contrast_sequences import UNSEEN

NEIGHBOUR = {"CRL4": "CRL7", "CRL6": "CRL7"}  # of the nine that are shown, the one of the most similar TE


def unseen(rows: Rows, target: str, other: str, key: str = "psnr") -> tuple[float, float]:
    """Mean PSNR (or another `key`) of both targets from the sources that are neither."""
    sources = [name for name in NINE if name not in (target, other)]
    return tuple(  # type: ignore[return-value]
        float(np.mean([mean(cell(rows, source, each), key) for source in sources]))
        for each in (target, other)
    )


def never_shown(rows: Rows, near: Mapping[str, MRSequence]) -> Sheet:
    sheet = Sheet(
        "Sequences never shown",
        f"{ALONE} and the sources that are neither; the nearest draw: of 20,000 that training may make",
        ("target", "PSNR", "reference", "linear", "identity", "beside", "PSNR beside", "difference"),
    )
    for name in UNSEEN:
        key = f"near {name}"
        drawn = f"the nearest draw (TR {near[key].TR:.0f}, TE {near[key].TE:.1f})"
        for other, called in ((key, drawn), (NEIGHBOUR[name], NEIGHBOUR[name])):
            own, beside = unseen(rows, name, other)
            floors = [unseen(rows, name, other, key)[0] for key in ("reference", "linear", "identity")]
            sheet.rows.append([name, own, *floors, called, beside, own - beside])
    return sheet


def fused(rows: Rows) -> list[dict[str, Any]]:
    """By pair of sources, means over the targets that are neither: PSNR together and alone.

    "first", "second" : (together, alone) in the units of that source
    "better" : the same where for each target the source counts that is better alone, in its own units
    """
    found = []
    orders = [tuple(row["sources"]) for row in rows if len(row["sources"]) > 1]
    for names in dict.fromkeys(each for each in orders if each == tuple(sorted(each))):
        some = [row for row in rows if row["sources"] == list(names)]
        targets = sorted({row["target"] for row in some})
        known = {
            name: [
                (mean(_both(rows, name, names, target), "psnr"), mean(cell(rows, name, target), "psnr"))
                for target in targets
            ]
            for name in names
        }
        better = [max(each, key=lambda pair: pair[1]) for each in zip(*known.values(), strict=True)]
        first, second = known.values()
        means = {"first": first, "second": second, "better": better}
        found.append(
            {"pair": " + ".join(names), "reference": mean(some, "reference"), "linear": mean(some, "linear")}
            | {key: tuple(np.mean(values, 0)) for key, values in means.items()}
        )
    return found


def _both(rows: Rows, first: str, names: Sequence[str], target: str) -> Rows:
    sources = [first, *(name for name in names if name != first)]
    return [row for row in rows if row["sources"] == sources and row["target"] == target]


def two_sources(rows: Rows) -> Sheet:
    sheet = Sheet(
        "Two sources",
        f"{ALONE} and the targets that are neither; each source alone and both together in its own units; "
        "better: for each target the source that is better alone",
        ("sources", "first: together", "alone", "second: together", "alone", "better: together", "alone",
         "reference together", "linear together"),
    )  # fmt: skip
    for each in fused(rows):
        numbers = [number for key in ("first", "second", "better") for number in each[key]]
        sheet.rows.append([each["pair"], *numbers, each["reference"], each["linear"]])
    return sheet


def obeyed(physics: Rows) -> Sheet:
    sheet = Sheet(
        "Physics, from a T2-weighted scan (CRL7) and with one of another echo time beside it",
        "T2 of white matter (ms) and slope of CSF (1/s) from the logarithm of the signal, TE 10 to 200 ms; "
        "TI (ms) at which CSF is darkest (TR 9000, TE 100, steps of 100), what is left there in % of its "
        "signal without inversion, and how many times brighter it is at TI 600 or 3000; wrong way: % of "
        "steps in TE or TR that raise or lower a voxel against the equation",
        (
            "person",
            "from",
            "T2 WM",
            "true",
            "error %",
            "CSF slope",
            "true",
            "null",
            "true",
            "left %",
            "back",
            "wrong way",
        ),
    )
    for row in physics:
        T2, true = 1000 / row["wm_slope"], 1000 / row["wm_true_slope"]
        sheet.rows.append(
            [row["person"], " + ".join(row["sources"]), T2, true, 100 * (T2 / true - 1),
             row["csf_slope"], row["csf_true_slope"], row["null"], row["true_null"], row["dark"],
             row["back"], row["wrong_way"]]
        )  # fmt: skip
    return sheet


def off(row: Mapping[str, Any]) -> float:
    """Error of white matter's T2 in %."""
    return 100 * abs(row["wm_true_slope"] / row["wm_slope"] - 1)
