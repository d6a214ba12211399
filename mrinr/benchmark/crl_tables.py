"""The tables of the contrast benchmark, the paper's numbers beside ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mrinr.benchmark import crl_beyond as beyond
from mrinr.benchmark import crl_directions as directions
from mrinr.benchmark.crl_measure import PAPERS_NETWORK, Findings
from mrinr.benchmark.crl_rows import ALONE, NINE, Rows, cell, mean, models, of
from mrinr.benchmark.sheets import Claim, Sheet
from mrinr.simulation.signal import Sequence as MRSequence
from mrinr.training.contrast_sequences import UNSEEN

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
REQUIRED, STRETCH, WORST, UNSEEN_LOSS = 1.0, 4.0, -1.0, 1.0  # dB
UNSEEN_CLAIM = "Sequences never shown come out as well"


def pairs(rows: Rows) -> Rows:
    """One source, another of the nine as target: what the paper's Table 3 has."""
    return [
        row
        for row in rows
        if len(row["sources"]) == 1 and row["target"] in NINE and row["sources"] != [row["target"]]
    ]


def sheets(found: Findings, near: Mapping[str, MRSequence]) -> list[Sheet]:
    """All tables; of real people those that need no truth but their scans."""
    rows = found.rows
    ours = of(rows, models(rows)[0])
    made = [summary(rows)]
    made += [_grid(of(rows, name), "psnr", f"Table 3 by {name}", _papers_average) for name in models(rows)]
    made.append(_grid(ours, "reference", "The voxel-wise reference"))
    made.append(_grid(ours, "linear", "Floor: the linear fit, fitted to the truth itself"))
    made += directions.sheets(rows, found.rivals)
    if found.thick:
        made.append(directions.thick(ours, found.thick))
    if found.physics:
        made.append(beyond.never_shown(ours, near))
    made.append(beyond.two_sources(ours))
    if found.physics:
        made.append(beyond.obeyed(found.physics))
    return [*made, directions.costs(found.costs, PAPERS_NETWORK)]


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
        some = {target: cell(rows, source, target) for target in NINE}
        cells = [mean(each, key) if each else None for each in some.values()]
        others = [mean(each, key) for target, each in some.items() if target != source]
        sheet.rows.append([source[3:], *cells, float(np.mean(others)), *(more(n) if more else ())])
    return sheet


def _papers_average(n: int) -> Sequence[float]:
    return float(np.mean([value for value in PAPER[n] if value is not None])), PRINTED[n]


def claims(found: Findings) -> list[Claim]:
    """A sentence for each claim of the paper, and for what was asked of this implementation."""
    ours = of(found.rows, models(found.rows)[0])
    some = pairs(ours)
    above, least = mean(some, "psnr") - mean(some, "reference"), worst(some)
    both = beyond.fused(ours)
    gained = [each[key][0] - each[key][1] for each in both for key in ("first", "second", "better")]
    lead = [f"{each['better'][0] - each['better'][1]:.1f}" for each in both]
    return [
        _claim(
            "One model makes every sequence from every other, better than voxel by voxel",
            above >= REQUIRED and least >= WORST,
            f"{above:.1f} dB above the reference on average (asked: {REQUIRED:g}, hoped for: {STRETCH:g}); "
            f"worst pair {least:.1f} dB.",
        ),
        *directions.claims(found.rows, found.rivals, found.thick),
        *(_simulated(ours, found.physics) if found.physics else _real(ours)),
        Claim(
            "Ten people are enough to train on",
            "not testable here",
            "The model learns from simulated people without end; the nine real sequences of ten people would "
            "be needed.",
        ),
        _claim(
            "Two sources are better than any one (not in the paper)",
            min(gained) > 0,
            f"At least {min(gained):.1f} dB better than either alone, in its units; than the better one of "
            f"each target {', '.join(lead)} dB.",
        ),
    ]


def _simulated(ours: Rows, physics: Rows) -> list[Claim]:
    lost = [beyond.unseen(ours, name, f"near {name}") for name in UNSEEN]
    drop = min(own - beside for own, beside in lost)
    return [
        _claim(
            UNSEEN_CLAIM,
            drop >= -UNSEEN_LOSS,
            f"At worst {drop:.2f} dB beside the nearest draw that training may make.",
        ),
        _physics(physics),
    ]


def _physics(physics: Rows) -> Claim:
    one, two = ([row for row in physics if len(row["sources"]) == count] for count in (1, 2))

    def obeyed(rows: Rows) -> bool:
        return all(
            beyond.off(row) < 10
            and abs(row["csf_slope"] - row["csf_true_slope"]) < 0.5
            and row["back"] > 2
            and row["wrong_way"] == 0
            for row in rows
        )

    verdict = "reproduced here" if obeyed(one) else "not reproduced"
    if obeyed(two) and not obeyed(one):
        verdict = "reproduced from two scans, not from one"
    T2 = [max(map(beyond.off, rows)) for rows in (one, two)]
    fluid = [max(abs(row["csf_slope"] - row["csf_true_slope"]) for row in rows) for rows in (one, two)]
    back, wrong = min(row["back"] for row in physics), max(row["wrong_way"] for row in physics)
    return Claim(
        "Changing times changes contrast as physics does, on every person",
        verdict,
        f"T2 of white matter within {T2[0]:.0f} % from a T2-weighted scan, within {T2[1]:.0f} % with a "
        f"proton-density scan beside it (asked: 10 %); CSF's slope within {fluid[0]:.2f} and {fluid[1]:.2f} "
        f"/s (asked: 0.5); CSF at least {back:.1f} times brighter beside its null; {wrong:.1f} % of steps "
        "the wrong way. See the table of physics.",
    )


def _real(ours: Rows) -> list[Claim]:
    pairs_of = [(name, other) for name, other in beyond.NEIGHBOUR.items()]
    lost = [beyond.unseen(ours, name, other) for name, other in pairs_of]
    drop = min(own - beside for own, beside in lost)
    said = " and ".join(f"{name} beside {other}" for name, other in pairs_of)
    return [_claim(UNSEEN_CLAIM, drop >= -UNSEEN_LOSS, f"At worst {drop:.2f} dB ({said}).")]


def _claim(claim: str, held: bool, why: str) -> Claim:
    return Claim(claim, "reproduced here" if held else "not reproduced", why)
