"""The tables of the multi-modal benchmark, the paper's numbers beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mrinr.benchmark.measure import FLOORS, Intervals
from mrinr.benchmark.sheets import Claim, Sheet

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
PAPER_MISALIGNED = {"DWI alone": 0.821, "DWI and T1, aligned": 0.661, "DWI and T1, misaligned": 0.793}
PAPER_TUNED = (3.990, 1.439, 1.356, 1.227)
ALLOWED = 1.05  # error of the one model over that of one trained for the subset

Rows = Sequence[Mapping[str, Any]]
HONEST = ("PSNR", "matched", "SSIM", *(f"floor: {name}" for name in FLOORS))
MEANING = (
    "means over people; PSNR (dB) and SSIM in the brain, matched: PSNR after a two-parameter match of "
    "intensities; floors: their PSNR; MSE: the paper's, stripped images divided by their mean"
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
        _targets(found.get("targets", ())),
        _misaligned(found.get("misaligned", ())),
        _tuned(found.get("tuned", ())),
    ]
    if intervals.parts:
        made += [_coverage(intervals), _risk(intervals)]
    return [sheet for sheet in made if sheet.rows]


def _subsets(found: Mapping[str, Rows]) -> Sheet:
    alone, general = (grouped(found.get(key, ()), "inputs") for key in ("dedicated", "generalist"))
    trained = ["MSE alone", "MSE one, equal steps"] if alone else []
    head = ["inputs", *HONEST, "lesions", "MSE", *trained, "paper: MSE alone", "paper: MSE forests"]
    sheet = Sheet("FLAIR from every subset of T1, T2 and DWI", MEANING + "; lesions: PSNR in them", head)
    for subset, rows in grouped(found.get("subsets", ()), "inputs").items():
        forests, network = PAPER.get(subset, (None, None))
        ours = [mean(models[subset], "mse") for models in (alone, general)] if alone else []
        numbers = [*honest(rows), mean(rows, "lesion"), mean(rows, "mse"), *ours, network, forests]
        sheet.rows.append([" + ".join(subset), *numbers])
    return sheet


def _targets(rows: Rows) -> Sheet:
    head = ["target", *HONEST, "over best floor", "lesions"]
    sheet = Sheet("Every sequence from all others", f"{MEANING}; over best floor: matched PSNR, dB", head)
    for target, some in grouped(rows, "target").items():
        best = max(floor(some, name) for name in FLOORS)
        matched = mean(some, "matched") or 0.0
        sheet.rows.append([target, *honest(some), f"{matched - best:+.2f}", mean(some, "lesion")])
    return sheet


def _misaligned(rows: Rows) -> Sheet:
    note = f"T1 turned by up to 8 degrees and shifted by up to 2 voxels, not registered; {MEANING}"
    sheet = Sheet("FLAIR from DWI and a misaligned T1", note, ["inputs", *HONEST, "MSE", "paper: MSE"])
    for label, some in grouped(rows, "label").items():
        sheet.rows.append([label, *honest(some), mean(some, "mse"), PAPER_MISALIGNED[label]])
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


def claims(found: Mapping[str, Rows]) -> list[Claim]:
    """A sentence for each claim of the paper."""
    return [
        _one_for_all(found),
        _more_is_better(found.get("subsets", ())),
        _misaligned_helps(found.get("misaligned", ())),
        _tuning_helps(found.get("tuned", ())),
        Claim(
            "Better than random forests, LSDN and DEDIS",
            "not testable here",
            "None of these rivals is part of this project.",
        ),
    ]


def judged(good: bool) -> str:
    return "reproduced here" if good else "not reproduced"


def _one_for_all(found: Mapping[str, Rows]) -> Claim:
    claim = "One model does as well on a subset as a model trained for it"
    alone = grouped(found.get("dedicated", ()), "inputs")
    if not alone:
        return Claim(claim, "not tested in this run", "No model was trained for one subset alone.")
    said, ratios = [], []
    for key, words in (("subsets", "the model that ships"), ("generalist", "one model, equal steps")):
        some = grouped(found[key], "inputs")
        each = [(mean(some[s], "mse") or 0.0) / (mean(alone[s], "mse") or 1.0) for s in alone if s in some]
        ratios.append(float(np.mean(each)))
        said.append(
            f"{words}: {100 * (ratios[-1] - 1):+.1f} % on average, {100 * (max(each) - 1):+.1f} % at worst"
        )
    why = f"MSE beside models trained alone: {'; '.join(said)}."
    return Claim(claim, judged(min(ratios) <= ALLOWED), why)


def _more_is_better(rows: Rows) -> Claim:
    claim = "More inputs give smaller errors"
    errors = {subset: mean(some, "mse") or 0.0 for subset, some in grouped(rows, "inputs").items()}
    if len(errors) < 3:
        return Claim(claim, "not testable here", "The data lack T1, T2 or DWI.")
    levels = [
        float(np.mean([error for subset, error in errors.items() if len(subset) == count]))
        for count in sorted({len(subset) for subset in errors})
    ]
    falling = all(a > b for a, b in zip(levels, levels[1:], strict=False))
    listed = ", ".join(f"{level:.3g}" for level in levels)
    best, most = min(errors, key=lambda subset: errors[subset]), max(errors, key=len)
    why = f"Mean MSE by the number of inputs, from one on: {listed}; least with {' + '.join(best)}."
    return Claim(claim, judged(falling and best == most), why)


def _misaligned_helps(rows: Rows) -> Claim:
    claim = "A misaligned T1 beside DWI beats DWI alone"
    errors = {label: mean(some, "mse") or 0.0 for label, some in grouped(rows, "label").items()}
    if not errors:
        return Claim(claim, "not testable here", "The data lack T1 or DWI.")
    good = errors["DWI and T1, misaligned"] < errors["DWI alone"]
    listed = ", ".join(f"{label} {error:.3g}" for label, error in errors.items())
    return Claim(claim, judged(good), f"MSE: {listed}.")


def _tuning_helps(rows: Rows) -> Claim:
    claim = "Fine-tuning the decoder on 1 to 3 volumes fits the model to another hospital"
    by_count = grouped(rows, "pupils").values()
    errors, matched = ([mean(some, key) or 0.0 for some in by_count] for key in ("mse", "matched"))
    if len(errors) < 2:
        return Claim(claim, "not testable here", "It takes two people at least.")
    changes = ", ".join(f"{100 * (error / errors[0] - 1):+.0f} %" for error in errors[1:])
    gains = ", ".join(f"{level - matched[0]:+.2f} dB" for level in matched[1:])
    why = f"MSE beside no fine-tuning: {changes}; PSNR once intensities are matched: {gains}."
    return Claim(claim, judged(max(errors[1:]) < errors[0] and min(matched[1:]) > matched[0]), why)
