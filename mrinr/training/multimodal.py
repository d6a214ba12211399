"""Training the modality-invariant model (Joyce 2017, section 4): the paper's terms, and the interval."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mrinr.synthesis.multimodal import Multimodal, fuse, moved_by
from mrinr.synthesis.prediction import Prediction
from mrinr.training.batch import Batch
from mrinr.training.recipe import descend, mean_absolute, pinball, warm_cosine

OUTSIDE = 0.15  # weight of what is not brain: skull and scalp are drawn, but not at the brain's cost
AROUND, FLUID = 0.7, 7  # weight of the fluid around the brain, and how many pixels it reaches
DISEASE = 20.0  # added to the weight of lesions: few voxels, and what people look for
LEVER = 50.0  # pixels, about the radius of a brain
PER_PIXEL = 0.02  # loss for a pixel of misalignment
PRACTICE = (0.17, 4.0, 4.0)  # largest motion that the spatial transformer practises on: radians, pixels


class ModalityInvariant:
    """Fused error + each input's own error + variance of the latents, weights 1 as in the paper.

    The spatial transformer also practises on motions made for it; the paper has no such term.
    With `alone` the model learns from all of its inputs together only: it is no model for a part of them.
    """

    def __init__(self, network: Multimodal, rate: float = 1e-3, alone: bool = False) -> None:
        self.alone = alone
        self.networks: dict[str, nn.Module] = {"generator": network}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "generator": torch.optim.Adam(network.parameters(), rate)
        }

    def decay(self, fraction: float) -> float:
        return warm_cosine(fraction)

    def step(self, batch: Batch, accelerator: Any) -> dict[str, float]:
        model, optimizer = self.networks["generator"], self.optimizers["generator"]
        assert isinstance(model, Multimodal)
        with accelerator.autocast():
            losses = terms(model, batch, self.alone)
        return descend(model, optimizer, losses, accelerator)

    def predict(self, network: nn.Module, batch: Batch, target: str) -> Prediction:
        return in_float(network(batch.seen, target=target))


def terms(model: Multimodal, batch: Batch, alone: bool = False) -> dict[str, torch.Tensor]:
    """The terms of the loss.

    Encoders cost the most, so that each batch is encoded once and decoded often: every target from a subset
    of the inputs of its own, and one target from one input alone (the paper's second term, drawn).
    With `alone` from all inputs only, and the terms that make latents alike are left out.
    """
    encoded = model.encode(batch.seen)
    latents, _ = model.align(encoded)
    weight = importance(batch.brain) + DISEASE * batch.lesions
    losses = dict.fromkeys(("fused", "interval"), batch.brain.new_zeros(()))
    for target, truth in batch.clean.items():
        subset = list(latents) if alone else random.sample(list(latents), random.randint(1, len(latents)))
        found = in_float(model.decode(fuse({name: latents[name] for name in subset}), target))
        losses["fused"] = losses["fused"] + mean_absolute(found.mean, truth, weight) / len(batch.clean)
        losses["interval"] = losses["interval"] + pinball(found, truth, weight) / len(batch.clean)
    if len(latents) > 1 and not alone:
        target, latent = random.choice(list(batch.clean)), random.choice(list(latents.values()))
        found = in_float(model.decode(latent, target))
        losses["own"] = mean_absolute(found.mean, batch.clean[target], weight)
        losses["variance"] = _variance([z.float() for z in latents.values()])
    if len(latents) > 1:
        losses["motion"] = PER_PIXEL * _misalignment(model, encoded, batch)
    return losses


def importance(brain: torch.Tensor) -> torch.Tensor:
    """How much each pixel's error counts, by the mask of the brain (n, 1, h, w), lesions apart."""
    around = functional.max_pool2d(brain, 2 * FLUID + 1, 1, FLUID)
    return OUTSIDE + (AROUND - OUTSIDE) * around + (1 - AROUND) * brain


def _variance(latents: list[torch.Tensor]) -> torch.Tensor:
    """Over the inputs, averaged over voxels; written out, because `Tensor.var` is slow along a short axis."""
    mean = sum(latents) / len(latents)
    return torch.stack([(z - mean).square().mean() for z in latents]).mean()


def _misalignment(model: Multimodal, encoded: Mapping[str, torch.Tensor], batch: Batch) -> torch.Tensor:
    """How many pixels the spatial transformer is off for two latents, one of them moved anew.

    The motions of the scans themselves are mostly none, and the median of that is none: they teach nothing.
    """
    fixed, moving = random.sample(list(encoded), 2)
    latent = encoded[fixed].detach()
    still = latent.new_zeros(len(latent), 3, dtype=torch.float32)
    there, back = batch.motion.get(moving, still), inverse(batch.motion.get(fixed, still))
    wanted = still.new_tensor(PRACTICE) * (2 * torch.rand_like(still) - 1) * torch.rand_like(still[:, :1])
    moved = moved_by(encoded[moving].detach(), after(there, after(back, inverse(wanted))))
    return (_corners(model.transformer(latent, moved)) - _corners(wanted)).abs().mean()


def after(second: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """The motion (n, 3) that takes a pixel where `second` takes it from where `first` took it."""
    cos, sin = second[:, 0].cos(), second[:, 0].sin()
    angle, down, right = first.unbind(1)
    return second + torch.stack([angle, sin * right + cos * down, cos * right - sin * down], 1)


def inverse(motion: torch.Tensor) -> torch.Tensor:
    """The motion (n, 3) that undoes `motion`."""
    turn, shift = motion * motion.new_tensor([1, 0, 0]), motion * motion.new_tensor([0, 1, 1])
    return after(-turn, -shift)


def in_float(found: Prediction) -> Prediction:
    return Prediction(*(x.float() for x in found))


def _corners(motion: torch.Tensor) -> torch.Tensor:
    """Where (n, 3) motions take points LEVER pixels from the middle, in pixels."""
    angle, down, right = motion.float().unbind(1)
    turn, shift = torch.stack([angle.cos() - 1, angle.sin()], 1) * LEVER, torch.stack([down, right], 1)
    return torch.cat([turn + shift, turn.flip(1) - shift], 1)
