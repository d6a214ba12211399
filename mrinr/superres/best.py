"""`profile-inr` and `guided` combined, for those who can wait or have a GPU.

The mean of three reconstructions whose errors differ: two implicit neural representations (`profile_inr`,
different seeds), and one round of `guided` that has their mean for guides. Each is consistent with the
measured slices, and so is their mean.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mrinr.context import Context
from mrinr.geometry import Grid
from mrinr.superres import cubic, guided, profile_inr
from mrinr.superres.problem import Problem, Solution


def solve(problem: Problem, context: Context) -> Solution:
    """Fit two networks, predict from their mean, and average all three."""
    networks = [
        profile_inr.solve(replace(problem, seed=problem.seed + n), context.stage(0.47 * n, 0.47 * (n + 1)))
        for n in range(2)
    ]
    guides = mean([n.volumes for n in networks])
    predicted = guided.solve(problem, context.stage(0.94, 1.0), rounds=1, guides=guides)
    volumes = mean([*(n.volumes for n in networks), predicted.volumes])
    correction = {c: volumes[c] - guides[c] for c in volumes}

    def sample(grid: Grid) -> dict[str, Tensor]:
        fields = mean([n.sample(grid) for n in networks if n.sample is not None])
        return {c: x + cubic.interpolate(correction[c], problem.grid, grid)[0] for c, x in fields.items()}

    notes = {"networks": [n.notes for n in networks], "guided": predicted.notes}
    return Solution(volumes, sample, notes)


def mean(volumes: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several reconstructions, contrast by contrast."""
    return {c: torch.stack([v[c] for v in volumes]).mean(0) for c in volumes[0]}
