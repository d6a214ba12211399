"""Measuring methods on degraded heads and printing what came out."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import torch

from mrinr.benchmark.cases import Case
from mrinr.context import Context
from mrinr.metrics import evaluate, mutual_information
from mrinr.superres.methods import solver
from mrinr.superres.pipeline import build, subject_scales
from mrinr.volume import Stack, Volume

FLOORS = ("constant", "identity", "linear")


@dataclass(frozen=True)
class Entry:
    """A row of the table: what it is called, the method and its settings."""

    label: str
    method: str
    settings: dict[str, Any] = field(default_factory=dict)


def compare(
    heads: list[Case],
    stacks_of: Callable[[Case], list[Stack]],
    entries: list[Entry],
    protocol: str,
    reference: str,
    context: Context,
) -> dict[str, Any]:
    """Every entry on every head, point-sampled as the papers do; times are ratios to `reference`'s."""
    rows = []
    for n, head in enumerate(heads):
        stacks = stacks_of(head)
        scales = subject_scales(stacks)
        grid = next(iter(head.truths.values())).grid
        for m, entry in enumerate(entries):
            low, high = ((n + (m + k) / len(entries)) / len(heads) for k in (0, 1))
            context.progress(low, f"{entry.label} on {head.name}")
            gains: list[np.ndarray | None] = [None] * len(stacks)  # cut from one volume
            problem = build(stacks, gains, scales, grid, "point", torch.device("cpu"), seed=0)
            start = time.process_time()
            solution = solver(entry.method)(problem, context.stage(low, high), **entry.settings)
            seconds = time.process_time() - start
            made = {
                c: Volume(np.maximum(solution.volumes[c].numpy(), 0) * scales[c].unit, grid.affine, c)
                for c in problem.contrasts
            }
            rows.append({
                "case": head.name, "label": entry.label, "method": entry.method, "settings": entry.settings,
                "cpu_seconds": round(seconds, 2), "contrasts": _scores(head, made, stacks, protocol),
                "mutual_information_error": _information_error(head, made),
                "notes": solution.notes.get("networks", {}),
            })  # fmt: skip
    for row in rows:
        base = next(r for r in rows if r["case"] == row["case"] and r["label"] == reference)
        row["cpu_ratio"] = round(row["cpu_seconds"] / max(base["cpu_seconds"], 1e-9), 4)
    return {
        "protocol": protocol,
        "cpu_ratio_to": reference,
        "hardware": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, CPU only",
        "rows": rows,
    }


def _scores(head: Case, made: dict[str, Volume], stacks: list[Stack], protocol: str) -> dict[str, Any]:
    inputs = [s.volume for s in stacks]
    return {
        c: {
            "honest": evaluate(head.truths[c], volume, head.brain, inputs=inputs),
            "paper": evaluate(head.truths[c], volume, head.brain, protocol=protocol),
        }
        for c, volume in made.items()
    }


def _information_error(head: Case, made: dict[str, Volume]) -> float | None:
    """|MI of the predictions - MI of the truths|, nats, in the brain; mean over pairs of contrasts."""
    brain = head.brain.voxels > 0
    pairs = list(combinations(made, 2))
    if not pairs:
        return None

    def between(volumes: dict[str, Volume]) -> np.ndarray:
        found = [mutual_information(volumes[a].voxels, volumes[b].voxels, brain) for a, b in pairs]
        return np.array(found)

    return float(np.abs(between(made) - between(head.truths)).mean())


def as_text(results: dict[str, Any]) -> str:
    """The table: means over the heads."""
    rows = results["rows"]
    labels = list(dict.fromkeys(r["label"] for r in rows))
    contrasts = list(rows[0]["contrasts"])
    first = rows[0]["contrasts"][contrasts[0]]
    head = ["", *(f"{c} brain" for c in contrasts), *(f"{c} paper" for c in contrasts), "MI error", "CPU"]
    lines = [head]
    for label in labels:
        mine = [r for r in rows if r["label"] == label]
        scores = [
            _cell([r["contrasts"][c][kind] for r in mine], where)
            for kind, where in (("honest", "brain"), ("paper", "whole"))
            for c in contrasts
        ]
        information = [r["mutual_information_error"] for r in mine]
        mi = "" if None in information else f"{np.mean(information):.3f}"
        lines.append([label, *scores, mi, f"{np.mean([r['cpu_ratio'] for r in mine]):.3f}"])
    some = [r for r in rows if r["label"] == labels[0]]
    for floor in FLOORS:
        cells = [
            _cell([r["contrasts"][c]["honest"]["floors"][floor] for r in some], "brain") for c in contrasts
        ]
        lines.append([f"floor: {floor}", *cells, *[""] * (len(contrasts) + 2)])
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    table = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([
        f"{results['title']}: PSNR (dB) and SSIM",
        f"Data: {', '.join(dict.fromkeys(r['case'] for r in rows))}; {results['degradation']}",
        f"brain: mask {first['honest']['mask']}, range {first['honest']['range']}",
        f"paper: whole volume, {first['paper']['range']}; LPIPS not computed",
        f"CPU: process time relative to {results['cpu_ratio_to']}, {results['hardware']}",
        *results["remarks"],
        "",
        *table,
    ])  # fmt: skip


def as_page(results: dict[str, Any], command: str) -> str:
    """The table as a Markdown page: what the paper found, the means over contrasts, how the orders agree."""
    labels = list(dict.fromkeys(r["label"] for r in results["rows"]))
    contrasts = list(results["rows"][0]["contrasts"])
    brain = {
        c: {
            label: np.mean([
                r["contrasts"][c]["honest"]["brain"]["psnr"] for r in results["rows"] if r["label"] == label
            ])
            for label in labels
        }
        for c in contrasts
    }  # fmt: skip
    means = {label: np.mean([brain[c][label] for c in contrasts]) for label in labels}
    found = [_verdict(results["order"], means, "the mean")]
    found += [_verdict(results["order"], brain[c], c) for c in contrasts] if len(contrasts) > 1 else []
    ranked = ", ".join(f"{label} {means[label]:.2f}" for label in sorted(labels, key=means.__getitem__))
    return "\n".join([
        f"# {results['title']}", "",
        f"In the paper: {results['paper']}. Here, brain PSNR (dB), mean over contrasts: {ranked}.",
        f"The order {' < '.join(results['order'])} is {'; '.join(found)}.", "",
        "```", as_text(results), "```", "",
        f"Made by `{command}` in {results['cpu_seconds']} CPU-seconds.", "",
    ])  # fmt: skip


def _verdict(order: list[str], psnr: Mapping[str, Any], where: str) -> str:
    wrong = [f"{b} is not above {a}" for a, b in pairwise(order) if psnr[b] <= psnr[a]]
    return f"not reproduced in {where} ({', '.join(wrong)})" if wrong else f"reproduced in {where}"


def _cell(scores: list[dict[str, Any]], where: str) -> str:
    return (
        f"{np.mean([s[where]['psnr'] for s in scores]):.2f} {np.mean([s[where]['ssim'] for s in scores]):.3f}"
    )
