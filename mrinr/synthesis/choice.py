"""Which model predicts a target from the inputs that are there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mrinr import bundles
from mrinr.bundles import Bundle
from mrinr.context import Context
from mrinr.errors import InputError

ANY_SUBSET = ("multimodal",)  # architectures that do with some of their inputs
ORDER = ("multimodal", "local-inr", "pix2pix")


def choose_model(
    wanted: str | Path, inputs: Iterable[str], target: str, context: Context
) -> tuple[Bundle, list[str]]:
    """The model, checked, and the inputs that it uses. `wanted` is a name, a folder or "auto".

    Raises InputError where the model does not offer the target or lacks inputs; warns of inputs left unused.
    """
    given = list(inputs)
    if wanted == "auto":
        fitting = [
            b
            for b in bundles.shipped()
            if b.architecture in ORDER and target in b.targets and _used(b, given)
        ]
        if not fitting:
            raise InputError(
                f"No model that comes with MRINR predicts {target} from {', '.join(given)}; see mrinr "
                "models, or train one."
            )
        wanted = min(fitting, key=lambda b: ORDER.index(b.architecture)).folder
    bundle = bundles.find(wanted)
    if bundle.architecture not in ORDER:
        raise InputError(
            f"The model {bundle.name} only looks at inputs and predicts no sequence; choose another."
        )
    if target not in bundle.targets:
        raise InputError(f"The model {bundle.name} predicts {', '.join(bundle.targets)}, not {target}.")
    used = _used(bundle, given)
    if not used:
        need = (
            " or ".join(bundle.inputs) if bundle.architecture in ANY_SUBSET else " and ".join(bundle.inputs)
        )
        raise InputError(f"The model {bundle.name} needs {need}; the inputs are {', '.join(given)}.")
    unused = [name for name in given if name not in used]
    if unused:
        context.warn(f"The model {bundle.name} does not use {', '.join(unused)}.")
    return bundle, used


def _used(bundle: Bundle, given: list[str]) -> list[str]:
    known = [name for name in given if name in bundle.inputs]
    if bundle.architecture in ANY_SUBSET or len(known) == len(bundle.inputs):
        return known
    return []
