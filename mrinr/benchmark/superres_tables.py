"""Tables of super-resolution: honest scores, the paper's, lesions, mutual information, time and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mrinr.benchmark.sheets import Claim, Sheet
from mrinr.benchmark.table import FLOORS

SETTLED = 0.1  # dB: a fit that gains no more in its second half has ended

Rows = Sequence[Mapping[str, Any]]


def sheet(
    title: str, rows: Rows, reference: str, paper: Mapping[str, Sequence[str]], said: str = ""
) -> Sheet:
    """A table of means over the heads.

    paper : by label, the paper's numbers in as many columns as each has, named by paper[""]
    said : of the degradation, before the note
    """
    contrasts = list(rows[0]["contrasts"])
    first = rows[0]["contrasts"][contrasts[0]]
    sick = [c for c in contrasts if any(score["lesion"] for score in _of(rows, c, "honest"))]
    third = "; the third number is LPIPS" if isinstance(first["paper"]["lpips"], float) else ""
    theirs = contrasts if first["paper"]["protocol"] != "honest" else []
    pairs = list(rows[0]["mutual_information_error"])
    head = ["", *(f"{c} brain" for c in contrasts), *(f"{c} lesions" for c in sick)]
    head += [f"{c}, paper's" for c in theirs] + [f"MI error, {name}" for name in pairs]
    head += ["time", "memory", *paper.get("", ())]
    base = [row for row in rows if row["label"] == reference]
    parts = [
        said,
        f"brain: PSNR (dB) / SSIM, mask: {first['honest']['mask']}, range: {first['honest']['range']}",
        "lesions: PSNR there, same range" if sick else "",
        f"paper's: whole volume, {first['paper']['range']}{third}" if theirs else "",
        "MI error: nats, in the brain, of a contrast with the other's truth, and of both" if pairs else "",
        f"time and memory: ratios to {reference}'s (median {_median(base, 'cpu_seconds'):.1f} s, "
        f"{_median(base, 'megabytes'):.0f} MB beyond what the process held before)",
        "the last columns are the paper's numbers on its data" if paper else "",
    ]
    made = Sheet(title, "; ".join(filter(None, parts)), head)
    for label in labels(rows):
        mine = [row for row in rows if row["label"] == label]
        cells: list[str | float] = [_pair(_of(mine, c, "honest"), "brain") for c in contrasts]
        cells += [_lesions(_of(mine, c, "honest")) for c in sick]
        cells += [_papers(_of(mine, c, "paper")) for c in theirs]
        cells += [f"{np.mean([row['mutual_information_error'][name] for row in mine]):.3f}" for name in pairs]
        cells += [_ratio(_median(mine, "cpu_ratio")), _ratio(_median(mine, "memory_ratio"))]
        made.rows.append([label, *cells, *paper.get(label, ["" for _ in paper.get("", ())])])
    for label in paper:
        if label and label not in labels(rows):
            empty = [""] * (len(head) - 1 - len(paper[label]))
            made.rows.append([f"{label} (not run)", *empty, *paper[label]])
    some = [row for row in rows if row["label"] == labels(rows)[0]]
    for floor in FLOORS:
        found = {c: [score["floors"][floor] for score in _of(some, c, "honest")] for c in contrasts}
        levels = [_pair(found[c], "brain") for c in contrasts] + [_lesions(found[c]) for c in sick]
        made.rows.append([f"floor: {floor}", *levels, *[""] * (len(head) - len(levels) - 1)])
    return made


def floors(rows: Rows, contrast: str) -> dict[str, tuple[float, float]]:
    """Mean PSNR (dB) and SSIM in the brain of each floor, by its label."""
    some = _of([row for row in rows if row["label"] == labels(rows)[0]], contrast, "honest")
    return {
        f"floor: {name}": (
            float(np.mean([score["floors"][name]["brain"]["psnr"] for score in some])),
            float(np.mean([score["floors"][name]["brain"]["ssim"] for score in some])),
        )
        for name in FLOORS
    }


def labels(rows: Rows) -> list[str]:
    return list(dict.fromkeys(row["label"] for row in rows))


def brain(rows: Rows, contrast: str | None = None, where: str = "brain") -> dict[str, float]:
    """Mean honest PSNR (dB) by label, of one contrast or of all."""
    found: dict[str, list[float]] = {}
    for row in rows:
        for name, scores in row["contrasts"].items():
            if contrast in (None, name) and scores["honest"][where]:
                found.setdefault(row["label"], []).append(scores["honest"][where]["psnr"])
    return {label: float(np.mean(values)) for label, values in found.items()}


def papers(rows: Rows) -> dict[str, float]:
    """Mean PSNR (dB) of the whole volume in the paper's scaling, by label."""
    return {
        label: float(np.mean([s["paper"]["whole"]["psnr"] for r in rows if r["label"] == label
                              for s in r["contrasts"].values()]))
        for label in labels(rows)
    }  # fmt: skip


def mean_error(rows: Rows, name: str = "both") -> dict[str, float]:
    """Mean error of mutual information by label."""
    return {
        label: float(np.mean([r["mutual_information_error"][name] for r in rows if r["label"] == label]))
        for label in labels(rows)
    }


def ranked(values: Mapping[str, float], digits: int = 2) -> str:
    return ", ".join(
        f"{label} {values[label]:.{digits}f}" for label in sorted(values, key=values.__getitem__)
    )


def claim(words: str, good: bool, why: str) -> Claim:
    return Claim(words, "reproduced here" if good else "not reproduced", why)


def cost(rows: Rows, mine: str, theirs: str) -> str:
    """In words: how `mine` compares with `theirs` in quality and CPU time, ratio of medians."""
    gain = brain(rows)[mine] - brain(rows)[theirs]
    seconds = [_median([r for r in rows if r["label"] == label], "cpu_seconds") for label in (mine, theirs)]
    return f"{mine}: {gain:+.2f} dB beside {theirs} at {_share(seconds[0] / max(seconds[1], 1e-9))} its time"


def short_fit(label: str, gained: float) -> str:
    """Whether a short fit is why a method is not where its paper has it, by what its second half gained."""
    brought = f"the second half of {label}'s steps brought {gained:+.2f} dB"
    if gained > SETTLED:
        return f" Likely reason: the short fit; {brought}."
    return f" The short fit is not the reason: {brought}."


def _of(rows: Rows, contrast: str, protocol: str) -> list[Any]:
    return [row["contrasts"][contrast][protocol] for row in rows]


def _pair(scores: Sequence[Any], where: str) -> str:
    decibels, likeness = (np.mean([score[where][key] for score in scores]) for key in ("psnr", "ssim"))
    return f"{decibels:.2f} / {likeness:.3f}"


def _papers(scores: Sequence[Any]) -> str:
    """PSNR and SSIM of the whole volume, and LPIPS where it was computed."""
    found = [score["lpips"] for score in scores if isinstance(score["lpips"], float)]
    return _pair(scores, "whole") + (f" / {np.mean(found):.3f}" if found else "")


def _lesions(scores: Sequence[Any]) -> str:
    found = [score["lesion"]["psnr"] for score in scores if score["lesion"]]
    return f"{np.mean(found):.2f}" if found else ""


def _median(rows: Rows, key: str) -> float:
    return float(np.median([row[key] for row in rows]))


def _share(part: float) -> str:
    return f"{part:.1f} times" if part > 2 / 3 else f"1/{1 / max(part, 1e-9):.0f} of"


def _ratio(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"
