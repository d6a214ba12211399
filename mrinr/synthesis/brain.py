"""The brain in a slice of any sequence: a small U-Net at 2 mm, trained on label maps."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class BrainMask(nn.Module):
    """(n, 1, h, w) at 2 mm, in units of about the brain -> (n, 1, h, w) logits of being brain.

    The scale may be off by a factor of two: it is known only once the brain is.
    """

    def __init__(self, width: int = 16, levels: int = 4) -> None:
        super().__init__()
        self.levels = levels
        widths = [width * min(2**n, 4) for n in range(levels)]
        self.down = nn.ModuleList(_block(a, b) for a, b in zip([1, *widths], widths, strict=False))
        self.up = nn.ModuleList(_block(a + b, b) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        h, w = image.shape[-2:]
        step = 2 ** (self.levels - 1)
        # at least 2 x 2 at the bottom: instance norm cannot do with one
        x = functional.pad(image, (0, max(-w % step, 2 * step - w), 0, max(-h % step, 2 * step - h)))
        kept = []
        for n, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if n else x)
            kept.append(x)
        for block, skip in zip(self.up, kept[-2::-1], strict=True):
            x = block(torch.cat([functional.interpolate(x, scale_factor=2, mode="nearest"), skip], 1))
        return self.last(x)[..., :h, :w]


def _block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1),
        nn.InstanceNorm2d(after, affine=True),
        nn.LeakyReLU(0.1),
        nn.Conv2d(after, after, 3, padding=1),
        nn.InstanceNorm2d(after, affine=True),
        nn.LeakyReLU(0.1),
    )


def halved(image: torch.Tensor) -> torch.Tensor:
    """(n, 1, h, w) at 1 mm to the 2 mm that the network sees."""
    return functional.avg_pool2d(image, 2, ceil_mode=True)
