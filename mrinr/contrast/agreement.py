"""Several scans of a head on one scale: what each says of the other decides how bright they are beside it.

A gain is known from percentiles in the brain only (`scale.scale`), to some percent where white and
grey matter are alike and to more where they differ much; features of two scans can be averaged only where
they mean the same brightness.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from mrinr.contrast.network import ContrastRepresentation
from mrinr.contrast.scale import Scale

SLICES = 6  # that are looked at
DOUBT = 0.1  # how far off it is what one scan says of another, as a logarithm


def factors(
    network: ContrastRepresentation,
    images: Sequence[np.ndarray],
    times: torch.Tensor,
    scales: Sequence[Scale],
    brain: np.ndarray,
) -> list[float]:
    """What each image has to be multiplied by so that all have one scale, the likeliest.

    The scale of one beside the first is the geometric mean of two answers: the first image over what the
    other predicts of it, and what the first predicts of the other over that. Least squares weigh these
    answers and the images' own gains by how far off they usually are.

    Parameters
    ----------
    images : (k, h, w) each, on the physical scale by their own gain
    times : (images, 3)
    scales : of the images
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
        features = [
            network.encode(x.to(device), t, shifted(scale, 0.0, len(chosen), device))
            for x, t, scale in zip(shown, own, scales, strict=True)
        ]
        beside = np.zeros(len(images))  # logarithms
        for n in range(1, len(images)):
            back = np.log(mean(shown[0]) / mean(network.decode(features[n], own[0]).mean))
            ahead = np.log(mean(network.decode(features[0], own[n]).mean) / mean(shown[n]))
            beside[n] = (back + ahead) / 2
    return _likeliest(beside, [scale.spread for scale in scales])


def _likeliest(beside: np.ndarray, spreads: Sequence[float]) -> list[float]:
    """Factors whose logarithms x are 0, give or take `spreads`, and x - x[0] `beside`, give or take DOUBT."""
    count = len(beside)
    differences = np.eye(count)[1:] - np.eye(count)[0]
    left = np.concatenate([np.eye(count) / np.array(spreads)[:, None], differences / DOUBT])
    right = np.concatenate([np.zeros(count), beside[1:] / DOUBT])
    found = np.linalg.lstsq(left, right, rcond=None)[0]
    return [float(each) for each in np.exp(found)]


def shifted(scale: Scale, factor: float, count: int, device: torch.device) -> torch.Tensor:
    """(count, percentiles): the levels of an image that was brightened by the logarithm `factor`."""
    return torch.from_numpy(scale.levels + np.float32(factor)).to(device).expand(count, -1)
