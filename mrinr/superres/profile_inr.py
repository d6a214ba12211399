"""An implicit neural representation trained through the slice profile, then made consistent with the data.

A split-head network (McGinnis 2023) of a tenth of the published size. Each training item is an acquired
voxel, and its prediction is the mean of the network over points drawn from the voxel's slice profile, anew
at every step and stratified through plane: an unbiased estimate of what the scanner integrated. The weights
kept are a running average over the second half of the fit.

A network of this size smooths. So the result is the joint total variation reconstruction (`tv`) that is
drawn towards the network's volumes: measured slices have the last word, and between them the network fills in
what the data leave open. On another grid it is the network plus the interpolated correction of that step.
"""

from __future__ import annotations

import math
from functools import partial

from torch import Tensor

from mrinr.context import Context
from mrinr.geometry import Grid
from mrinr.superres import cubic, tv
from mrinr.superres.inr import Continuous, SplitHead, fields_of
from mrinr.superres.inr_fit import Recipe, represent
from mrinr.superres.problem import Problem, Solution

FEATURES, WIDTH, LAYERS = 512, 256, 7
BANDWIDTH = 0.03
EPOCHS, LEARNING_RATE, BATCH, POINTS = 20, 2e-3, 1000, 4
AVERAGE = 0.02
WARM_UP = 0.05  # of all epochs
WEIGHT, ANCHOR = 1e-3, 0.04


def solve(
    problem: Problem,
    context: Context,
    epochs: int = EPOCHS,
    learning_rate: float = LEARNING_RATE,
    batch: int = BATCH,
    points: int = POINTS,
    features: int = FEATURES,
    bandwidth: float = BANDWIDTH,
    width: int = WIDTH,
    layers: int = LAYERS,
    early_stop: bool = False,
    weight: float = WEIGHT,
    anchor: float = ANCHOR,
) -> Solution:
    """Fit one network with a head for each contrast through the profiles, then joint TV towards it.

    Parameters
    ----------
    batch : acquired voxels in a step; points : points of the profile for each of them
    features : Fourier features (half of them cosines); width, layers : of the shared part
    bandwidth : standard deviation of the features' frequencies in cycles/mm
    early_stop : stop when the mutual information between the predicted contrasts has settled
    weight, anchor : of total variation, and of the pull towards the network's volumes
    """

    def schedule(done: float) -> float:
        fraction = done / epochs
        return min(1.0, fraction / WARM_UP + 0.01) * 0.5 * (1 + math.cos(math.pi * fraction))

    recipe = Recipe(epochs, learning_rate, batch, schedule, points, AVERAGE, early_stop, half=True)
    network = partial(SplitHead, features=features, bandwidth=bandwidth, width=width, layers=layers)
    fitted = represent(problem, context.stage(0.0, 0.9), network, recipe, [problem.contrasts])
    inr, field = fitted.volumes, fitted.sample
    assert field is not None
    consistent = tv.solve(
        problem, context.stage(0.9, 1.0), weight=weight, start=inr, prediction=inr, anchor=anchor,
        outer=3, inner=6,
    )  # fmt: skip
    correction = {c: consistent.volumes[c] - inr[c] for c in inr}

    def sample(grid: Grid) -> dict[str, Tensor]:
        return {
            c: x + cubic.interpolate(correction[c], problem.grid, grid)[0] for c, x in field(grid).items()
        }

    return Solution(
        consistent.volumes, Continuous(fields_of(field), sample), {**fitted.notes, **consistent.notes}
    )
