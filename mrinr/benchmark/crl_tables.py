"""The tables of the contrast benchmark, the paper's numbers beside ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mrinr.benchmark.sheets import Claim, Sheet
from mrinr.simulation.sequences import GROUPS
from mrinr.simulation.signal import Sequence as MRSequence
from mrinr.training.contrast_sequences import UNSEEN

NINE = GROUPS["crl"]
# Table 3 of the paper, PSNR in dB; rows are sources, a dash is None. Its averages are not those of its rows.
PAPER = (
    (None, 28.18, 24.89, 24.45, 24.75, 19.74, 24.45, 24.89, 24.75),
    (29.54, None, 26.01, 26.43, 24.98, 19.45, 27.08, 22.37, 24.47),
    (27.64, 27.65, None, 27.88, 30.75, 22.99, 28.80, 24.42, 24.64),
    (28.34, 28.50, 29.96, None, 28.40, 20.69, 20.42, 25.28, 26.09),
    (29.40, 28.93, 30.22, 21.40, None, 21.93, 31.68, 26.22, 26.21),
    (23.71, 19.64, 20.92, 22.37, None, None, 19.48, 17.83, 19.37),
    (28.97, 28.43, 32.90, 29.23, 30.87, 25.97, None, 26.65, 25.42),
    (33.41, 22.04, 27.74, 20.54, 20.21, 20.00, 35.89, None, 24.52),
    (29.98, 26.33, 24.89, 25.17, 25.29, 22.12, 24.56, 24.50, None),
)
PRINTED = (24.08, 24.52, 25.58, 25.43, 26.26, 20.64, 27.77, 25.60, 24.86)  # its column of averages
DIRECTIONS = {  # Table 2: name, source, target, the paper's PSNR and SSIM in %
    "PD to T2-FLAIR": ("CRL5", "CRL9", 29.40, 92.18),
    "PD to T1-FLAIR": ("CRL5", "CRL1", 26.21, 88.05),
    "PD to T2": ("CRL5", "CRL7", 31.68, 96.91),
    "T2 to PD": ("CRL7", "CRL5", 30.87, 96.89),
    "T2 to T1-FLAIR": ("CRL7", "CRL1", 28.97, 92.62),
    "T2 to T2-FLAIR": ("CRL7", "CRL9", 25.42, 88.07),
}
NEIGHBOUR = {"CRL4": "CRL7", "CRL6": "CRL7"}  # of the nine that are shown, the one of the most similar TE
REQUIRED, STRETCH, WORST, UNSEEN_LOSS = 1.0, 4.0, -1.0, 1.0  # dB

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


def pairs(rows: Rows) -> Rows:
    """One source, another of the nine as target: what the paper's Table 3 has."""
    return [
        row
        for row in rows
        if len(row["sources"]) == 1 and row["target"] in NINE and row["sources"] != [row["target"]]
    ]


def models(rows: Rows) -> list[str]:
    return list(dict.fromkeys(row["model"] for row in rows))


def sheets(rows: Rows, physics: Rows, near: Mapping[str, MRSequence]) -> list[Sheet]:
    first = models(rows)[0]
    ours = of(rows, first)
    made = [summary(rows)]
    made += [_grid(of(rows, name), "psnr", f"Table 3 by {name}", _papers_average) for name in models(rows)]
    made.append(_grid(ours, "reference", "The voxel-wise reference"))
    made.append(_grid(ours, "linear", "Floor: the linear fit, fitted to the truth itself"))
    made += [_table2(ours), _unseen(ours, near), _fused(ours), _physics(physics)]
    return made


