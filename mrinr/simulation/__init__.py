"""Simulated MR with known truth: anatomy -> tissue -> signal -> acquisition."""

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
