"""The recipe of the map of intensities: errors in units of each sequence's spread in each brain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from mrinr.synthesis.intensities import IntensityMap
from mrinr.synthesis.prediction import Prediction
from mrinr.training.recipe import descend, warm_cosine
from mrinr.training.voxels import SAMPLE, Voxels

LEAST_SPREAD = 0.1  # brain medians
QUADRATIC = 0.1  # spreads: smaller errors count squared
LEAST, MOST = 0.05, 2.0  # weights of a voxel: rare tissues count more than they are, but not all alike
GAINS = (0.5, 2.0)  # of a match; a faint negative would otherwise match best and never grow


class IntensityRecipe:
    """Robust error as it comes + root of the relative squared error once intensities are matched."""

    def __init__(self, network: IntensityMap, rate: float = 2e-3) -> None:
        self.networks: dict[str, nn.Module] = {"generator": network}
        self.optimizers = {"generator": torch.optim.Adam(network.parameters(), rate)}

    def decay(self, fraction: float) -> float:
        return warm_cosine(fraction)

    def step(self, batch: Voxels, accelerator: Any) -> dict[str, float]:
        network = self.networks["generator"]
        with accelerator.autocast():
            found = network(batch.shown, batch.there, batch.shown[:, :SAMPLE])
        return descend(network, self.optimizers["generator"], terms(found.float(), batch), accelerator)

    def predict(self, network: nn.Module, batch: Voxels, target: str) -> Prediction:
        found = network(batch.shown, batch.there, batch.shown[:, :SAMPLE]).float()[:, None]
        return Prediction(found, torch.zeros_like(found), torch.zeros_like(found))

    def statistics(self, held_out: Sequence[Voxels]) -> dict[str, str]:
        """How much of a sequence's variance is not explained, by the number of scans shown."""
        network = self.networks["generator"].eval()
        explained: dict[int, list[tuple[float, float]]] = {}
        with torch.no_grad():
            for batch in held_out:
                found = self.predict(network, batch, "").mean[:, 0]
                raw = unmatched(found, batch.truth, batch.weight)
                left = matched(found, batch.truth, batch.weight)
                each = torch.stack([raw, left], -1)
                for scans, row, asked in zip(batch.there.sum(1).int(), each, batch.there == 0, strict=True):
                    explained.setdefault(int(scans), []).extend(row[asked].tolist())
        said = {}
        for scans, shares in sorted(explained.items()):
            before, after = np.median(shares, 0)
            said[f"share of a sequence's variance left by {scans} of the others"] = (
                f"median {before:.3f} as it comes, {after:.3f} once matched by the best offset and a gain of "
                f"{GAINS[0]:g} to {GAINS[1]:g}, over {len(shares)} brains and sequences"
            )
        return said


def terms(found: torch.Tensor, batch: Voxels) -> dict[str, torch.Tensor]:
    """The terms of the loss: "level" and "matched"."""
    spread = batch.truth.std(1, keepdim=True) + LEAST_SPREAD
    weight = batch.weight.clamp(LEAST, MOST)
    each = functional.smooth_l1_loss(found / spread, batch.truth / spread, reduction="none", beta=QUADRATIC)
    asked = 1 - batch.there
    level = (each * weight[..., None]).mean(1)
    left = matched(found, batch.truth, weight)
    return {
        "level": (level * asked).sum() / asked.sum(),
        "matched": 0.5 * ((left * asked).sum() / asked.sum() + 1e-4).sqrt(),
    }


def matched(found: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """(n, sequences): share of the truth's variance left after a match by offset and a gain within GAINS."""
    off, wanted = (x - _mean(x, weight) for x in (found, truth))
    gain = (_mean(off * wanted, weight) / (_mean(off.square(), weight) + 1e-6)).clamp(*GAINS)
    return unmatched(gain * off + _mean(truth, weight), truth, weight)


def unmatched(found: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """(n, sequences): share of the truth's variance left as it comes."""
    left = _mean((found - truth).square(), weight)
    spread = _mean((truth - _mean(truth, weight)).square(), weight)
    return (left / (spread + LEAST_SPREAD**2))[:, 0]


def _mean(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (x * weight[..., None]).sum(1, keepdim=True) / weight.sum(1)[:, None, None]
