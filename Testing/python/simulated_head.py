"""A small head as a FreeSurfer-numbered label map, made of ellipsoids, on axes like FreeSurfer's."""

from __future__ import annotations

import numpy as np

from mrinr.volume import Volume

LAYERS = {511: 1.0, 507: 0.94, 515: 0.86, 24: 0.80, 3: 0.74, 2: 0.62}  # outside in: number, relative radius


def label_map(outside: bool = True) -> Volume:
    """Skin, muscle, bone, fluid, cortex, white matter, two ventricles, thalami and a sinus; 80 x 96 x 84 mm.

    outside : whether the labels outside the brain are there (a plain aseg has none)
    """
    shape = (84, 88, 100)  # along L, I, A
    left, down, ahead = (np.arange(n) - (n - 1) / 2 for n in shape)
    left, down, ahead = left[:, None, None], down[None, :, None], ahead[None, None, :]
    far = np.sqrt((left / 40) ** 2 + (down / 42) ** 2 + (ahead / 48) ** 2)
    labels = np.zeros(shape)
    for number, radius in LAYERS.items():
        labels[far < radius] = number
    labels[(labels == 3) & (left < 0)] = 42
    labels[(labels == 2) & (left < 0)] = 41
    for number, side in ((4, 1), (43, -1)):
        labels[np.sqrt(((left - 7 * side) / 4) ** 2 + (down / 7) ** 2 + (ahead / 14) ** 2) < 1] = number
    for number, side in ((10, 1), (49, -1)):
        labels[np.sqrt(((left - 8 * side) / 5) ** 2 + ((down - 12) / 4) ** 2 + (ahead / 7) ** 2) < 1] = number
    labels[
        np.broadcast_to((np.abs(left) < 3) & (np.abs(ahead) < 20), shape) & (labels == 24) & (down < 0)
    ] = 514
    if not outside:
        labels[labels > 500] = 0
    affine = np.array([[-1, 0, 0, 42.5], [0, 0, 1, -50], [0, -1, 0, 44], [0, 0, 0, 1.0]])
    return Volume(labels, affine, "ellipsoids")
