"""Joint total variation through the slice profile.

Minimises, over all contrasts c at once,

    1/2 sum_s w |A_s x_c(s) - y_s|^2 + weight * sum_voxels sqrt(sum_c |grad x_c|^2 + eps^2)
    (+ 1/2 anchor * sum_c |x_c - z_c|^2 when a prediction z is given)

by iteratively reweighted least squares with conjugate gradients inside. A_s is the acquisition operator,
y_s already has the gain of the contrast's first stack (`gain`). An edge in one contrast makes the same edge
cheaper in the others (vectorial total variation: Sapiro and Ringach 1996; for contrasts: Ehrhardt and
Betcke 2016).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from mrinr.context import Context
from mrinr.superres import cubic
from mrinr.superres.problem import Observation, Problem, Solution

WEIGHT = 3e-3
EPSILON = 5e-3  # of the scaled range: gradients below it count as noise
OUTER, INNER = 6, 8


def conjugate_gradient(apply: Callable[[Tensor], Tensor], b: Tensor, x: Tensor, steps: int) -> Tensor:
    """A few steps of conjugate gradients for the symmetric positive `apply(x) = b`, from `x` (in place)."""
    r = b - apply(x)
    p = r.clone()
    rr = torch.dot(r.flatten(), r.flatten())
    for _ in range(steps):
        if rr == 0:
            break
        q = apply(p)
        alpha = rr / torch.dot(p.flatten(), q.flatten())
        x += alpha * p
        r -= alpha * q
        new = torch.dot(r.flatten(), r.flatten())
        p.mul_(new / rr).add_(r)
        rr = new
    return x


def edge_weights(volumes: list[Tensor], scale: list[float], epsilon: float) -> Tensor:
    """1 / sqrt(sum over contrasts and axes of squared differences + epsilon^2).

    The square is the mean of the forward and the backward difference's, so that no direction of an axis
    counts more than the other.
    """
    total = torch.full_like(volumes[0], epsilon**2)
    for x in volumes:
        for axis in range(3):
            n = x.shape[axis] - 1
            d = torch.diff(x, dim=axis).square_()
            total.narrow(axis, 0, n).add_(d, alpha=scale[axis] ** 2 / 2)
            total.narrow(axis, 1, n).add_(d, alpha=scale[axis] ** 2 / 2)
    return total.rsqrt_()


def add_smoothness(out: Tensor, x: Tensor, edges: Tensor, scale: list[float], weight: float) -> Tensor:
    """out += weight * D^T W D x: D differences of neighbours, W the mean of the two voxels' `edges`."""
    for axis in range(3):
        n = x.shape[axis] - 1
        d = torch.diff(x, dim=axis)
        d.mul_(edges.narrow(axis, 0, n) + edges.narrow(axis, 1, n))
        factor = weight * scale[axis] ** 2 / 2
        out.narrow(axis, 1, n).add_(d, alpha=factor)
        out.narrow(axis, 0, n).sub_(d, alpha=factor)
    return out


def _system(
    context: Context,
    observations: list[Observation],
    edges: Tensor,
    scale: list[float],
    weight: float,
    pull: Tensor | float,
    x: Tensor,
) -> Tensor:
    """The normal equations' left side: sum A^T w A x + weight D^T W D x + pull x."""
    context.check()
    out = x * pull
    for o in observations:
        out += o.operator.adjoint(o.operator.forward(x) * o.weight)
    return add_smoothness(out, x, edges, scale, weight)


def solve(
    problem: Problem,
    context: Context,
    weight: float = WEIGHT,
    start: dict[str, Tensor] | None = None,
    prediction: dict[str, Tensor] | None = None,
    anchor: float = 0.0,
    outer: int = OUTER,
    inner: int = INNER,
) -> Solution:
    """Joint TV reconstruction; `start` warm-starts it, `prediction` pulls its contrasts to z.

    A prediction of exactly 0 pulls nowhere: no stack saw the voxel, or it is air, as the data say, too.
    """
    contrasts = problem.contrasts
    prediction = prediction or {}
    spacing = problem.grid.spacing
    scale = [float(spacing.min() / s) for s in spacing]
    start = start or cubic.solve(problem, context).volumes
    x = {c: start[c].clone() for c in contrasts}
    for iteration in range(outer):
        edges = edge_weights(list(x.values()), scale, EPSILON)
        for n, contrast in enumerate(contrasts):
            context.progress((iteration + n / len(contrasts)) / outer, f"Reconstructing {contrast}")
            observations = problem.of(contrast)
            b = torch.zeros(problem.grid.shape, device=problem.device)
            for o in observations:
                b += o.operator.adjoint(o.values * o.weight)
            pull: Tensor | float = 0.0
            if anchor > 0 and contrast in prediction:
                b.add_(prediction[contrast], alpha=anchor)
                pull = anchor * (prediction[contrast] != 0)
            system = partial(_system, context, observations, edges, scale, weight, pull)
            x[contrast] = conjugate_gradient(system, b, x[contrast], inner)
        problem.show(x)
    return Solution(x, notes={"weight": weight})
