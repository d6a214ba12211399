"""Super-resolution as a task of the engine's worker: volumes and plain parameters in, volumes out."""

from __future__ import annotations

from typing import Any

from mrinr.context import Context
from mrinr.superres import reconstruct
from mrinr.superres.fitted import pack
from mrinr.volume import Stack, Volume


def run(
    volumes: dict[str, Volume], parameters: dict[str, Any], context: Context
) -> tuple[dict[str, Volume], dict[str, Any]]:
    """Reconstruct "stack0", "stack1", ... (and optional "like", "mask").

    parameters: contrasts, thickness, slice_axis (lists, one entry a stack; None for the default) and the
    arguments of `reconstruct`. Returns "<contrast>_sr", "<contrast>_residual", "<contrast>_coverage",
    "<contrast>_prior" where a learned prior took part, and
    "rescan0", "rescan1", ...; the report is `Reconstruction.report` and "fitted", see `fitted.pack`.
    """
    parameters = dict(parameters)
    contrasts = parameters.pop("contrasts")
    thickness = parameters.pop("thickness", None) or [None] * len(contrasts)
    axes = parameters.pop("slice_axis", None) or [None] * len(contrasts)
    stacks = [
        Stack(volumes[f"stack{n}"], contrast, axes[n], thickness[n]) for n, contrast in enumerate(contrasts)
    ]
    result = reconstruct(
        stacks, like=volumes.get("like"), mask=volumes.get("mask"), context=context, **parameters
    )
    out: dict[str, Volume] = {}
    for contrast in result.volumes:
        out[f"{contrast}_sr"] = result.volumes[contrast]
        out[f"{contrast}_residual"] = result.residuals[contrast]
        out[f"{contrast}_coverage"] = result.coverage[contrast]
    for contrast, moved in result.moved.items():
        out[f"{contrast}_prior"] = moved
    for n, stack in enumerate(stacks):
        out[f"rescan{n}"] = result.rescanned[stack.volume.name]
    return out, {**result.report, "fitted": pack(result)}
