"""The baseline of the local INR: a U-Net generator (Isola, Zhu, Zhou, Efros: CVPR 2017, pix2pix).

Deviations from pix2pix: five levels, which fit the 160 x 128 crops of the local INR's paper (pix2pix has
eight for 256 x 256); instance norm; upsampling and 3x3 convolutions in place of transposed ones, which leave
a checkerboard; two more outputs for the 90 % interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mrinr.errors import InputError
from mrinr.synthesis.prediction import Prediction
from mrinr.synthesis.slicewise import (
    INTERVAL_START,
    image_from,
    image_start,
    interval_from,
    one_target,
    reflected,
    stacked,
)

PRESETS: dict[str, dict] = {
    "paper": {"width": 64, "levels": 5, "dropout": 0.5},
    "compact": {"width": 32, "levels": 5, "dropout": 0.0},
}


class Pix2Pix(nn.Module):
    """Synthesis of `targets[0]` from all of `inputs`; positions are not used.

    Parameters
    ----------
    inputs, targets : sequence names; one target
    width : channels of the first level; the next have 2, 4, 8, 8, ... times as many
    levels : times that the image is halved
    dropout : in the three innermost levels (the noise z of pix2pix), in training only
    """

    def __init__(
        self,
        inputs: Sequence[str],
        targets: Sequence[str],
        width: int = 64,
        levels: int = 5,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.inputs, self.targets = one_target(inputs, targets)
        if width < 1 or levels < 1 or not 0 <= dropout < 1:
            raise InputError(
                "A pix2pix needs a width and levels of at least 1 and a dropout from 0 to below 1."
            )
        sizes = [len(self.inputs)] + [width * min(2**n, 8) for n in range(levels)]
        self.down = nn.ModuleList(
            Down(before, after, norm=0 < n < levels - 1)
            for n, (before, after) in enumerate(zip(sizes[:-1], sizes[1:], strict=True))
        )
        self.up = nn.ModuleList(
            Up(
                sizes[n] * (1 if n == levels else 2),
                sizes[n - 1] if n > 1 else width,
                dropout if n > levels - 3 else 0,
            )
            for n in range(levels, 0, -1)
        )
        self.image, self.interval = nn.Conv2d(width, 1, 1), nn.Conv2d(width, 2, 1)
        for output, start in ((self.image, image_start()), (self.interval, INTERVAL_START)):
            assert output.bias is not None
            nn.init.constant_(output.bias, start)

    def forward(self, images: Mapping[str, Tensor], place: Tensor) -> Prediction:
        """Synthesise from `images` (n, 1, h, w) each, any h and w, `place` (n, 2, h, w)."""
        stack = stacked(images, self.inputs, place)
        h, w = stack.shape[-2:]
        side = 2 ** len(self.down)
        x = reflected(stack, math.ceil(h / side) * side, math.ceil(w / side) * side)
        levels = []
        for down in self.down:
            x = down(x)
            levels.append(x)
        for n, up in enumerate(self.up):
            x = up(x if n == 0 else torch.cat([x, levels[-1 - n]], dim=1))
        x = x[..., :h, :w]
        # The interval learns from what the image knows and does not change it.
        low, high = interval_from(self.interval(x.detach())).split(1, dim=1)
        return Prediction(image_from(self.image(x)), low, high)


class Down(nn.Sequential):
    """Half the size."""

    def __init__(self, before: int, after: int, norm: bool) -> None:
        convolution = nn.Conv2d(before, after, 4, stride=2, padding=1)
        activation = nn.LeakyReLU(0.2)
        super().__init__(convolution, *([nn.InstanceNorm2d(after, affine=True)] if norm else []), activation)


class Up(nn.Module):
    """Twice the size."""

    def __init__(self, before: int, after: int, dropout: float) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.norm = nn.InstanceNorm2d(after, affine=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(F.interpolate(x, scale_factor=2, mode="nearest"))
        return F.relu(self.dropout(self.norm(x)))
