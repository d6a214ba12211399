"""The methods by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from mrinr.errors import InputError
from mrinr.superres.problem import Solution

_SOLVERS = {
    "cubic": "cubic:solve",
    "tv": "tv:solve",
    "guided": "guided:solve",
    "profile-inr": "profile_inr:solve",
    "best": "best:solve",
    "irem": "irem:solve",
    "single": "multi_contrast:solve_single",
    "vanilla": "multi_contrast:solve_vanilla",
    "split-head": "multi_contrast:solve_split_head",
}


def solver(name: str) -> Callable[..., Solution]:
    """`solve(problem, context, **settings) -> Solution` of a method; InputError when it is not known."""
    if name not in _SOLVERS:
        raise InputError(f"The method '{name}' is not known; use one of auto, {', '.join(_SOLVERS)}.")
    module, function = _SOLVERS[name].split(":")
    return getattr(import_module(f"mrinr.superres.{module}"), function)
