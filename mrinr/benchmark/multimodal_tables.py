"""The tables of the multi-modal benchmark, the paper's numbers beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mrinr.benchmark.measure import FLOORS, Intervals
from mrinr.benchmark.sheets import Sheet

# Test MSE on ISLES: random forests, and a network for each subset (Table 2 A).
PAPER = {
    ("T1",): (0.986, 0.822),
    ("T2",): (1.295, 1.051),
    ("DWI",): (0.901, 0.821),
    ("T1", "T2"): (0.917, 0.717),
    ("T1", "DWI"): (0.712, 0.661),
    ("T2", "DWI"): (0.789, 0.672),
    ("T1", "T2", "DWI"): (0.670, 0.576),
}
# By label: the rivals that were trained for it, and the paper's MSE of forests and networks (section 5.3).
MISALIGNED = {
    "DWI alone": ("alone", ("DWI",), 0.901, 0.821),
    "DWI and T1, aligned": ("alone", ("T1", "DWI"), 0.712, 0.661),
    "DWI and T1, misaligned": ("alone, moved", ("DWI", "T1"), 0.885, 0.793),
}
PAPER_TUNED = (3.990, 1.439, 1.356, 1.227)
# Kinds of rivals, and what they are called.
RIVALS = {"alone": "alone", "one": "one", "longer": "one, longer", "forest": "forest"}

Rows = Sequence[Mapping[str, Any]]
HONEST = ("PSNR", "matched", "SSIM", *(f"floor: {name}" for name in FLOORS))
MEANING = (
    "means over people; PSNR (dB) and SSIM in the brain, matched: PSNR after a two-parameter match of "
    "intensities; floors: their PSNR; MSE: as the paper's"
)


def mean(rows: Rows, key: str) -> float | None:
    values = [row[key] for row in rows if row[key] is not None]
    return float(np.mean(values)) if values else None


def floor(rows: Rows, name: str) -> float:
    return float(np.mean([row["floors"][name] for row in rows]))


def honest(rows: Rows) -> list[float | None]:
    return [
        *(mean(rows, key) for key in ("psnr", "matched", "ssim")),
        *(floor(rows, name) for name in FLOORS),
    ]


def grouped(rows: Rows, key: str) -> dict[Any, Rows]:
    found: dict[Any, list[Mapping[str, Any]]] = {}
    for row in rows:
        value = row[key]
        found.setdefault(tuple(value) if isinstance(value, list) else value, []).append(row)
    return dict(found)


def sheets(found: Mapping[str, Rows], intervals: Intervals) -> list[Sheet]:
    """Those that there is something for."""
    made = [
        _subsets(found),
        _rivals(found),
        _targets(found.get("targets", ())),
        _misaligned(found),
        _tuned(found.get("tuned", ())),
    ]
    if intervals.parts:
        made += [_coverage(intervals), _risk(intervals)]
    return [sheet for sheet in made if sheet.rows]


def rivals(found: Mapping[str, Rows], kind: str) -> dict[tuple[str, ...], Rows]:
    """Rows of the rivals of one kind by their inputs."""
    return grouped([row for row in found.get("rivals", ()) if row["kind"] == kind], "inputs")


def _subsets(found: Mapping[str, Rows]) -> Sheet:
    head = ["inputs", *HONEST, "lesions", "MSE", "paper: MSE alone", "paper: MSE forests"]
    note = f"the model that ships; {MEANING}; lesions: PSNR in them"
    sheet = Sheet("FLAIR from every subset of T1, T2 and DWI", note, head)
    for subset, rows in grouped(found.get("subsets", ()), "inputs").items():
        numbers = [*honest(rows), mean(rows, "lesion"), mean(rows, "mse")]
        sheet.rows.append([" + ".join(subset), *numbers, *PAPER.get(subset, (None, None))[::-1]])
    return sheet


def _rivals(found: Mapping[str, Rows]) -> Sheet:
    note = (
        "alone: a network trained for that subset, with one input the paper's unimodal models; one: a network"
        " for all subsets, equal steps; longer: twice the steps; forest: a random forest on patches for that "
        "subset; MSE as the paper's; then PSNR (dB) in the brain after a two-parameter match of intensities, "
        "also that of the best floor (constant, best input scaled, linear fit); means over people"
    )
    kinds = {kind: rivals(found, kind) for kind in RIVALS}
    scores = ["MSE", "matched"]
    head = ["inputs", *(f"{score} {name}" for score in scores for name in RIVALS.values())]
    head += ["best floor", "paper: MSE alone", "paper: MSE forests"]
    sheet = Sheet("One model against seven dedicated ones and forests", note, head)
    for subset in PAPER:
        if subset in kinds["alone"]:
            rows = [kinds[kind][subset] for kind in RIVALS]
            numbers = [mean(some, score.lower()) for score in scores for some in rows]
            best = max(floor(rows[0], name) for name in FLOORS)
            sheet.rows.append([" + ".join(subset), *numbers, best, *PAPER[subset][::-1]])
    return sheet


def _targets(rows: Rows) -> Sheet:
    head = ["target", *HONEST, "over best floor", "lesions"]
    sheet = Sheet("Every sequence from all others", f"{MEANING}; over best floor: matched PSNR, dB", head)
    for target, some in grouped(rows, "target").items():
        best = max(floor(some, name) for name in FLOORS)
        matched = mean(some, "matched") or 0.0
        sheet.rows.append([target, *honest(some), f"{matched - best:+.2f}", mean(some, "lesion")])
    return sheet


def _misaligned(found: Mapping[str, Rows]) -> Sheet:
    note = (
        "T1 turned by up to 8 degrees and shifted by up to 2 voxels, not registered unless it says so (whole "
        f"heads); the model that ships; {MEANING}; alone, forest: MSE of rivals trained for that row "
        "(misaligned: in the plane; aligned: T1 is what the network aligns to, in the others DWI)"
    )
    head = ["inputs", *HONEST, "MSE", "MSE alone", "MSE forest", "paper: MSE", "paper: MSE forests"]
    sheet = Sheet("FLAIR from DWI and a misaligned T1", note, head)
    for label, some in grouped(found.get("misaligned", ()), "label").items():
        numbers: list[float | None] = [None] * 4
        if label in MISALIGNED:
            kind, inputs, forests, network = MISALIGNED[label]
            trained = (
                rivals(found, each).get(inputs, ()) for each in (kind, kind.replace("alone", "forest"))
            )
            numbers = [*(mean(rows, "mse") for rows in trained), network, forests]
        sheet.rows.append([label, *honest(some), mean(some, "mse"), *numbers])
    return sheet


def _tuned(rows: Rows) -> Sheet:
    note = f"T2 from T1, both of another hospital (real people: their own scans); {MEANING}"
    sheet = Sheet("Fine-tuning the decoder", note, ["people learned from", *HONEST, "MSE", "paper: MSE"])
    for count, some in grouped(rows, "pupils").items():
        sheet.rows.append([str(count), *honest(some), mean(some, "mse"), PAPER_TUNED[count]])
    return sheet


def _coverage(intervals: Intervals) -> Sheet:
    note = (
        "voxels of FLAIR from T1, T2 and DWI inside the interval, as it comes and after the match of "
        "intensities; half-width in % of the range"
    )
    head = ["where", "% covered", "% covered, matched", "half-width", "voxels"]
    sheet = Sheet("Coverage of the 90 % interval", note, head)
    for name, row in intervals.coverage().items():
        numbers = [f"{row[key]:.1f}" for key in ("coverage", "matched", "half_width")]
        sheet.rows.append([name, *numbers, f"{row['voxels']:.0f}"])
    return sheet


def _risk(intervals: Intervals) -> Sheet:
    note = "root mean square error in % of the range where only the surest part of the brain is kept"
    curve = intervals.risk()
    head = ["kept", *(f"{100 * keep:.0f} %" for keep in curve)]
    return Sheet("Risk and coverage", note, head, [["error", *(f"{risk:.2f}" for risk in curve.values())]])
