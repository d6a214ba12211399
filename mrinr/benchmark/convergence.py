"""Figure 3 of the multi-contrast INR's paper: mutual information by epoch; and its loss weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from mrinr.benchmark.apart import apart
from mrinr.benchmark.cases import Case
from mrinr.benchmark.chart import chart
from mrinr.benchmark.sheets import Claim, Sheet
from mrinr.benchmark.table import Entry, Job, solved
from mrinr.context import Context
from mrinr.metrics import mutual_information, psnr
from mrinr.superres.inr import Field
from mrinr.superres.inr_fit import MI_EPOCHS, settled
from mrinr.superres.pipeline import subject_scales
from mrinr.volume import Stack

NEAR = 0.1  # of the truth's mutual information: that close counts as near


def run(
    person: Case,
    stacks: list[Stack],
    settings: Mapping[str, Any],
    weights: Sequence[tuple[float, float]],
    method: str,
    context: Context,
) -> tuple[list[Sheet], dict[str, Any]]:
    """A table of weights (alpha, beta), and the course of the fit with the first of them, to its end."""
    found = []
    for n, (alpha, beta) in enumerate(weights):
        context.progress(n / len(weights), f"{method}, alpha {alpha:g}, beta {beta:g}")
        entry = Entry("", method, {**settings, "early_stop": False, "alpha": alpha, "beta": beta})
        found.append(apart(course, person, stacks, entry, context=context).value)
    contrasts = list(person.truths)
    table = Sheet(
        "Loss weights alpha and beta",
        f"{method} without early stop, brain PSNR (dB) as above; alpha weighs {contrasts[0]}, "
        f"beta {contrasts[1]}; the paper prints neither its values nor their effect",
        ["alpha : beta", *contrasts, "mean", "mutual information"],
    )
    for (alpha, beta), each in zip(weights, found, strict=True):
        last = [each["psnr"][c][-1] for c in contrasts]
        table.rows.append([f"{alpha:g} : {beta:g}", *last, float(np.mean(last)), each["information"][-1]])
    return [table], found[0]


def course(person: Case, stacks: list[Stack], entry: Entry) -> dict[str, Any]:
    """By epoch: PSNR (dB) of each contrast and mutual information (nats) in the brain; and the truth's."""
    grid, inside = person.brain.grid, person.brain.voxels > 0
    flat = np.flatnonzero(inside)
    names = list(person.truths)
    truths = [person.truths[c].voxels[inside] for c in names]
    tops = [float(np.percentile(x, 99.9)) for x in truths]
    scales = subject_scales(stacks)
    levels: dict[str, list[float]] = {c: [] for c in names}
    information: list[float] = []

    def look(field: Field) -> None:
        index = torch.as_tensor(flat, device=field.device)
        values = field.at(grid, index, Context()).cpu().numpy()
        made = [np.maximum(values[:, n], 0) * scales[c].unit for n, c in enumerate(field.contrasts)]
        for c, x, truth, top in zip(names, made, truths, tops, strict=True):
            levels[c].append(psnr(truth, x, None, top))
        information.append(mutual_information(made[0], made[1]))

    _, notes = solved(Job(stacks, grid), entry, each_epoch=look)
    probe = next(iter(notes.values()))["mutual_information"]
    stop = next((n for n in range(MI_EPOCHS + 1, len(probe) + 1) if settled(probe[:n])), None)
    return {
        "psnr": levels,
        "information": information,
        "truth": mutual_information(truths[0], truths[1]),
        "early_stop": stop,
        "epochs": len(probe),
    }


def claim_of(curve: Mapping[str, Any]) -> Claim:
    last, truth, first = curve["information"][-1], curve["truth"], curve["information"][0]
    level = {c: values[-1] for c, values in curve["psnr"].items()}
    stop = curve["early_stop"]
    if stop is None:
        ended = f"The early stop (below 1e-4 for 4 epochs) would not have ended the {curve['epochs']} epochs."
    else:
        lost = ", ".join(f"{c} {level[c] - values[stop - 1]:+.2f} dB" for c, values in curve["psnr"].items())
        ended = f"The early stop would have ended after epoch {stop}; the rest changed {lost}."
    return Claim(
        "Mutual information settles near the truth's",
        "reproduced here" if abs(last - truth) < NEAR * truth else "not reproduced",
        f"{first:.3f} nats after the first epoch, {last:.3f} after the last, truth {truth:.3f}. {ended}",
    )


def charts(curve: Mapping[str, Any]) -> tuple[list[Image.Image], list[str]]:
    """Mutual information and PSNR by epoch, and captions."""

    def by_epoch(values: Sequence[float]) -> list[tuple[float, float]]:
        return [(n + 1.0, value) for n, value in enumerate(values)]

    size = (400, 270)
    mutual = chart(
        {"predictions": by_epoch(curve["information"])}, "epoch", "mutual information (nats)",
        {"truth": curve["truth"]}, size=size,
    )  # fmt: skip
    level = chart({c: by_epoch(v) for c, v in curve["psnr"].items()}, "epoch", "brain PSNR (dB)", size=size)
    stop = curve["early_stop"]
    ended = "no early stop" if stop is None else f"early stop after epoch {stop}"
    return [mutual, level], [f"split-head, {ended}", "the same fit"]
