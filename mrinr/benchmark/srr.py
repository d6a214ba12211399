"""Super-resolution reconstruction with first-order Tikhonov regularisation: the rival of the IREM paper.

As Ebner et al. (NeuroImage 2020, eq. 2, without their outlier rejection): minimises, for each contrast,

    1/2 sum_s w |A_s x - y_s|^2 + weight / 2 |grad x|^2

by conjugate gradients. Meant for operators A_s with a Gaussian slice profile; no part of the product.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mrinr.context import Context
from mrinr.superres import cubic
from mrinr.superres.problem import Problem, Solution
from mrinr.superres.tv import add_smoothness, conjugate_gradient

WEIGHT = 0.01
STEPS = 30


def solve(problem: Problem, context: Context, weight: float = WEIGHT, steps: int = STEPS) -> Solution:
    """From averaged cubic interpolation."""
    spacing = problem.grid.spacing
    scale = [float(spacing.min() / s) for s in spacing]
    even = torch.ones(problem.grid.shape, device=problem.device)
    volumes = cubic.solve(problem, context).volumes
    for contrast in problem.contrasts:
        observations = problem.of(contrast)

        def system(x: Tensor, observations=observations) -> Tensor:
            context.check()
            out = torch.zeros_like(x)
            for o in observations:
                out += o.operator.adjoint(o.operator.forward(x) * o.weight)
            return add_smoothness(out, x, even, scale, weight)

        b = torch.zeros(problem.grid.shape, device=problem.device)
        for o in observations:
            b += o.operator.adjoint(o.values * o.weight)
        volumes[contrast] = conjugate_gradient(system, b, volumes[contrast], steps)
    return Solution(volumes, notes={"weight": weight})
