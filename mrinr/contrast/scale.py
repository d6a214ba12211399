"""One gain for a subject: all contrasts on the physical scale on which the proton density of water is 1.

The gain of an image is its median in the brain over the signal that a nominal brain has there, so what is
synthesised on the physical scale comes back in the units of that image by multiplying with its gain.
"""

from __future__ import annotations

import numpy as np

from mrinr.errors import InputError
from mrinr.simulation.signal import Sequence, signal
from mrinr.simulation.tissue import TISSUES

# Half white, half grey matter, the largest parts of every brain; its median lies between the two.
NOMINAL = ("white matter", "grey matter")
BRIGHT = (*NOMINAL, "CSF")
DARKEST = 0.01  # where a sequence nulls a tissue nothing may be divided by its signal


def expected(sequence: Sequence) -> float:
    """The median signal of a nominal brain under `sequence`, PD 1 for water; at least `DARKEST`."""
    return max(float(np.mean([_signal(sequence, name) for name in NOMINAL])), DARKEST)


def brightest(sequence: Sequence) -> float:
    """The signal of the brightest tissue of a nominal brain, in whose units errors are comparable."""
    return max(*(_signal(sequence, name) for name in BRIGHT), DARKEST)


def gain(image: np.ndarray, brain: np.ndarray, sequence: Sequence) -> float:
    """What `image` (voxels, any shape) has to be divided by to lie on the physical scale.

    brain : where the brain is, of the same shape

    Raises InputError where the image is 0 in most of the brain.
    """
    inside = np.asarray(image)[np.asarray(brain) > 0]
    middle = float(np.median(inside)) if inside.size else 0.0
    if not np.isfinite(middle) or middle <= 0:
        raise InputError("The image has no signal in the brain; check that it is an MR image of a head.")
    return middle / expected(sequence)


def _signal(sequence: Sequence, tissue: str) -> float:
    T1, T2, PD, _ = TISSUES[tissue]
    return float(signal(sequence, np.array(T1), np.array(T2), np.array(PD)))
