"""The recipe of the learned prior: absolute and squared error of the sharp plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from mrinr.superres.prior_network import PlanePrior
from mrinr.synthesis.prediction import Prediction
from mrinr.training.prior_planes import Planes
from mrinr.training.recipe import descend, mean_absolute, warm_cosine

SQUARED = 10.0  # weight of the squared error beside the absolute one


class PriorRecipe:
    def __init__(self, network: PlanePrior, rate: float = 2e-3) -> None:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.networks: dict[str, nn.Module] = {"generator": network}
        self.optimizers = {"generator": torch.optim.Adam(network.parameters(), rate, betas=(0.9, 0.99))}

    def decay(self, fraction: float) -> float:
        return warm_cosine(fraction)

    def step(self, batch: Planes, accelerator: Any) -> dict[str, float]:
        network = self.networks["generator"]
        with accelerator.autocast():
            found = sharpened(network, batch)
        squared = ((found - batch.truth) ** 2 * batch.brain).sum() / batch.brain.sum()
        losses = {"l1": mean_absolute(found, batch.truth, batch.brain), "squared": SQUARED * squared}
        return descend(network, self.optimizers["generator"], losses, accelerator)

    def predict(self, network: nn.Module, batch: Planes, target: str) -> Prediction:
        image = sharpened(network, batch)
        return Prediction(image, torch.zeros_like(image), torch.zeros_like(image))

    limits = (
        "Says nothing about how sure it is: super-resolution compares it with what was measured.",
        "Knows heads only, in planes of about 0.5 to 1.1 mm, from slices of two to ten times that.",
        "Healthy simulated heads and the real people named: it has seen no tumour.",
    )

    def facts(self, held_out: Sequence[Planes]) -> dict[str, Any]:
        """What a bundle carries beside what every bundle does."""
        network = self.networks["generator"].eval()
        gains: dict[str, list[float]] = {}
        with torch.no_grad():
            for batch in held_out:
                errors = [
                    float((((image - batch.truth) ** 2) * (batch.brain == 1)).sum()) + 1e-9
                    for image in (batch.target, sharpened(network, batch))
                ]
                name = f"gain over cubic interpolation with {batch.guides.shape[1]} guides (dB)"
                gains.setdefault(name, []).append(10 * float(np.log10(errors[0] / errors[1])))
        return {
            "normalisation": {"method": "the 99th percentile of the foreground is 1"},
            "statistics": {
                name: f"median {np.median(each):.2f} over {len(each)} planes"
                for name, each in sorted(gains.items())
            },
        }


def sharpened(network: nn.Module, batch: Planes) -> torch.Tensor:
    return network(batch.target, batch.target_cut, batch.guides, batch.guides_cut).float()
