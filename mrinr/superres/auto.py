"""Choosing method, prior weight and slice profile by hidden slices and by the noise of the stacks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mrinr.context import Context
from mrinr.intensity import foreground_mask, noise_sigma
from mrinr.superres import cubic, hidden, tv
from mrinr.superres.guess import views
from mrinr.superres.guided import plan
from mrinr.superres.methods import solver
from mrinr.superres.problem import Observation, Problem

PROFILES = ("box", "gaussian", "point")
# Trial runs are shorter than the real one; they rank alike.
TRIAL: dict[str, dict[str, Any]] = {
    "tv": {"outer": 4, "inner": 6},
    "guided": {"rounds": 1, "steps": 400},
    "prior": {"rounds": 1, "steps": 400, "compare": False},
}
# Strongest weight of total variation in units of the noise and of the square root of a contrast's number of
# stacks (at most three), as the noise of the summed data term has it.
TV_WEIGHT, MOST_STACKS = 0.115, 3
WEAKER = (1, 4)  # the candidates: the strongest weight divided by these; real texture counts as noise
# One more, for stacks that contradict each other by more than noise: motion, distortion, another scanner.
AGAINST_MISMATCH = 8
PREDICTED_WEIGHT = {"guided": 0.15, "prior": 0.075}  # in units of the noise
LEAST, MOST = 3e-4, 3e-2
LIGHT = 3e-4  # a fit must be free to follow the data, or noise and smoothing choose the profile
# A hidden thick slice hardly sees noise that varies along the slice axis, so its error favours too little
# smoothing: of the weights that follow from the noise the strongest whose error is within this factor of the
# smallest is taken. The one against mismatch is beyond what noise explains, so it must win by more than that.
TOLERANCE = 1.022


@dataclass(eq=False)
class Choice:
    """What to run, why, and the self-check of it."""

    method: str
    settings: dict[str, Any]
    profile: str
    reason: str
    self_check: dict[str, Any]
    candidates: list[dict[str, Any]] = field(default_factory=list)


def candidates(problem: Problem, sigma: float, prior: bool = True) -> list[tuple[str, dict[str, Any]]]:
    """What fits the stacks of noise `sigma`: (method, settings), those of a method in order of preference."""
    strongest = noise_weight("tv", problem, sigma)
    weights = dict.fromkeys(_clipped(strongest * f) for f in (*(1 / f for f in WEAKER), AGAINST_MISMATCH))
    found: list[tuple[str, dict[str, Any]]] = [("tv", {"weight": w}) for w in weights]
    if plan(problem):
        found.append(("guided", {"weight": _clipped(noise_weight("guided", problem, sigma))}))
    if prior and views(problem):
        found.append(("prior", {"weight": _clipped(noise_weight("prior", problem, sigma))}))
    return found


def noise_weight(method: str, problem: Problem, sigma: float) -> float:
    """The weight of total variation in `tv`, `guided` or `prior` that follows from the noise."""
    if method in PREDICTED_WEIGHT:
        return PREDICTED_WEIGHT[method] * sigma
    stacks = min(len(problem.observations) / len(problem.contrasts), MOST_STACKS)
    return TV_WEIGHT * math.sqrt(stacks) * sigma


def _clipped(weight: float) -> float:
    return float(f"{min(max(weight, LEAST), MOST):.2g}")


def noise(problem: Problem) -> float:
    """The median over the stacks of `relative_noise`."""
    return float(np.median([relative_noise(o) for o in problem.observations]))


def relative_noise(o: Observation) -> float:
    """The noise of one stack in units of its contrast's robust scale."""
    volume = o.stack.volume.with_voxels(o.values.cpu().numpy())
    return noise_sigma(volume, o.slice_axis, foreground_mask(volume))


