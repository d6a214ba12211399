"""IREM as published (Wu et al., MICCAI 2021): one network for several stacks of one contrast.

256 Fourier features; eighteen fully connected layers of 256, each followed by batch normalisation and ReLU,
the input joined again to the sixth and the twelfth layer's output, and a linear output. Mean squared error
on points at the voxel centres of the slices (thickness is ignored, as in the paper), Adam at 1e-4 halved
every 500 epochs, batches of 2500.

Fixed here because the paper does not state it:
- epochs: 100 by default; 1e-4 is then far from converged on few samples, so `learning_rate=1e-3` is a good
  trade where time is short;
- extent of the coordinates: B ~ N(0, 1) is stated for coordinates of no stated unit. With coordinates from -1
  to 1 over the 195 mm of its data set A that is 1/98 cycles/mm, and that is the default in any field of view;
- output: linear, after the eighteenth layer's normalisation and ReLU.
Other differences: stacks are aligned before by this package; batches of one epoch are of nearly equal size; a
problem with several contrasts gets one network for each.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mrinr.context import Context
from mrinr.superres.inr import FourierFeatures, Representation
from mrinr.superres.inr_fit import Recipe, represent
from mrinr.superres.problem import Problem, Solution

FEATURES, WIDTH, LAYERS, JOINED_AFTER = 256, 256, 18, (6, 12)
BANDWIDTH = 1 / 98
EPOCHS, LEARNING_RATE, BATCH, HALVED_EVERY = 100, 1e-4, 2500, 500


class _Coordinates(nn.Module):
    """What the paper's ablation leaves where there are no Fourier features."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, points: Tensor) -> Tensor:
        return points * self.scale


class _Trunk(nn.Module):
    def __init__(self, features: int, bandwidth: float, width: int) -> None:
        super().__init__()
        self.encode = FourierFeatures(features, bandwidth) if features else _Coordinates(bandwidth)
        size = features or 3
        sizes = [size] + [width + size * (n in JOINED_AFTER) for n in range(1, LAYERS)]
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(size, width), nn.BatchNorm1d(width), nn.ReLU()) for size in sizes
        )

    def forward(self, points: Tensor) -> Tensor:
        features = hidden = self.encode(points)
        for n, layer in enumerate(self.layers):
            hidden = layer(torch.cat([hidden, features], dim=1) if n in JOINED_AFTER else hidden)
        return hidden


class Irem(Representation):
    """The network of one contrast, about 1.3 million parameters."""

    def __init__(self, contrasts: int, features: int, bandwidth: float, width: int) -> None:
        super().__init__()
        self.arguments = {
            "contrasts": contrasts,
            "features": features,
            "bandwidth": bandwidth,
            "width": width,
        }
        self.trunk = _Trunk(features, bandwidth, width)
        self.heads = nn.ModuleList([nn.Linear(width, contrasts)])


def solve(
    problem: Problem,
    context: Context,
    epochs: int = EPOCHS,
    learning_rate: float = LEARNING_RATE,
    batch: int = BATCH,
    features: int = FEATURES,
    bandwidth: float = BANDWIDTH,
    width: int = WIDTH,
) -> Solution:
    """Fit one network for each contrast.

    Parameters
    ----------
    features : Fourier features (half of them cosines), 2L in the paper; 0 gives the network the coordinates
    bandwidth : standard deviation of the features' frequencies in cycles/mm
    """
    recipe = Recipe(epochs, learning_rate, batch, lambda done: 0.5 ** (int(done) // HALVED_EVERY))

    def factory(contrasts: int) -> Irem:
        return Irem(contrasts, features, bandwidth, width)

    return represent(problem, context, factory, recipe, [[c] for c in problem.contrasts])
