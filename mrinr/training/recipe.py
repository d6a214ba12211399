"""What the training loop needs of a kind of model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from mrinr.synthesis.prediction import Prediction
from mrinr.training.batch import Batch

if TYPE_CHECKING:
    from accelerate import Accelerator

WARM_UP = 0.02  # of the training


class Recipe(Protocol):
    """Networks and how one batch changes them.

    networks : by name; "generator" is what a bundle keeps
    optimizers : by the name of the network that they change
    """

    networks: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]

    def step(self, batch: Batch, accelerator: Accelerator | Any) -> dict[str, float]:
        """One update of every network; the losses, for people to watch."""

    def decay(self, fraction: float) -> float:
        """The learning rate at `fraction` of the training, in units of that at its start."""

    def predict(self, network: nn.Module, batch: Batch, target: str) -> Prediction:
        """What `network` (the generator, or its average over steps) makes of the inputs of a batch."""


def warm_cosine(fraction: float) -> float:
    """A learning rate that rises from nearly 0 within WARM_UP of the training, then falls as a cosine."""
    if fraction < WARM_UP:
        return (fraction + 1e-3) / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (fraction - WARM_UP) / (1 - WARM_UP))) + 1e-3


def descend(
    model: nn.Module, optimizer: torch.optim.Optimizer, losses: dict[str, torch.Tensor], accelerator: Any
) -> dict[str, float]:
    """One step down the sum of `losses`, the gradient's norm at most 1; the losses, for people to watch."""
    optimizer.zero_grad(set_to_none=True)
    accelerator.backward(sum(losses.values()))
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return {name: float(value.detach()) for name, value in losses.items()}


def pinball(found: Prediction, truth: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Loss that is least when 5 % of `truth` lie below and 5 % above the interval (Koenker 1978).

    The image itself gets no gradient: it is the median by its own loss.
    """
    middle = found.mean.detach()
    total = truth.new_zeros(())
    for sign, end in ((-1.0, found.low), (1.0, found.high)):
        beyond = sign * (truth - middle) - end  # above 0 where the truth lies outside
        total = total + (torch.maximum(0.95 * beyond, -0.05 * beyond) * weight).sum()
    return total / weight.sum()


def mean_absolute(image: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Mean of |image - truth| with weights; 0 where no voxel counts."""
    return ((image - truth).abs() * weight).sum() / weight.sum().clamp_min(1e-6)
