"""The learned prior and its parts as rows of a table, smoothed as `auto` would for the noise there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mrinr.context import Context
from mrinr.superres import auto, cubic, guided, prior, tv
from mrinr.superres.guess import Guess
from mrinr.superres.problem import Problem, Solution

HELD = 1e4  # an anchor beside which slices and smoothness weigh nothing


@dataclass(frozen=True)
class Part:
    """With which model, and how many steps the patient's own network is taught."""

    model: str
    steps: int


def solve(
    problem: Problem, context: Context, row: str, model: str = prior.MODEL, steps: int = guided.STEPS
) -> Solution:
    """One of `ROWS` with that model, the patient's own network taught so many steps."""
    return ROWS[row](problem, Part(model, steps))


def weight_of(method: str, problem: Problem) -> float:
    return auto.noise_weight(method, problem, auto.noise(problem))


def _guess(problem: Problem, part: Part, consistent: bool) -> Solution:
    base = guided.filled(problem, cubic.solve(problem, Context()).volumes, Context())
    found = Guess(problem, prior.load(prior.find(part.model), problem.device)).volumes(base, base, Context())
    if not consistent:
        return Solution({**base, **found})
    return tv.solve(
        problem, Context(), weight_of("prior", problem), {**base, **found}, found, guided.ANCHOR,
        outer=3, inner=6,
    )  # fmt: skip


def _prior(problem: Problem, part: Part, anchor: float) -> Solution:
    weight, steps = weight_of("prior", problem), part.steps
    return prior.solve(problem, Context(), weight, anchor, steps=steps, model=part.model, compare=False)


# The last three are: no word of the patient's own slices, consistent with them, also taught by them.
ROWS: dict[str, Callable[[Problem, Part], Solution]] = {
    "cubic": lambda p, part: cubic.solve(p, Context()),
    "tv": lambda p, part: tv.solve(p, Context(), weight_of("tv", p)),
    "guided": lambda p, part: guided.solve(p, Context(), weight_of("guided", p), steps=part.steps),
    "guess": lambda p, part: _guess(p, part, False),
    "guess + tv": lambda p, part: _guess(p, part, True),
    "prior without data consistency": lambda p, part: _prior(p, part, HELD),
    "prior": lambda p, part: _prior(p, part, guided.ANCHOR),
}
