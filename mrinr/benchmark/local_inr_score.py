"""Slices that a generator made, scored as in the local INR's paper and honestly beside floors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mrinr.context import Context
from mrinr.metrics import PROTOCOLS, mse, psnr, ssim, ssim_map
from mrinr.synthesis.multimodal import Multimodal
from mrinr.synthesis.slicework import predict
from mrinr.training.batch import Batch
from mrinr.training.export import fitted_floors


def made_by(network: torch.nn.Module, batch: Batch) -> np.ndarray:
    """(n, h, w), what a generator makes of the slices."""
    with torch.inference_mode():
        return network(batch.seen, batch.place).mean[:, 0].float().numpy()


def ships(network: torch.nn.Module, batch: Batch, inputs: Sequence[str], target: str) -> np.ndarray:
    """(n, h, w), what a model that ships makes of these inputs."""
    if not isinstance(network, Multimodal):
        return made_by(network, batch)
    images: Mapping[str, np.ndarray] = {name: batch.seen[name][:, 0].numpy() for name in inputs}
    place = batch.place[0].numpy()  # which it does not look at
    return predict(network, images, place, target, torch.device("cpu"), Context()).mean


def score(images: np.ndarray, batch: Batch, inputs: Sequence[str], target: str, **row: Any) -> dict[str, Any]:
    """Means over the slices of one person.

    mse, ssim, psnr : of the whole crop, scaled by the truth's minimum and maximum, as the paper's table
    brain : PSNR and SSIM in the brain, range: the truth's 99.9th percentile there; floors : their PSNR
    """
    found: dict[str, list[float]] = {}
    for n, image in enumerate(images):
        truth, brain = batch.clean[target][n, 0].numpy(), batch.brain[n, 0].numpy() > 0
        a, b, _, _ = PROTOCOLS["local-inr"](truth, image, brain)
        top = float(np.percentile(truth[brain], 99.9))
        shown = np.stack([batch.seen[name][n, 0].numpy()[brain] for name in inputs], 1)
        numbers = {
            "mse": mse(a, b, None),
            "ssim": ssim(a, b, None, 1.0),
            "psnr": psnr(a, b, None, 1.0),
            "brain psnr": psnr(truth, image, brain, top),
            "brain ssim": float(ssim_map(truth, image, top)[brain].mean()),
        }
        for name, guess in fitted_floors(shown, truth[brain]).items():
            numbers[f"floor {name}"] = psnr(truth[brain], guess, None, top)
        for name, value in numbers.items():
            found.setdefault(name, []).append(value)
    means = {name: float(np.mean(values)) for name, values in found.items()}
    return {**row, "inputs": list(inputs), **means}