def summary(rows: Rows) -> Sheet:
    sheet = Sheet(
        "All sources and targets",
        f"{ALONE} and 72 pairs; worst pair: the model less the reference; coverage: of the 90 % interval "
        "in % of the brain's voxels; min-max: PSNR of the slab, each image min-max scaled as in the paper",
        ("model", "PSNR", "SSIM", "reference", "linear", "identity", "worst pair", "coverage", "min-max"),
    )
    for name in models(rows):
        some = pairs(of(rows, name))
        keys = ("psnr", "ssim", "reference", "linear", "identity")
        numbers = [*(mean(some, key) for key in keys), worst(some), mean(some, "coverage")]
        sheet.rows.append([name, *numbers, mean(some, "papers")])
    kept = [value for row in PAPER for value in row if value is not None]
    sheet.rows.append(["paper (10 real people)", *[None] * 7, float(np.mean(kept))])
    return sheet


def worst(rows: Rows) -> float:
    return min(_difference(rows).values())


def _difference(rows: Rows) -> dict[tuple[str, str], float]:
    by_pair: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        key = (row["sources"][0], row["target"])
        by_pair.setdefault(key, []).append(row["psnr"] - row["reference"])
    return {key: float(np.mean(values)) for key, values in by_pair.items()}


def _grid(rows: Rows, key: str, title: str, more: Callable[[int], Sequence[float]] | None = None) -> Sheet:
    head = ["from / to", *(f"{n[3:]}*" if n in UNSEEN else n[3:] for n in NINE), "average"]
    note = f"{ALONE}; sources in rows, * never shown in training; the average leaves the own contrast out"
    if more:
        head += ["paper", "paper as printed"]
        note += "; the paper's average recomputed from its row, and as it prints it"
    sheet = Sheet(title, note, head)
    for n, source in enumerate(NINE):
        cells = [mean(_cell(rows, source, target), key) for target in NINE]
        others = [cell for target, cell in zip(NINE, cells, strict=True) if target != source]
        sheet.rows.append([source[3:], *cells, float(np.mean(others)), *(more(n) if more else ())])
    return sheet


def _cell(rows: Rows, source: str, target: str) -> Rows:
    return [row for row in rows if row["sources"] == [source] and row["target"] == target]


def _papers_average(n: int) -> Sequence[float]:
    return float(np.mean([value for value in PAPER[n] if value is not None])), PRINTED[n]


def _table2(rows: Rows) -> Sheet:
    sheet = Sheet(
        "Table 2",
        f"{ALONE}; min-max: the slab with each image min-max scaled, as in the paper",
        ("direction", "PSNR", "SSIM", "reference", "linear", "identity", "min-max", "paper: PSNR", "SSIM"),
    )
    for name, (source, target, paper, similar) in DIRECTIONS.items():
        some = _cell(rows, source, target)
        keys = ("psnr", "ssim", "reference", "linear", "identity", "papers")
        sheet.rows.append([name, *(mean(some, key) for key in keys), paper, similar / 100])
    return sheet


def unseen(rows: Rows, target: str, other: str) -> tuple[float, float]:
    """Mean PSNR of both targets from the sources that are neither."""
    sources = [name for name in NINE if name not in (target, other)]
    return tuple(  # type: ignore[return-value]
        float(np.mean([mean(_cell(rows, source, each), "psnr") for source in sources]))
        for each in (target, other)
    )


def _unseen(rows: Rows, near: Mapping[str, MRSequence]) -> Sheet:
    sheet = Sheet(
        "Sequences never shown",
        f"{ALONE} and the sources that are neither; the nearest draw: of 20,000 that training may make",
        ("target", "PSNR", "beside", "PSNR beside", "difference"),
    )
    for name in UNSEEN:
        key = f"near {name}"
        drawn = f"the nearest draw (TR {near[key].TR:.0f}, TE {near[key].TE:.1f})"
        for other, called in ((key, drawn), (NEIGHBOUR[name], NEIGHBOUR[name])):
            own, beside = unseen(rows, name, other)
            sheet.rows.append([name, own, called, beside, own - beside])
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
                (mean(_both(rows, name, names, target), "psnr"), mean(_cell(rows, name, target), "psnr"))
                for target in targets
            ]
            for name in names
        }
        better = [max(each, key=lambda pair: pair[1]) for each in zip(*known.values(), strict=True)]
        first, second = known.values()
        means = {"first": first, "second": second, "better": better}
        found.append(
            {"pair": " + ".join(names), "reference": mean(some, "reference")}
            | {key: tuple(np.mean(values, 0)) for key, values in means.items()}
        )
    return found


