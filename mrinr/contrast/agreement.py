"""Several scans of a head on one scale: what each says of the other decides how bright they are beside it.

A gain is known from the median in the brain only (`scale.gain`), to some percent where white and grey matter
are alike and to tens of percent where they differ much; features of two scans can be averaged only where they
mean the same brightness.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from mrinr.contrast.network import ContrastRepresentation

SLICES = 6  # that are looked at


def factors(
    network: ContrastRepresentation, images: Sequence[np.ndarray], times: torch.Tensor, brain: np.ndarray
) -> list[float]:
    """What each image has to be multiplied by to have the scale of the first.

    The geometric mean of two answers: the first image over what the other predicts of it, and what the first
    predicts of the other over that.

    Parameters
    ----------
    images : (k, h, w) each, on the physical scale by their own gain
    times : (images, 3)
    brain : (k, h, w) bool
    """
    chosen = np.sort(np.argsort(-brain.sum((1, 2)))[: 4 * SLICES])[:: 4 if len(brain) >= 4 * SLICES else 1]
    inside = torch.from_numpy(brain[chosen])
    if len(images) == 1 or not inside.any():
        return [1.0] * len(images)
    device = next(network.parameters()).device
    shown = [torch.from_numpy(np.ascontiguousarray(x[chosen]))[:, None].float() for x in images]
    own = times.to(device)[:, None].expand(-1, len(chosen), -1)

    def mean(image: torch.Tensor) -> float:
        return max(float(image[:, 0].cpu()[inside].mean()), 1e-6)

    with torch.inference_mode():
        features = [network.encode(x.to(device), t) for x, t in zip(shown, own, strict=True)]
        found = [1.0]
        for n in range(1, len(images)):
            back = mean(shown[0]) / mean(network.decode(features[n], own[0]).mean)
            ahead = mean(network.decode(features[0], own[n]).mean) / mean(shown[n])
            found.append(float(np.sqrt(back * ahead)))
    return found
