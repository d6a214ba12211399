"""`profile-inr` and `guided` combined, for those who can wait or have a GPU.

The mean of four implicit neural representations (`profile_inr`, different seeds). Hidden slices say, contrast
by contrast, whether one round of `guided` from that mean, with or without the learned prior's guess, predicts
so much better that the result is the mean of both. All of them are consistent with the measured slices, and
so are their means.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from mrinr.context import Context
from mrinr.geometry import Grid
from mrinr.superres import cubic, guided, hidden, profile_inr
from mrinr.superres.guess import Guess, views
from mrinr.superres.inr import Continuous, fields_of
from mrinr.superres.prior import MODEL, facts, find, load
from mrinr.superres.prior_network import PlanePrior
from mrinr.superres.problem import Problem, Solution

NETWORKS = 4  # 0.15 dB above one on real crops (Testing/benchmarks/inr_cost.py)
# Hidden slices favour `guided`: where its error on them was 5 % smaller, it was 0.3 dB worse on the truth.
CLEARLY = 1.15


def solve(
    problem: Problem,
    context: Context,
    networks: int = NETWORKS,
    epochs: int = profile_inr.EPOCHS,
    steps: int = guided.STEPS,
    prior: bool = True,
) -> Solution:
    """Fit the `networks` for `epochs` each, predict from their mean (`steps` of `guided`), mix the two.

    prior : whether the learned prior may help
    """
    bundle = find(MODEL) if prior and views(problem) else None
    learned = None if bundle is None else load(bundle, problem.device)
    shares, learned = shares_of_guided(problem, context.stage(0.0, 0.2), epochs, steps, learned)
    part = 0.74 / networks
    fitted = [
        profile_inr.solve(
            replace(problem, seed=problem.seed + n),
            context.stage(0.2 + part * n, 0.2 + part * (n + 1)),
            epochs,
        )
        for n in range(networks)
    ]
    average = mean([f.volumes for f in fitted])
    volumes, moved = average, {}
    if any(shares.values()):
        end = context.stage(0.94, 1.0)
        guess = None if learned is None else Guess(problem, learned)
        again = partial(guided.solve, problem, rounds=1, steps=steps, guides=average)
        predicted = again(context=end.stage(0.0, 0.5), guess=guess).volumes
        if guess is not None:
            alone = again(context=end.stage(0.5, 1.0)).volumes
            moved = {c: shares.get(c, 0.0) * (predicted[c] - alone[c]) for c in average}
        volumes = {c: torch.lerp(average[c], predicted[c], shares.get(c, 0.0)) for c in average}
    correction = {c: volumes[c] - average[c] for c in average}

    def sample(grid: Grid) -> dict[str, Tensor]:
        inr = mean([f.sample(grid) for f in fitted if f.sample is not None])
        return {c: x + cubic.interpolate(correction[c], problem.grid, grid)[0] for c, x in inr.items()}

    fields = [field for f in fitted for field in fields_of(f.sample)]
    notes = {"networks": [f.notes for f in fitted], "share of guided": shares}
    if bundle is not None and moved:
        notes["prior"] = facts(bundle)
    return Solution(volumes, Continuous(fields, sample), notes, moved)


def shares_of_guided(
    problem: Problem, context: Context, epochs: int, steps: int, learned: PlanePrior | None
) -> tuple[dict[str, float], PlanePrior | None]:
    """The share of `guided` by contrast, from hidden slices of a central block; without them none.

    And `learned`, or None where `guided` did better without it.
    """
    profile = problem.observations[0].operator.profile
    trial = hidden.hide(hidden.central_block(problem, profile))
    context.progress(0.0, "Weighing the methods on hidden slices")
    network = profile_inr.solve(trial.problem, context.quiet(), epochs).volumes
    own = trial.errors(network)
    tried = []
    for prior in (None, learned) if learned is not None else (None,):
        guess = None if prior is None else Guess(trial.problem, prior)
        predicted = guided.solve(
            trial.problem, context.quiet(), rounds=1, steps=steps, guides=network, guess=guess
        ).volumes
        tried.append((trial.errors(predicted), prior))
    other, chosen = min(tried, key=lambda each: sum(each[0].values()))
    return {c: share(own[c], other[c]) for c in own}, chosen


def share(own: float, other: float) -> float:
    """How much a method of error `other` counts beside one of error `own`: the half where clearly better."""
    return 0.5 if own > CLEARLY * other else 0.0


def mean(volumes: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several reconstructions, contrast by contrast."""
    return {c: torch.stack([v[c] for v in volumes]).mean(0) for c in volumes[0]}
