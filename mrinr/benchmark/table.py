"""Measuring super-resolution methods on degraded heads: quality, time and memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import torch

from mrinr.benchmark import priors, srr
from mrinr.benchmark.apart import apart
from mrinr.benchmark.cases import Case
from mrinr.context import Context
from mrinr.geometry import Grid
from mrinr.metrics import evaluate, mutual_information
from mrinr.perceptual import Lpips
from mrinr.superres.methods import solver
from mrinr.superres.pipeline import build, relative_gains, subject_scales
from mrinr.superres.problem import Solution
from mrinr.volume import Stack, Volume

FLOORS = ("constant", "identity", "linear")
OWN: dict[str, Callable[..., Solution]] = {"srr": srr.solve, "row": priors.solve}  # what only benchmarks have


@dataclass(frozen=True)
class Entry:
    """A row of a table: what it is called, the method, its settings and the slice profile it assumes."""

    label: str
    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    profile: str = "point"


@dataclass(frozen=True)
class Job:
    """Stacks to be reconstructed on a grid; gains: None where all are cut from one volume."""

    stacks: list[Stack]
    grid: Grid
    gains: bool = False


def compare(
    heads: Sequence[Case],
    stacks_of: Callable[[Case], list[Stack]],
    entries: Sequence[Entry],
    protocol: str,
    reference: str,
    context: Context,
    gains: bool = False,
    lpips: Lpips | None = None,
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Volume]]]:
    """Every entry on every head, each in a process of its own; and, by label, the volumes of the first head.

    protocol : of the paper, beside the honest one
    reference : the label that times and memory are ratios to
    gains : whether stacks of one contrast may differ in gain
    lpips : computed, too, on images scaled as the paper's

    A row: case, label, method, settings, cpu_seconds, megabytes, both as ratios, contrasts (by contrast
    {"honest", "paper"}, see `evaluate`), mutual_information_error (see `information`) and notes.
    """
    rows: list[dict[str, Any]] = []
    shown: dict[str, dict[str, Volume]] = {}
    for n, head in enumerate(heads):
        stacks = stacks_of(head)
        job = Job(stacks, next(iter(head.truths.values())).grid, gains)
        for m, entry in enumerate(entries):
            context.progress((n + m / len(entries)) / len(heads), f"{entry.label} on {head.name}")
            done = apart(solved, job, entry, context=context)
            volumes, notes = done.value
            made = {c: Volume(x, job.grid.affine, c) for c, x in volumes.items()}
            if n == 0:
                shown[entry.label] = made
            rows.append({
                "case": head.name, "label": entry.label, "method": entry.method, "settings": entry.settings,
                "profile": entry.profile, "cpu_seconds": done.seconds, "megabytes": done.megabytes,
                "contrasts": _scores(head, made, stacks, protocol, lpips),
                "mutual_information_error": information(head, made), "notes": notes,
            })  # fmt: skip
    for row in rows:
        base = next(r for r in rows if r["case"] == row["case"] and r["label"] == reference)
        row["cpu_ratio"] = row["cpu_seconds"] / max(base["cpu_seconds"], 1e-9)
        row["memory_ratio"] = row["megabytes"] / max(base["megabytes"], 1e-9)
    return rows, shown


def solved(job: Job, entry: Entry, **more: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Volumes in the stacks' units, by contrast, and what the networks noted.

    more : arguments of the method that no settings are
    """
    scales = subject_scales(job.stacks)
    gains: list[np.ndarray | None] = [None] * len(job.stacks)
    if job.gains:
        gains = relative_gains(job.stacks)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    problem = build(job.stacks, gains, scales, job.grid, entry.profile, device, seed=0)
    solve = OWN[entry.method] if entry.method in OWN else solver(entry.method)
    found = solve(problem, Context(), **entry.settings, **more)
    volumes = {c: np.maximum(x.cpu().numpy(), 0) * scales[c].unit for c, x in found.volumes.items()}
    return volumes, found.notes.get("networks", {})


def _scores(
    head: Case, made: Mapping[str, Volume], stacks: list[Stack], protocol: str, lpips: Lpips | None
) -> dict[str, Any]:
    inputs = [s.volume for s in stacks]
    return {
        c: {
            "honest": evaluate(head.truths[c], volume, head.brain, head.lesions, inputs=inputs),
            "paper": evaluate(head.truths[c], volume, head.brain, protocol=protocol, lpips=lpips),
        }
        for c, volume in made.items()
    }


def information(head: Case, made: Mapping[str, Volume]) -> dict[str, float]:
    """Errors of mutual information in the brain, nats, against that of the truths; means over pairs.

    By contrast: of its prediction with the others' truths; "both": of predictions with each other.
    """
    brain = head.brain.voxels > 0
    found: dict[str, list[float]] = {}

    def between(a: Volume, b: Volume) -> float:
        return mutual_information(a.voxels, b.voxels, brain)

    for a, b in combinations(made, 2):
        wanted = between(head.truths[a], head.truths[b])
        found.setdefault(a, []).append(abs(between(made[a], head.truths[b]) - wanted))
        found.setdefault(b, []).append(abs(between(head.truths[a], made[b]) - wanted))
        found.setdefault("both", []).append(abs(between(made[a], made[b]) - wanted))
    return {name: float(np.mean(errors)) for name, errors in found.items()}
