"""The recipe of the local INR and its baseline: L1 and a discriminator of patches (Chen 2023, section 2.4).

What the paper leaves open: the discriminator has instance norm and sees the inputs beside the image, its
noise has the standard deviation NOISE, and the rate is halved at equal distances.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mrinr.errors import InputError
from mrinr.synthesis.local_inr import LocalINR
from mrinr.synthesis.pix2pix import Pix2Pix
from mrinr.synthesis.prediction import Prediction
from mrinr.training.batch import Batch
from mrinr.training.recipe import mean_absolute, pinball

RECONSTRUCTION = 100.0  # lambda_rec
NOISE = 0.05  # on real and synthetic images, in units of the brain's median
RATES = 6  # from the first to 1/32 of it

PRESETS: dict[str, dict] = {
    "paper": {"rate": 1e-4, "discriminator_width": 64, "outside": 1.0},
    "compact": {},
}


class Adversarial:
    """Trains a generator against a discriminator of patches.

    Parameters
    ----------
    rate : of Adam, at the start
    discriminator_width : channels of the discriminator's first convolution
    outside : weight of what is not brain in L1; 1 is the paper's mean over the whole slice
    """

    def __init__(
        self,
        generator: LocalINR | Pix2Pix,
        rate: float = 1e-3,
        discriminator_width: int = 16,
        outside: float = 0.15,
    ) -> None:
        if rate <= 0 or discriminator_width < 1 or not 0 <= outside <= 1:
            raise InputError(
                "Training against a discriminator needs a rate above 0, a discriminator at least 1 wide "
                "and a weight of what is not brain from 0 to 1."
            )
        from monai.losses import PatchAdversarialLoss

        self.inputs, (self.target,), self.outside = generator.inputs, generator.targets, outside
        discriminator = patch_discriminator(len(self.inputs) + 1, discriminator_width)
        self.networks: dict[str, nn.Module] = {"generator": generator, "discriminator": discriminator}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam(network.parameters(), rate, betas=(0.5, 0.999))
            for name, network in self.networks.items()
        }
        self._adversarial = PatchAdversarialLoss(criterion="bce")  # eq. 1

    def decay(self, fraction: float) -> float:
        return 0.5 ** min(int(RATES * fraction), RATES - 1)

    def step(self, batch: Batch, accelerator: Any) -> dict[str, float]:
        """One update of the discriminator, one of the generator; the losses without their weights."""
        given = torch.cat([batch.seen[name] for name in self.inputs], dim=1)
        truth = batch.clean[self.target]
        with accelerator.autocast():
            found = self.networks["generator"](batch.seen, batch.place)

        pair = torch.cat([self._judged(given, truth), self._judged(given, found.mean.detach())])
        real, fake = self._verdicts(pair, accelerator).chunk(2)
        caught = (self._adversarial(real, True, True) + self._adversarial(fake, False, True)) / 2
        self._descend("discriminator", caught, accelerator)

        self.networks["discriminator"].requires_grad_(False)
        fooled = self._adversarial(self._verdicts(self._judged(given, found.mean), accelerator), True, False)
        self.networks["discriminator"].requires_grad_(True)
        weight = self.outside + (1 - self.outside) * batch.brain
        l1, interval = mean_absolute(found.mean, truth, weight), pinball(found, truth, weight)
        self._descend("generator", fooled + RECONSTRUCTION * (l1 + interval), accelerator)
        losses = {"l1": l1, "interval": interval, "adversarial": fooled, "discriminator": caught}
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def predict(self, network: nn.Module, batch: Batch, target: str) -> Prediction:
        if target != self.target:
            raise InputError(f"This model makes {self.target}, not {target}.")
        return network(batch.seen, batch.place)

    def _judged(self, given: Tensor, image: Tensor) -> Tensor:
        """What the discriminator sees of an image."""
        return torch.cat([given, image + NOISE * torch.randn_like(image)], dim=1)

    def _verdicts(self, judged: Tensor, accelerator: Any) -> Tensor:
        with accelerator.autocast():
            return self.networks["discriminator"](judged)[-1].float()

    def _descend(self, name: str, loss: Tensor, accelerator: Any) -> None:
        self.optimizers[name].zero_grad(set_to_none=True)
        accelerator.backward(loss)
        self.optimizers[name].step()


def patch_discriminator(channels: int, width: int) -> nn.Module:
    """Three 4x4 convolutions with stride 2 and two with stride 1, as in the paper; a verdict sees 70 x 70."""
    from monai.networks.nets import PatchDiscriminator

    return PatchDiscriminator(2, width, channels, num_layers_d=3, norm=("INSTANCE", {"affine": True}))