def _both(rows: Rows, first: str, names: Sequence[str], target: str) -> Rows:
    sources = [first, *(name for name in names if name != first)]
    return [row for row in rows if row["sources"] == sources and row["target"] == target]


def _fused(rows: Rows) -> Sheet:
    sheet = Sheet(
        "Two sources",
        f"{ALONE} and the targets that are neither; each source alone and both together in its own units; "
        "better: for each target the source that is better alone",
        ("sources", "first: together", "alone", "second: together", "alone", "better: together", "alone",
         "reference together"),
    )  # fmt: skip
    for each in fused(rows):
        numbers = [number for key in ("first", "second", "better") for number in each[key]]
        sheet.rows.append([each["pair"], *numbers, each["reference"]])
    return sheet


def _physics(physics: Rows) -> Sheet:
    sheet = Sheet(
        "Physics, from one T2-weighted scan (CRL7)",
        "T2 of white matter (ms) and slope of CSF (1/s) from the logarithm of the signal, TE 10 to 200 ms; "
        "TI (ms) at which CSF is darkest (TR 9000, TE 100, steps of 100), what is left there in % of its "
        "signal without inversion, and how many times brighter it is at TI 600 or 3000; wrong way: % of "
        "steps in TE or TR that raise or lower a voxel against the equation",
        (
            "person",
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
            [row["person"], T2, true, 100 * (T2 / true - 1), row["csf_slope"], row["csf_true_slope"],
             row["null"], row["true_null"], row["dark"], row["back"], row["wrong_way"]]
        )  # fmt: skip
    return sheet


def claims(rows: Rows, physics: Rows) -> list[Claim]:
    ours = of(rows, models(rows)[0])
    some = pairs(ours)
    above, least = mean(some, "psnr") - mean(some, "reference"), worst(some)
    lost = [unseen(ours, name, f"near {name}") for name in UNSEEN]
    drop = min(own - beside for own, beside in lost)
    both = fused(ours)
    gained = [each[key][0] - each[key][1] for each in both for key in ("first", "second", "better")]
    lead = [f"{each['better'][0] - each['better'][1]:.1f}" for each in both]
    true = all(
        off(row) < 10
        and abs(row["csf_slope"] - row["csf_true_slope"]) < 0.5
        and row["back"] > 2
        and row["wrong_way"] == 0
        for row in physics
    )
    return [
        _claim(
            "One model makes every sequence from every other, better than voxel by voxel",
            above >= REQUIRED and least >= WORST,
            f"{above:.1f} dB above the reference on average (asked: {REQUIRED:g}, hoped for: {STRETCH:g}); "
            f"worst pair {least:.1f} dB.",
        ),
        _claim(
            "Sequences never shown come out as well",
            drop >= -UNSEEN_LOSS,
            f"At worst {drop:.2f} dB beside the nearest draw that training may make.",
        ),
        _claim(
            "Changing times changes contrast as physics does, on every person",
            true,
            f"T2 of white matter within {max(map(off, physics)):.0f} %, CSF dark at its null and back, no "
            "step the wrong way; asked: within 10 % and CSF's slope within 0.5 /s. See the table of physics.",
        ),
        _claim(
            "Two sources are better than any one (not in the paper)",
            min(gained) > 0,
            f"At least {min(gained):.1f} dB better than either alone, in its units; than the better one of "
            f"each target {', '.join(lead)} dB.",
        ),
    ]


def off(row: Mapping[str, Any]) -> float:
    """Error of white matter's T2 in %."""
    return 100 * abs(row["wm_true_slope"] / row["wm_slope"] - 1)


def _claim(claim: str, held: bool, why: str) -> Claim:
    return Claim(claim, "reproduced here" if held else "not reproduced", why)
