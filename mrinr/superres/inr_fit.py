"""Fitting implicit neural representations to samples, with mutual information as a stopping rule."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.metrics import mutual_information
from mrinr.superres import cubic
from mrinr.superres.inr import Continuous, Field, Representation
from mrinr.superres.inr_samples import Samples
from mrinr.superres.problem import Problem, Solution

MI_POINTS, MI_BINS, MI_EPOCHS, MI_CHANGE = 16_384, 32, 4, 1e-4
PREVIEW_SHARE = 20  # fitting takes at least this many times as long as previews


@dataclass(frozen=True)
class Recipe:
    """How a network is fitted.

    batch : acquired voxels in a step; points : network evaluations for each of them (1: the slice's centre)
    schedule : epochs done, fractional -> factor on the learning rate
    average : rate of the running average of the weights over the second half, which is kept; 0 for none
    early_stop : stop when the mutual information between predicted contrasts has settled
    half : bfloat16 where the hardware has it
    weights : of the loss of each contrast; none for 1
    each_epoch : is shown the field after each epoch
    """

    epochs: int
    learning_rate: float
    batch: int
    schedule: Callable[[float], float]
    points: int = 1
    average: float = 0.0
    early_stop: bool = False
    half: bool = False
    weights: tuple[float, ...] = ()
    each_epoch: Callable[[Field], None] | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1 or self.learning_rate <= 0:
            raise InputError("epochs and batch must be at least 1 and the learning rate above 0.")
        if self.weights and not any(self.weights):
            raise InputError("One weight of the loss at least must be above 0.")


def represent(
    problem: Problem,
    context: Context,
    network: Callable[[int], Representation],
    recipe: Recipe,
    groups: list[list[str]],
) -> Solution:
    """Fit a `network(number of contrasts)` to each group of contrasts; evaluate all on the problem's grid."""
    fields: list[Field] = []
    notes: dict[str, Any] = {}
    shown = cubic.solve(problem, context).volumes if problem.on_show is not None else {}
    for n, group in enumerate(groups):
        part = context.stage(0.95 * n / len(groups), 0.95 * (n + 1) / len(groups))
        samples = Samples.of(problem, group)
        field = Field(_build(network, len(group), problem), group, samples.centre, recipe.half)

        def show(field: Field = field) -> None:
            shown.update(field.glimpse(problem.grid, context))
            problem.show(dict(shown))

        facts = fit(field, samples, problem, recipe, part, show if problem.on_show is not None else None)
        notes[", ".join(group)] = {"parameters": field.parameters, **facts}
        fields.append(field)

    def sample(grid: Grid) -> dict[str, Tensor]:
        return {c: x for field in fields for c, x in field.on(grid, context).items()}

    context.progress(0.95, "Evaluating the fitted network")
    return Solution(sample(problem.grid), Continuous(fields, sample), {"networks": notes})


def _build(network: Callable[[int], Representation], contrasts: int, problem: Problem) -> Representation:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(problem.seed)
        return network(contrasts).to(problem.device)


def fit(
    field: Field,
    samples: Samples,
    problem: Problem,
    recipe: Recipe,
    context: Context,
    show: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Fit the field's network in place by Adam; returns facts: epochs, losses, mutual information by epoch.

    The loss is the weighted sum over contrasts of the mean squared error of their voxels in the batch; a
    batch without one contrast leaves that term out. `show` is called now and then.
    """
    generator = torch.Generator().manual_seed(problem.seed)
    points = recipe.points if bool(samples.quantiles.any()) else 1
    weights = recipe.weights or (1.0,) * len(field.contrasts)
    optimiser = torch.optim.Adam(field.network.parameters(), lr=recipe.learning_rate)
    steps = math.ceil(len(samples) / recipe.batch)
    probe = torch.randint(problem.grid.size, (min(MI_POINTS, problem.grid.size),), generator=generator)
    average: list[Tensor] = []
    losses: list[float] = []
    curve: list[float] = []
    watch = _Watch(show)
    field.network.train()
    for epoch in range(recipe.epochs):
        total = torch.zeros((), device=problem.device)
        for step, index in enumerate(samples.batches(recipe.batch, generator)):
            done = epoch + step / steps
            context.progress(done / recipe.epochs, f"Fitting, epoch {epoch + 1} of {recipe.epochs}")
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * recipe.schedule(done)
            with field.precision():
                loss = _loss(field.network, samples, index, points, weights, generator)
            context.check()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.detach()
            if recipe.average and done >= recipe.epochs / 2:
                _update(average, field, recipe.average)
            watch.look()
        losses.append(float(total) / steps)
        if recipe.each_epoch is not None:
            recipe.each_epoch(field)
        if len(field.contrasts) > 1:
            values = field.at(problem.grid, probe.to(problem.device), context)
            curve.append(_mutual_information(values.cpu().numpy()))
            if recipe.early_stop and settled(curve):
                break
    with torch.no_grad():
        for parameter, value in zip(field.network.parameters(), average, strict=False):
            parameter.copy_(value)
    return {
        "epochs": len(losses),
        "loss": losses[-1],
        "losses": [round(v, 7) for v in losses],
        "mutual_information": [round(v, 5) for v in curve],
    }


def _loss(
    network: Representation,
    samples: Samples,
    index: Tensor,
    points: int,
    weights: Sequence[float],
    generator: torch.Generator,
) -> Tensor:
    counts = torch.bincount(samples.contrast[index], minlength=len(samples.contrasts)).tolist()
    if points == 1:
        predicted = network.own(samples.points[index], counts).float()
    else:
        where = samples.around(index, points, generator).reshape(-1, 3)
        predicted = network.own(where, [n * points for n in counts]).float().reshape(-1, points).mean(dim=1)
    parts = zip(predicted.split(counts), samples.values[index].split(counts), strict=True)
    losses = [w * F.mse_loss(a, b) for w, (a, b) in zip(weights, parts, strict=True) if len(a)]
    return torch.stack(losses).sum()


def _update(average: list[Tensor], field: Field, rate: float) -> None:
    current = [p.detach() for p in field.network.parameters()]
    if not average:
        average.extend(p.clone() for p in current)
    for a, b in zip(average, current, strict=True):
        a.lerp_(b, rate)


class _Watch:
    """Calls `show` so seldom that it takes a small share of the time."""

    def __init__(self, show: Callable[[], None] | None) -> None:
        self._show = show
        self._next = time.monotonic() + 1.0

    def look(self) -> None:
        if self._show is not None and time.monotonic() >= self._next:
            start = time.monotonic()
            self._show()
            end = time.monotonic()
            self._next = end + max(1.0, PREVIEW_SHARE * (end - start))


def settled(curve: list[float]) -> bool:
    """True when the mean absolute change over the last four epochs is below 1e-4 nats."""
    if len(curve) <= MI_EPOCHS:
        return False
    return float(np.abs(np.diff(curve[-MI_EPOCHS - 1 :])).mean()) < MI_CHANGE


def _mutual_information(values: np.ndarray) -> float:
    """Mean over all pairs of contrasts (columns), in nats."""
    pairs = [(a, b) for a in range(values.shape[1]) for b in range(a)]
    return float(np.mean([mutual_information(values[:, a], values[:, b], bins=MI_BINS) for a, b in pairs]))
