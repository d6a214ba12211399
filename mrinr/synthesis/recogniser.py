"""What a volume looks like: which sequence, which way up, and whether it is an MR head at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from mrinr.synthesis import INPUTS
from mrinr.synthesis.head import cut

SIDE = 64  # pixels of a view
AROUND = 0.15  # of the brain's box is shown on either side of it
VIEWS = ((2, 0.3), (2, 0.5), (2, 0.7), (0, 0.45), (1, 0.5))  # axis across, and where in the brain's box
FLIPS = ("back to front", "upside down")  # along A, along S; a swap of left and right nobody can see
ANSWERS = (*INPUTS, *FLIPS, "other")  # what the logits stand for


class Recogniser(nn.Module):
    """(n, views, SIDE, SIDE), the brain's median at 1 -> (n, answers) logits in the order of `ANSWERS`.

    The sequences exclude each other (softmax); the flips and "other" (sigmoid) stand for themselves.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.each = nn.Sequential(  # one view: 64 pixels across, 32, 16, 8, 4
            nn.Conv2d(1, width, 5, stride=2, padding=2),
            nn.LeakyReLU(0.1),
            *_block(width, 2 * width, stride=2),
            *_block(2 * width, 3 * width),
            nn.AvgPool2d(2),
            *_block(3 * width, 4 * width),
            nn.AvgPool2d(2),
            nn.Conv2d(4 * width, width, 1),
            nn.LeakyReLU(0.1),
        )
        self.together = nn.Sequential(
            nn.Dropout(0.2),
            nn.Linear(len(VIEWS) * width * (SIDE // 16) ** 2, 6 * width),
            nn.LeakyReLU(0.1),
            nn.Linear(6 * width, len(ANSWERS)),
        )

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        found = self.each(torch.log1p(views).flatten(0, 1)[:, None])
        return self.together(found.reshape(len(views), -1))


def likely(logits: torch.Tensor) -> torch.Tensor:
    """(n, answers) how likely each answer is, from logits."""
    split = len(INPUTS)
    return torch.cat([logits[:, :split].softmax(1), logits[:, split:].sigmoid()], 1)


def planes(volume: np.ndarray, low: np.ndarray, high: np.ndarray) -> Iterator[np.ndarray]:
    """The five planes of (i, j, k) through the box `low`..`high` and what lies around it; 0 outside."""
    rows = [box_rows(a, b) for a, b in zip(low, high, strict=True)]
    for axis, place in VIEWS:
        level = round(low[axis] + place * (high[axis] - low[axis]))
        level = min(max(level, 0), volume.shape[axis] - 1)
        first, second = (rows[other] for other in range(3) if other != axis)
        plane = volume[(slice(None),) * axis + (level,)]
        yield cut(plane[..., None], first, second)[0]


def box_rows(low: int, high: int) -> np.ndarray:
    """The voxels along one axis of the box that are shown, those around it among them."""
    around = round(AROUND * (high - low))
    return np.arange(low - around, high + around + 1)


def shrunk(images: Sequence[np.ndarray]) -> np.ndarray:
    """Planes of any size as (views, SIDE, SIDE); means over what becomes one pixel."""
    shape = (SIDE, SIDE)
    small = [
        functional.interpolate(torch.from_numpy(x)[None, None], shape, mode="bilinear", antialias=True)
        for x in images
    ]
    return torch.cat(small)[:, 0].numpy()


def views(image: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """What the network is shown of (i, j, k), the brain's median at 1, and its mask."""
    inside = np.argwhere(brain)
    return shrunk(list(planes(image, inside.min(0), inside.max(0))))


def _block(before: int, after: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, after, 3, stride, padding=1), nn.GroupNorm(4, after), nn.LeakyReLU(0.1)