def choose(problem: Problem, context: Context, profile: str, prior: bool = True) -> Choice:
    """Run every candidate on a central block with hidden slices; `preferred` says which wins."""
    evidence = ""
    if profile == "auto" and _can_tell_profile(problem):
        box, evidence = _profile_of(problem, context)
    else:
        box = "box" if profile == "auto" else profile
    trial = hidden.hide(hidden.central_block(problem, box))
    floor = trial.errors(cubic.solve(trial.problem, context).volumes)
    sigma = noise(problem)
    options = candidates(problem, sigma, prior)
    if not floor:
        method, settings = next((o for o in options if o[0] == "guided"), options[0])  # learned from nobody
        reason = f"{method} fits the stacks; they have too few slices to hide one and compare"
        return Choice(method, settings, box, reason, hidden.self_check({}, {}, 0))
    rows: list[dict[str, Any]] = [{"method": "cubic", "settings": {}, "profile": box, "error": floor}]
    for n, (method, settings) in enumerate(options):
        context.progress(n / len(options), f"Trying {method} on hidden slices")
        volumes = solver(method)(trial.problem, context.quiet(), **settings, **TRIAL[method]).volumes
        rows.append({"method": method, "settings": settings, "profile": box, "error": trial.errors(volumes)})
    best = preferred(rows)
    check = hidden.self_check(best["error"], floor, trial.count)
    reason = _reason(best, rows) + evidence
    return Choice(best["method"], best["settings"], box, reason, check, rows)


def fixed(problem: Problem, context: Context, method: str, profile: str, settings: dict[str, Any]) -> Choice:
    """The method that the person asked for, with its self-check on a central block.

    A prior whose weight the person left open follows the noise, as with `choose`.
    """
    if method in ("tv", *PREDICTED_WEIGHT) and "weight" not in settings:
        settings = {**settings, "weight": _clipped(noise_weight(method, problem, noise(problem)))}
    box = "box" if profile == "auto" else profile
    trial = hidden.hide(hidden.central_block(problem, box))
    floor = trial.errors(cubic.solve(trial.problem, context).volumes)
    errors = floor
    if floor and method != "cubic":
        context.progress(0.1, "Checking on hidden slices")
        trial_settings = {**TRIAL.get(method, {}), **settings}
        errors = trial.errors(solver(method)(trial.problem, context.quiet(), **trial_settings).volumes)
    return Choice(method, settings, box, "asked for", hidden.self_check(errors, floor, trial.count))


def score(row: dict[str, Any]) -> float:
    """Geometric mean of the error over contrasts, so that no contrast's scale counts more."""
    return math.exp(sum(math.log(max(e, 1e-6)) for e in row["error"].values()) / len(row["error"]))


def preferred(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The best method, each with the first of its weights that is about as good as its best."""
    winners = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        limit = TOLERANCE * min(score(row) for row in own)
        winners.append(next(row for row in own if score(row) <= limit))
    return min(winners, key=score)


def _can_tell_profile(problem: Problem) -> bool:
    """Three stacks of one contrast over-determine the volume; fewer cannot tell one profile from another."""
    return any(len(problem.of(c)) >= 3 for c in problem.contrasts)


def _profile_of(problem: Problem, context: Context) -> tuple[str, str]:
    """The profile through which the stacks agree best with one volume, and the residuals that say so.

    Unlike a prior's weight, a wrong profile cannot fit the data, so that the fit's own residual tells it.
    """
    residuals = {}
    for profile in PROFILES:
        context.progress(0.0, f"Trying a {profile} slice profile")
        block = hidden.central_block(problem, profile)
        volumes = tv.solve(block, context.quiet(), weight=LIGHT).volumes
        square = count = 0.0
        for o in block.observations:
            square += float((((o.operator.forward(volumes[o.contrast]) - o.values) * o.weight) ** 2).sum())
            count += float(o.weight.sum())
        residuals[profile] = (square / max(count, 1.0)) ** 0.5
    ranked = sorted(residuals, key=lambda p: residuals[p])
    listed = ", ".join(f"{p} {100 * residuals[p]:.2f} %" for p in ranked)
    return ranked[0], f"; slice profile by the residual of the fit: {listed}"


def _reason(best: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    def text(row: dict[str, Any]) -> str:
        settings = "".join(f" {k} {v:g}" for k, v in row["settings"].items())
        return f"{row['method']}{settings} {100 * score(row):.2f} %"

    tried = ", ".join(text(row) for row in sorted(rows, key=score))
    return f"chosen by the error on hidden slices: {text(best)}; tried {tried} ({best['profile']} profile)"
