"""`guided` led by a learned prior: a small network that has seen many contrasts of other people.

The prior guesses what lies between the slices (`guess`); where another contrast is fine there, a network of
the patient's own learns from in-plane data how to correct the guess (`guided`); joint total variation with
data consistency gives the measured slices the last word. Without such a contrast the guess stays as it is.
"""

from __future__ import annotations

import torch

from mrinr import bundles
from mrinr.bundles import RESTORERS, Bundle
from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.superres import guided
from mrinr.superres.guess import Guess
from mrinr.superres.prior_network import PlanePrior
from mrinr.superres.problem import Problem, Solution

MODEL = "sr-prior"
SHORT = 400  # steps of what the result is compared with


def solve(
    problem: Problem,
    context: Context,
    weight: float = guided.WEIGHT,
    anchor: float = guided.ANCHOR,
    rounds: int = 2,
    steps: int = guided.STEPS,
    model: str = MODEL,
    compare: bool = True,
) -> Solution:
    """`guided` with the guess of a learned prior.

    model : name or folder
    compare : run a short `guided` without the guess, too, to show what the prior moved
    """
    bundle = find(model)
    guess = Guess(problem, load(bundle, problem.device))
    share = 0.75 if compare else 1.0
    solution = guided.solve(problem, context.stage(0.0, share), weight, anchor, rounds, steps, guess=guess)
    solution.notes["prior"] = facts(bundle)
    if compare:
        alone = guided.solve(problem, context.stage(share, 1.0), weight, anchor, 1, min(steps, SHORT)).volumes
        solution.moved = {c: x - alone[c] for c, x in solution.volumes.items()}
    return solution


def find(model: str) -> Bundle:
    """The model of that name or folder. Raises InputError where it sharpens nothing."""
    bundle = bundles.find(model)
    if bundle.architecture not in RESTORERS:
        raise InputError(
            f"The model {bundle.name} sharpens no slices; name one that `mrinr train prior` made."
        )
    return bundle


def load(bundle: Bundle, device: torch.device) -> PlanePrior:
    network = bundle.network(device)
    assert isinstance(network, PlanePrior)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def facts(bundle: Bundle) -> dict[str, str]:
    """What a report says of the model."""
    trained_on = bundle.facts["training"]["data"]
    return {"model": bundle.name, "weights_sha256": bundle.sha256, "trained_on": trained_on}
