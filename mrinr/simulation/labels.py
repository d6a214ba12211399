"""FreeSurfer's numbers and what they are made of."""

from __future__ import annotations

import numpy as np

from mrinr.simulation.tissue import INDEX

# FreeSurfer numbers, and beyond 500 those of the SynthSeg training maps outside the brain. What is in no row
# (air, cortical bone) gives no signal.
LABELS = {
    "white matter": (2, 7, 25, 41, 46, 57, 77, 85, 136, 137, 163, 164, *range(251, 256), 530),
    "grey matter": (3, 8, 17, 18, 42, 47, 53, 54, 80, *range(1000, 1036), *range(2000, 2036)),
    "deep grey": (9, 10, 11, 12, 26, 28, 48, 49, 50, 51, 58, 60),
    "pallidum": (13, 52),
    "brainstem": (16, 512),
    "CSF": (4, 5, 14, 15, 24, 43, 44, 72, 506),
    "fat": (511, 516),
    "muscle": (507, 508),
    "vessel": (30, 62, 502, 514),
    "mucosa": (509,),
    "choroid plexus": (31, 63),
}
OUTSIDE_BRAIN = range(500, 1000)
NUMBERS = 2100  # labels from here on are taken for 2099, which no tissue has
HEALTHY = {25: 2, 57: 41, 77: 2}  # lesions become white matter
NO_BRAIN = "{} has no FreeSurfer brain labels (2, 3, 41, 42); give a label map."
TISSUE_OF_LABEL = np.zeros(NUMBERS, np.uint8)
for _name, _numbers in LABELS.items():
    TISSUE_OF_LABEL[list(_numbers)] = INDEX[_name]


def is_brain(numbers: np.ndarray) -> np.ndarray:
    """Which labels are brain, the fluid in and around it included."""
    return np.asarray((numbers > 0) & ~((numbers >= OUTSIDE_BRAIN.start) & (numbers < OUTSIDE_BRAIN.stop)))
