"""The methods by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from inspect import signature
from math import isfinite
from numbers import Integral, Real

from mrinr.errors import InputError
from mrinr.superres.problem import Solution

_SOLVERS = {
    "cubic": "cubic:solve",
    "tv": "tv:solve",
    "guided": "guided:solve",
    "prior": "prior:solve",
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


def check_settings(name: str, settings: Mapping[str, object]) -> None:
    """Raise InputError for a setting that the method does not have or that is no sensible number."""
    if name == "auto":
        if settings:
            raise InputError(
                f"The method auto chooses its own settings; name a method to set {next(iter(settings))}."
            )
        return
    # what takes a number or a name is a setting; problem, context and volumes to start from are not
    parameters = signature(solver(name)).parameters.values()
    known = {p.name: p.default for p in parameters if isinstance(p.default, bool | int | float | str)}
    for setting, value in settings.items():
        if setting not in known:
            raise InputError(f"The method {name} has no setting '{setting}'; it has {_listed(known)}.")
        kind = type(known[setting])
        if kind is bool:
            fits, wanted = isinstance(value, bool), "True or False"
        elif kind is str:
            fits, wanted = isinstance(value, str), "a name"
        elif kind is int:
            fits, wanted = isinstance(value, Integral) and int(value) >= 1, "a whole number of at least 1"
        else:
            fits = isinstance(value, Real) and isfinite(value) and float(value) >= 0
            wanted = "a number of at least 0"
        if not fits:
            raise InputError(f"The setting {setting} of {name} must be {wanted}, not {value}.")


def _listed(names: Iterable[str]) -> str:
    *rest, last = names or ["none"]
    return f"{', '.join(rest)} and {last}" if rest else last
