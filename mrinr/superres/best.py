"""`profile-inr` and `guided` combined, for those who can wait or have a GPU.

The mean of reconstructions whose errors differ: two implicit neural representations (`profile_inr`, different
seeds) and, for contrasts whose hidden slices it predicts about as well, one round of `guided` that has their
mean for guides. Each is consistent with the measured slices, and so is their mean.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mrinr.context import Context
from mrinr.geometry import Grid
from mrinr.superres import cubic, guided, hidden, profile_inr
from mrinr.superres.problem import Problem, Solution

# Error of `guided` on hidden slices, relative to a network's, up to which a third of it improves the mean.
WORTH = 1.08


def solve(problem: Problem, context: Context) -> Solution:
    """Fit two networks, predict from their mean, and average what is good enough."""
    helped = contrasts_helped(problem, context.stage(0.0, 0.2))
    networks = [
        profile_inr.solve(
            replace(problem, seed=problem.seed + n), context.stage(0.2 + 0.37 * n, 0.57 + 0.37 * n)
        )
        for n in range(2)
    ]
    guides = mean([n.volumes for n in networks])
    volumes, notes = dict(guides), {"networks": [n.notes for n in networks], "guided": sorted(helped)}
    if helped:
        predicted = guided.solve(problem, context.stage(0.94, 1.0), rounds=1, guides=guides).volumes
        volumes |= {c: (2 * guides[c] + predicted[c]) / 3 for c in helped}
    correction = {c: volumes[c] - guides[c] for c in volumes}

    def sample(grid: Grid) -> dict[str, Tensor]:
        fields = mean([n.sample(grid) for n in networks if n.sample is not None])
        return {c: x + cubic.interpolate(correction[c], problem.grid, grid)[0] for c, x in fields.items()}

    return Solution(volumes, sample, notes)


def contrasts_helped(problem: Problem, context: Context) -> set[str]:
    """The contrasts for which `guided` is worth its place, by hidden slices of a central block."""
    profile = problem.observations[0].operator.profile
    trial = hidden.hide(hidden.central_block(problem, profile))
    context.progress(0.0, "Weighing the methods on hidden slices")
    network = profile_inr.solve(trial.problem, context.quiet()).volumes
    predicted = guided.solve(trial.problem, context.quiet(), rounds=1, guides=network).volumes
    own, other = trial.errors(network), trial.errors(predicted)
    return {c for c in own if other[c] <= WORTH * own[c]}


def mean(volumes: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several reconstructions, contrast by contrast."""
    return {c: torch.stack([v[c] for v in volumes]).mean(0) for c in volumes[0]}
