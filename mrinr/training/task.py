"""Fine-tuning as a task of the engine's worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mrinr import bundles
from mrinr.context import Context
from mrinr.training.finetune import finetune
from mrinr.volume import Volume


def run(
    volumes: dict[str, Volume], parameters: dict[str, Any], context: Context
) -> tuple[dict[str, Volume], dict[str, Any]]:
    """Volumes "case0_T1", "case0_FLAIR", "case1_T1", ... in; a model folder `out` and the report come of it.

    parameters: model, target, out, and optionally steps, seed, device, threads of `finetune`.
    """
    parameters = dict(parameters)
    cases: dict[str, dict[str, Volume]] = {}
    for key, volume in volumes.items():
        case, _, name = key.partition("_")
        cases.setdefault(case, {})[name] = volume
    model, out = bundles.find(parameters.pop("model")), Path(parameters.pop("out"))
    made, report = finetune(model, list(cases.values()), out, context=context, **parameters)
    return {}, {**report, "bundle": str(made.folder), "weights_sha256": made.sha256}
