"""What the worker can do: a name, and the function that does it.

A task is `run(volumes, parameters, context) -> (volumes, report)`: volumes are dicts of `Volume`, parameters
and report are dicts that JSON can carry, context is a `mrinr.context.Context`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.volume import Volume

Task = Callable[[dict[str, Volume], dict[str, Any], Context], tuple[dict[str, Volume], dict[str, Any]]]

TASKS = {
    "superres": "mrinr.superres.task:run",
    "superres_resample": "mrinr.superres.fitted:run",
    "synthesize": "mrinr.synthesis.task:run",
    "finetune": "mrinr.training.task:run",
    "contrast": "mrinr.contrast.task:run",
    "contrast_encode": "mrinr.contrast.task:encode",
    "contrast_slices": "mrinr.contrast.task:slices",
    "contrast_sweep": "mrinr.contrast.task:sweep",
    "contrast_reference": "mrinr.contrast.task:reference",
    "contrast_search": "mrinr.contrast.task:search",
}


def resolve(name: str) -> Task:
    """The function of a task in the table, or of a name such as "package.module:function".

    Raises InputError when there is no such task, ImportError when its module needs what is not installed.
    """
    module, _, function = TASKS.get(name, name).partition(":")
    if not function:
        raise InputError(f"There is no task '{name}'; there are {', '.join(sorted(TASKS))}.")
    task = getattr(import_module(module), function, None)
    if task is None:
        raise InputError(f"There is no task '{name}': {module} has no {function}.")
    return task
