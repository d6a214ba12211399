"""A network that has seen many contrasts: what lies between thick slices, with or without guides.

It works in one plane at a time, whose rows run along the axis that is thick. The target and its guides come
interpolated onto the plane's grid; where each was measured, and how coarsely, is told row by row (column by
column for a guide). No contrast has a place of its own: every guide goes through the same layers, and the
mean of what they find goes on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mrinr.errors import InputError

CUT = 3  # numbers that say how an axis was sampled, see `facts`
RESIDUAL = 0.3


class PlanePrior(nn.Module):
    """The target without the blur of its slices.

    Parameters
    ----------
    width : channels in full resolution
    deep : channels in half resolution
    blocks : residual blocks in half resolution; their dilations are 1, 2, 4, 2, 1, ...
    """

    def __init__(self, width: int = 32, deep: int = 64, blocks: int = 5) -> None:
        super().__init__()
        if min(width, deep, blocks) < 1:
            raise InputError("A prior has sizes of at least 1.")
        self.target = nn.Conv2d(1 + CUT, width, 3, padding=1)
        self.guide = nn.Conv2d(2 + CUT, width, 3, padding=1)
        self.down = nn.Conv2d(width, deep, 4, 2, 1)
        self.blocks = nn.ModuleList(Block(deep, (1, 2, 4, 2)[n % 4]) for n in range(blocks))
        self.up = nn.ConvTranspose2d(deep, width, 2, 2)
        self.late = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, 1, 3, padding=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.last.weight)

    def forward(self, target: Tensor, target_cut: Tensor, guides: Tensor, guides_cut: Tensor) -> Tensor:
        """(n, 1, h, w), the sharp target.

        Parameters
        ----------
        target : (n, 1, h, w) on the robust scale, thick along h
        target_cut : (n, CUT, h, 1), see `facts`
        guides : (n, g, h, w), g may be 0; sharp along h
        guides_cut : (n, g, CUT, 1, w)
        """
        n, count, h, w = guides.shape
        even = (0, -w % 2, 0, -h % 2)
        x = self.target(torch.cat([target, target_cut.expand(n, CUT, h, w)], 1))
        if count:
            both = torch.stack([guides, target.expand_as(guides)], 2)
            seen = torch.cat([both, guides_cut.expand(n, count, CUT, h, w)], 2)
            x = x + self.guide(seen.flatten(0, 1)).unflatten(0, (n, count)).mean(1)
        x = functional.pad(functional.relu(x), even)
        y = self.down(x)
        for block in self.blocks:
            y = y + RESIDUAL * block(y)
        x = functional.relu(x + self.up(functional.relu(y)))
        x = functional.relu(self.late(x))
        return target + self.last(x)[..., :h, :w]


class Block(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(functional.relu(self.first(x)))


def facts(distance: Tensor, gap: float, thickness: float) -> Tensor:
    """(n, CUT, h, w): what the network is told of how an axis was sampled.

    Parameters
    ----------
    distance : (n, h, w) voxels from each voxel's centre to that of the nearest slice that was measured
    gap, thickness : distance of slices and slice thickness in voxels; 1 and 1 for an axis that was not cut
    """
    known = distance.new_tensor([gap / 8, thickness / 8])[None, :, None, None]
    n, h, w = distance.shape
    return torch.cat([distance[:, None] / 4, known.expand(n, 2, h, w)], 1)


def cut(distance: Tensor, gap: float, thickness: float) -> Tensor:
    """(CUT, size): the same of one axis of `size` voxels."""
    return facts(distance[None, :, None], gap, thickness)[0, :, :, 0]
