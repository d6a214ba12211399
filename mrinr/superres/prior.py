"""`guided` led by a learned prior: a small network that has seen many contrasts of other people.

The prior guesses what lies between the slices (`guess`); where another contrast is fine there, a network of
the patient's own learns from in-plane data how to correct the guess (`guided`); joint total variation with
data consistency gives the measured slices the last word. Without such a contrast the guess stays as it is.
"""

from __future__ import annotations

import torch

from mrinr import bundles
from mrinr.bundles import RESTORERS
from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.superres import guided
from mrinr.superres.guess import Guess
from mrinr.superres.prior_network import PlanePrior
from mrinr.superres.problem import Problem, Solution

MODEL = "sr-prior"


def solve(
    problem: Problem,
    context: Context,
    weight: float = guided.WEIGHT,
    anchor: float = guided.ANCHOR,
    rounds: int = 2,
    steps: int = guided.STEPS,
    model: str = MODEL,
) -> Solution:
    """`guided` with the guess of `model`, a name or a folder."""
    guess = Guess(problem, load(model, problem.device))
    solution = guided.solve(problem, context, weight, anchor, rounds, steps, guess=guess)
    solution.notes["prior"] = model
    return solution


def load(model: str, device: torch.device) -> PlanePrior:
    """The network of that name or folder. Raises InputError where it sharpens nothing."""
    bundle = bundles.find(model)
    if bundle.architecture not in RESTORERS:
        raise InputError(
            f"The model {bundle.name} sharpens no slices; name one that `mrinr train prior` made."
        )
    network = bundle.network(device)
    assert isinstance(network, PlanePrior)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
