"""Synthesis as a task of the engine's worker: volumes and plain parameters in, volumes out."""

from __future__ import annotations

from typing import Any

from mrinr.context import Context
from mrinr.synthesis import synthesize
from mrinr.volume import Volume


def run(
    volumes: dict[str, Volume], parameters: dict[str, Any], context: Context
) -> tuple[dict[str, Volume], dict[str, Any]]:
    """Volumes by sequence and the arguments of `synthesize` in.

    Returns "result", "uncertainty", "brain", "disagreement" (with several inputs) and "check_<NAME>"; the
    report is `Synthesis.report`.
    """
    found = synthesize(volumes, context=context, **parameters)
    out = {"result": found.volume, "uncertainty": found.uncertainty, "brain": found.brain}
    if found.disagreement is not None:
        out["disagreement"] = found.disagreement
    out |= {f"check_{name}": volume for name, volume in found.checks.items()}
    return out, found.report
