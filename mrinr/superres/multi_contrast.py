"""Multi-contrast implicit neural representations as published (McGinnis et al., MICCAI 2023).

`split-head` is the proposed network: 512 Fourier features, five shared layers of 1024, and for each contrast
a head 1024 -> 512 -> 1 (5.77 million parameters for two contrasts). `vanilla`, the ablation, has the shared
layers and one output for each contrast. `single`, the baseline, is one such network for each contrast.
All train on points at the voxel centres of the slices: thickness is ignored, as in the paper.

Adam at 4e-4 with a cosine schedule stepped by epoch, 50 epochs, batches of 1000 that mix the contrasts.

What differs from the paper or its released code, and why:
- the loss is the mean over the voxels of each contrast, as released (the paper writes sums), and a batch
  without one contrast leaves that term out (released: not a number);
- the bandwidth of the Fourier features is in cycles per millimetre, 4/112, because released coordinates are
  scaled by one number for all axes so that the result depends on the field of view and its origin;
- intensities keep the subject's robust scale instead of each image's minimum and maximum;
- batches of one epoch are of nearly equal size, samples stay on the device;
- mutual information for the early stop is taken over a fixed subsample of the target grid (two contrasts or
  more: the mean over all pairs), and the network at the stop is always kept;
- any number of stacks and contrasts, where the paper has two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from torch import nn

from mrinr.context import Context
from mrinr.superres.inr import Field, FourierFeatures, Representation, SplitHead, perceptron
from mrinr.superres.inr_fit import Recipe, represent
from mrinr.superres.problem import Problem, Solution

FEATURES, WIDTH, LAYERS = 512, 1024, 5
BANDWIDTH = 4 / 112
EPOCHS, LEARNING_RATE, BATCH = 50, 4e-4, 1000


class Vanilla(Representation):
    """One perceptron with an output for each contrast; with one contrast it is `single`'s network."""

    def __init__(self, contrasts: int, features: int, bandwidth: float, width: int, layers: int) -> None:
        super().__init__()
        self.arguments = {
            "contrasts": contrasts,
            "features": features,
            "bandwidth": bandwidth,
            "width": width,
            "layers": layers,
        }
        shared = perceptron([features] + [width] * layers, last=False)
        self.trunk = nn.Sequential(FourierFeatures(features, bandwidth), shared)
        self.heads = nn.ModuleList([nn.Linear(width, contrasts)])


def _solve(
    network: type[Vanilla] | type[SplitHead],
    apart: bool,
    problem: Problem,
    context: Context,
    epochs: int = EPOCHS,
    learning_rate: float = LEARNING_RATE,
    batch: int = BATCH,
    features: int = FEATURES,
    bandwidth: float = BANDWIDTH,
    width: int = WIDTH,
    early_stop: bool = True,
    alpha: float = 1.0,
    beta: float = 1.0,
    each_epoch: Callable[[Field], None] | None = None,
) -> Solution:
    """Fit one `network` for all contrasts, or one for each.

    Parameters
    ----------
    apart : one for each contrast, which therefore never stops early and has no weights
    epochs : at most this many; the cosine schedule ends there
    features : Fourier features (half of them cosines); width : of the shared layers, heads have half of it
    bandwidth : standard deviation of the features' frequencies in cycles/mm
    early_stop : stop when the mutual information between the predicted contrasts has settled
    alpha, beta : weights of the loss of the first contrast and of every other (eq. 1)
    each_epoch : is shown the network, as a function of space, after each epoch
    """

    def cosine(done: float) -> float:
        return 0.5 * (1 + math.cos(math.pi * int(done) / epochs))

    groups = [[c] for c in problem.contrasts] if apart else [problem.contrasts]
    weights = () if apart else (alpha, *[beta] * (len(problem.contrasts) - 1))
    recipe = Recipe(
        epochs, learning_rate, batch, cosine, early_stop=early_stop, weights=weights, each_epoch=each_epoch
    )
    factory = partial(network, features=features, bandwidth=bandwidth, width=width, layers=LAYERS)
    return represent(problem, context, factory, recipe, groups)


solve_split_head = partial(_solve, SplitHead, False)
solve_vanilla = partial(_solve, Vanilla, False)
solve_single = partial(_solve, Vanilla, True)
