"""Simulated MR with known truth: anatomy -> tissue -> signal -> acquisition.

The names below load on first use: sequences and signals are needed where torch is missing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mrinr.simulation.acquisition import acquire, average, bounding_grid, rotation, slice_grid
    from mrinr.simulation.anatomy import Anatomy, from_labels, icbm
    from mrinr.simulation.dataset import simulate
    from mrinr.simulation.lesions import Lesion
    from mrinr.simulation.signal import Sequence
    from mrinr.simulation.subject import Subject, simulate_subject

__all__ = [
    "Anatomy",
    "Lesion",
    "Sequence",
    "Subject",
    "acquire",
    "average",
    "bounding_grid",
    "from_labels",
    "icbm",
    "rotation",
    "simulate",
    "simulate_subject",
    "slice_grid",
]
_FILES = {
    "acquisition": ("acquire", "average", "bounding_grid", "rotation", "slice_grid"),
    "anatomy": ("Anatomy", "from_labels", "icbm"),
    "dataset": ("simulate",),
    "lesions": ("Lesion",),
    "signal": ("Sequence",),
    "subject": ("Subject", "simulate_subject"),
}


def __getattr__(name: str) -> Any:
    for file, names in _FILES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{file}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
