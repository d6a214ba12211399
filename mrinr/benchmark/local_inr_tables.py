"""The table of the local INR's benchmark, the paper's numbers beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mrinr.benchmark.sheets import Claim, Sheet
from mrinr.benchmark.wilcoxon import verdict

# Table 1, T1ce: MSE x 1e-3, SSIM x 100, PSNR; by number of inputs and grid.
PAPER = {
    (1, "pix2pix"): "1.02 / 94.3 / 30.98",
    (1, "1x1"): "1.63* / 93.2* / 28.76*",
    (1, "10x8"): "1.05 / 94.4 / 30.80",
    (1, "20x16"): "0.92* / 94.9* / 31.55*",
    (1, "40x32"): "0.90* / 94.9* / 31.61*",
    (3, "pix2pix"): "0.77 / 95.1 / 32.32",
    (3, "40x32"): "0.74* / 95.6* / 32.76*",
}
GRIDS = ("1x1", "10x8", "20x16", "40x32")
FLOORS = ("constant", "identity", "linear")

Rows = Sequence[Mapping[str, Any]]


def by_label(rows: Rows) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Rows by label and person."""
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["label"], {})[row["person"]] = row
    return found


def values(people: Mapping[str, Mapping[str, Any]], key: str) -> np.ndarray:
    return np.array([people[person][key] for person in sorted(people)])


def sheets(rows: Rows) -> list[Sheet]:
    """One for each set of inputs."""
    note = (
        "means and standard deviations over people; MSE, SSIM, PSNR: whole crops scaled by the truth's "
        "minimum and maximum, as the paper's; brain: PSNR (dB) and SSIM, range: the truth's 99.9th "
        "percentile there; p: Wilcoxon signed-rank test of MSE, SSIM, PSNR against pix2pix; "
        "paper: T1ce, MSE x 1e-3 / SSIM x 100 / PSNR, * p < 0.001"
    )
    head = ["", "MSE x 1e-3", "SSIM x 100", "PSNR", "brain PSNR", "brain SSIM", "p", "paper"]
    made = []
    for inputs in dict.fromkeys(tuple(row["inputs"]) for row in rows):
        mine = by_label([row for row in rows if tuple(row["inputs"]) == inputs])
        sheet = Sheet(f"From {' + '.join(inputs)}", note, head)
        for label, people in mine.items():
            cells = [
                _spread(people, key, factor) for key, factor in (("mse", 1e3), ("ssim", 100), ("psnr", 1))
            ]
            brain = [float(values(people, f"brain {key}").mean()) for key in ("psnr", "ssim")]
            said = "" if label == "pix2pix" else _tested(people, mine["pix2pix"])
            sheet.rows.append([label, *cells, *brain, said, PAPER.get((len(inputs), label), "")])
        for floor in FLOORS:
            level = float(values(mine["pix2pix"], f"floor {floor}").mean())
            sheet.rows.append([f"floor: {floor}", "", "", "", level, "", "", ""])
        made.append(sheet)
    return made


def _spread(people: Mapping[str, Mapping[str, Any]], key: str, factor: float) -> str:
    found = factor * values(people, key)
    return f"{found.mean():.2f} ± {found.std():.2f}"


def _tested(people: Mapping[str, Mapping[str, Any]], others: Mapping[str, Mapping[str, Any]]) -> str:
    said = [verdict(values(people, key), values(others, key)) for key in ("mse", "ssim", "psnr")]
    return ", ".join(dict.fromkeys(said)) if said[0].startswith("not") else " / ".join(said)


def claims(rows: Rows, locality: Mapping[str, float]) -> list[Claim]:
    """A sentence for each claim of the paper, by mean MSE with the first set of inputs."""
    first = [row for row in rows if row["inputs"] == rows[0]["inputs"]]
    error = {label: float(values(people, "mse").mean()) for label, people in by_label(first).items()}
    listed = ", ".join(f"{label} {1e3 * error[label]:.2f}" for label in ("pix2pix", *GRIDS))
    why = f"MSE x 1e-3: {listed}."
    steps = [error[label] for label in GRIDS]
    worse = [level for name, level in locality.items() if name != "every tile its own"]
    own = locality["every tile its own"]
    lost = ", ".join(f"{level - own:+.1f} dB" for level in worse)
    return [
        _claim("One perceptron is worse than any grid and pix2pix", max(error, key=error.get) == "1x1", why),  # type: ignore[arg-type]
        _claim("More tiles are better", all(a > b for a, b in zip(steps, steps[1:], strict=False)), why),
        _claim("A grid of 40x32 beats pix2pix", error["40x32"] < error["pix2pix"], why),
        _claim(
            "Perceptrons are local: one tile's serves the others badly",
            max(worse) < own,
            f"Brain PSNR with the perceptron of one tile (white matter, fluid, background): {lost}. "
            "The control with a local encoding was not run.",
        ),
    ]


def _claim(claim: str, good: bool, why: str) -> Claim:
    return Claim(claim, "reproduced here" if good else "not reproduced", why)
