"""Training the brain mask: any sequence in, the label map's brain out."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mrinr.synthesis.brain import BrainMask, halved
from mrinr.synthesis.prediction import Prediction
from mrinr.training.batch import Batch


class BrainRecipe:
    """Cross entropy and Dice of slices at 2 mm, each input for itself; targets of a batch are not used."""

    def __init__(self, network: BrainMask, rate: float = 2e-3) -> None:
        self.networks: dict[str, nn.Module] = {"generator": network}
        self.optimizers = {"generator": torch.optim.Adam(network.parameters(), rate)}

    def decay(self, fraction: float) -> float:
        return (1 - fraction) ** 0.9 + 1e-3

    def step(self, batch: Batch, accelerator: Any) -> dict[str, float]:
        network, optimizer = self.networks["generator"], self.optimizers["generator"]
        images = halved(torch.cat(list(batch.seen.values())))
        truth = halved(torch.cat([batch.brain] * len(batch.seen)))
        with accelerator.autocast():
            logits = network(images)
        logits = logits.float()
        inside = logits.sigmoid()
        dice = 1 - (2 * (inside * truth).sum() + 1) / (inside.sum() + truth.sum() + 1)
        loss = functional.binary_cross_entropy_with_logits(logits, truth) + dice
        optimizer.zero_grad(set_to_none=True)
        accelerator.backward(loss)
        optimizer.step()
        return {"loss": float(loss.detach()), "dice": 1 - float(dice.detach())}

    def predict(self, network: nn.Module, batch: Batch, target: str) -> Prediction:
        image = network(halved(next(iter(batch.seen.values())))).sigmoid()
        image = functional.interpolate(image, size=batch.brain.shape[-2:], mode="bilinear")
        return Prediction(image, torch.zeros_like(image), torch.zeros_like(image))
