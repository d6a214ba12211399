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
TRIAL = {
    "tv": {"outer": 4, "inner": 6},
    "guided": {"rounds": 1, "steps": 400},
}  # cheaper settings that rank like the full ones


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
    """What fits the stacks: (method, settings)."""
    found: list[tuple[str, dict[str, Any]]] = [("tv", {"weight": w}) for w in (1e-3, 3e-3, 1e-2)]
    if plan(problem):
        found += [("guided", {"weight": w, "anchor": a}) for w, a in ((1e-3, 0.04), (3e-3, 0.04))]
    return found


def choose(problem: Problem, context: Context, profile: str, settings: dict[str, Any]) -> Choice:
    """Run every candidate on a central block with hidden slices; the smallest error wins."""
    box = "box" if profile == "auto" else profile
    block = hidden.central_block(problem, box)
    trial = hidden.hide(block)
    floor = trial.errors(cubic.solve(trial.problem, context).volumes)
    rows: list[dict[str, Any]] = []
    options = candidates(trial.problem)
    for n, (method, own) in enumerate(options):
        context.progress(n / (len(options) + 2), f"Trying {method} on hidden slices")
        volumes = solver(method)(trial.problem, context.quiet(), **own, **TRIAL.get(method, {})).volumes
        rows.append({"method": method, "settings": own, "profile": box, "error": trial.errors(volumes)})
    if not floor:
        return _without_hidden(problem, box, settings)
    best = min(rows, key=_score)
    if profile == "auto" and best["method"] == "tv" and _can_tell_profile(problem):
        for other in PROFILES[1:]:
            again = hidden.hide(hidden.central_block(problem, other))
            own = {**best["settings"], **TRIAL["tv"]}
            volumes = tv.solve(again.problem, context.quiet(), **own).volumes
            rows.append({**best, "profile": other, "error": again.errors(volumes)})
        best = min(rows, key=_score)
    reason = _reason(best, rows, problem)
    check = hidden.self_check(best["error"], floor, trial.count)
    return Choice(best["method"], {**best["settings"], **settings}, best["profile"], reason, check, rows)


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


def _without_hidden(problem: Problem, profile: str, settings: dict[str, Any]) -> Choice:
    method = "guided" if plan(problem) else "tv"
    reason = f"{method}: the stacks have too few slices to hide one, so nothing could be compared"
    return Choice(method, dict(settings), profile, reason, hidden.self_check({}, {}, 0))


def _score(row: dict[str, Any]) -> float:
    """Geometric mean over contrasts, so that no contrast's scale counts more."""
    return math.exp(sum(math.log(max(e, 1e-6)) for e in row["error"].values()) / len(row["error"]))


def _can_tell_profile(problem: Problem) -> bool:
    """Three stacks of one contrast over-determine the volume; fewer cannot tell one profile from another."""
    return any(len(problem.of(c)) >= 3 for c in problem.contrasts)


def _reason(best: dict[str, Any], rows: list[dict[str, Any]], problem: Problem) -> str:
    errors = ", ".join(
        f"{row['method']} {row['profile']} {_settings_text(row['settings'])}: {100 * _score(row):.2f} %"
        for row in sorted(rows, key=_score)
    )
    return f"{best['method']} predicted hidden slices best ({errors})"


def _settings_text(settings: dict[str, Any]) -> str:
    return " ".join(f"{k}={v:g}" for k, v in settings.items())
