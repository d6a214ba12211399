"""A residual generator for comparison (Dar, TMI 2019, pGAN: its generator; Johnson, ECCV 2016).

Deviations: instance norm, upsampling and 3x3 convolutions in place of transposed ones as in `Pix2Pix`, two
more outputs for the 90 % interval. pGAN's perceptual loss is left out: it needs weights that no package has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

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

SIDE = 4  # the image is halved twice


class ResNet(nn.Module):
    """Synthesis of `targets[0]` from all of `inputs`: halved twice, residual blocks, doubled twice."""

    def __init__(
        self, inputs: Sequence[str], targets: Sequence[str], width: int = 64, blocks: int = 9
    ) -> None:
        super().__init__()
        self.inputs, self.targets = one_target(inputs, targets)
        self.body = nn.Sequential(
            convolution(len(self.inputs), width, 7),
            convolution(width, 2 * width, 3, stride=2),
            convolution(2 * width, 4 * width, 3, stride=2),
            *(Residual(4 * width) for _ in range(blocks)),
            nn.Upsample(scale_factor=2),
            convolution(4 * width, 2 * width, 3),
            nn.Upsample(scale_factor=2),
            convolution(2 * width, width, 3),
        )
        self.image = nn.Conv2d(width, 1, 7, padding=3, padding_mode="reflect")
        self.interval = nn.Conv2d(width, 2, 1)
        for output, start in ((self.image, image_start()), (self.interval, INTERVAL_START)):
            assert output.bias is not None
            nn.init.constant_(output.bias, start)

    def forward(self, images: Mapping[str, Tensor], place: Tensor) -> Prediction:
        """Synthesise from `images` (n, 1, h, w) each, any h and w, `place` (n, 2, h, w)."""
        stack = stacked(images, self.inputs, place)
        h, w = stack.shape[-2:]
        x = self.body(reflected(stack, math.ceil(h / SIDE) * SIDE, math.ceil(w / SIDE) * SIDE))[..., :h, :w]
        low, high = interval_from(self.interval(x.detach())).split(1, dim=1)
        return Prediction(image_from(self.image(x)), low, high)


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = convolution(width, width, 3)
        self.second = nn.Sequential(*list(convolution(width, width, 3))[:2])  # no ReLU before the sum

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


def convolution(before: int, after: int, side: int, stride: int = 1) -> nn.Sequential:
    convolved = nn.Conv2d(before, after, side, stride, side // 2, bias=False, padding_mode="reflect")
    return nn.Sequential(convolved, nn.InstanceNorm2d(after, affine=True), nn.ReLU())
