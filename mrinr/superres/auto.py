"""Choosing method, prior weight and slice profile by hidden slices."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from mrinr.context import Context
from mrinr.superres import cubic, hidden, tv
from mrinr.superres.guided import plan
from mrinr.superres.methods import solver
from mrinr.superres.problem import Problem

PROFILES = ("box", "gaussian", "point")
# Trial runs are shorter than the real one; they rank alike.
TRIAL: dict[str, dict[str, Any]] = {
    "tv": {"outer": 4, "inner": 6},
    "guided": {"rounds": 1, "steps": 400},
}
# A hidden thick slice hardly sees noise that varies along the slice axis, so its error favours too little
# smoothing: the default weight stays unless another is better by this factor.
CLEARLY_BETTER = 0.965


@dataclass(eq=False)
class Choice:
    """What to run, why, and the self-check of it."""

    method: str
    settings: dict[str, Any]
    profile: str
    reason: str
    self_check: dict[str, Any]
    candidates: list[dict[str, Any]] = field(default_factory=list)


def candidates(problem: Problem) -> list[tuple[str, dict[str, Any]]]:
    """What fits the stacks: (method, settings), a method's default before its alternatives."""
    found: list[tuple[str, dict[str, Any]]] = [("tv", {"weight": tv.WEIGHT * f}) for f in (1, 1 / 3, 3)]
    if plan(problem):
        found.append(("guided", {}))
    return found


def choose(problem: Problem, context: Context, profile: str) -> Choice:
    """Run every candidate on a central block with hidden slices; the smallest error wins."""
    box = "box" if profile == "auto" else profile
    trial = hidden.hide(hidden.central_block(problem, box))
    floor = trial.errors(cubic.solve(trial.problem, context).volumes)
    options = candidates(trial.problem)
    if not floor:
        method = options[-1][0] if options[-1][0] == "guided" else "tv"
        reason = f"{method} fits the stacks; they have too few slices to hide one and compare"
        return Choice(method, {}, box, reason, hidden.self_check({}, {}, 0))
    rows: list[dict[str, Any]] = [{"method": "cubic", "settings": {}, "profile": box, "error": floor}]
    for n, (method, own) in enumerate(options):
        context.progress(n / (len(options) + 2), f"Trying {method} on hidden slices")
        volumes = solver(method)(trial.problem, context.quiet(), **own, **TRIAL[method]).volumes
        rows.append({"method": method, "settings": own, "profile": box, "error": trial.errors(volumes)})
    best = _best(rows)
    if profile == "auto" and best["method"] == "tv" and _can_tell_profile(problem):
        for other in PROFILES[1:]:
            context.progress(0.9, f"Trying a {other} slice profile on hidden slices")
            again = hidden.hide(hidden.central_block(problem, other))
            volumes = tv.solve(again.problem, context.quiet(), **best["settings"], **TRIAL["tv"]).volumes
            rows.append({**best, "profile": other, "error": again.errors(volumes)})
        best = min((r for r in rows if r["settings"] == best["settings"]), key=score)
    check = hidden.self_check(best["error"], floor, trial.count)
    return Choice(best["method"], best["settings"], best["profile"], _reason(best, rows), check, rows)


def fixed(problem: Problem, context: Context, method: str, profile: str, settings: dict[str, Any]) -> Choice:
    """The method that the person asked for, with its self-check on a central block."""
    box = "box" if profile == "auto" else profile
    trial = hidden.hide(hidden.central_block(problem, box))
    floor = trial.errors(cubic.solve(trial.problem, context).volumes)
    errors = floor
    if floor and method != "cubic":
        context.progress(0.1, "Checking on hidden slices")
        errors = trial.errors(solver(method)(trial.problem, context.quiet(), **settings).volumes)
    return Choice(method, settings, box, "asked for", hidden.self_check(errors, floor, trial.count))


def score(row: dict[str, Any]) -> float:
    """Geometric mean of the error over contrasts, so that no contrast's scale counts more."""
    return math.exp(sum(math.log(max(e, 1e-6)) for e in row["error"].values()) / len(row["error"]))


def _best(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The best method, each with its default settings unless others are clearly better."""
    winners = []
    for method in dict.fromkeys(row["method"] for row in rows):
        default, *others = [row for row in rows if row["method"] == method]
        better = [r for r in others if score(r) < CLEARLY_BETTER * score(default)]
        winners.append(min(better, key=score) if better else default)
    return min(winners, key=score)


def _can_tell_profile(problem: Problem) -> bool:
    """Three stacks of one contrast over-determine the volume; fewer cannot tell one profile from another."""
    return any(len(problem.of(c)) >= 3 for c in problem.contrasts)


def _reason(best: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    def text(row: dict[str, Any]) -> str:
        settings = "".join(f" {k} {v:g}" for k, v in row["settings"].items())
        return f"{row['method']}{settings} ({row['profile']}) {100 * score(row):.2f} %"

    tried = ", ".join(text(row) for row in sorted(rows, key=score))
    return f"chosen by the error on hidden slices: {text(best)}; tried {tried}"
