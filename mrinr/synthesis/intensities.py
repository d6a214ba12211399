"""What a target's intensity is where scans have theirs, read from voxels alone.

A network that looks at neighbourhoods cannot tell a sequence's timing from the few tissues around a place.
All voxels of a brain together can: this one looks at a sample of them, wherever they lie, and knows from it
which intensities of the target go with which of the scans in this patient. No paper of the five has it; that
a function of a set is one of a sum over its members is from Zaheer 2017 (Deep sets, theorem 2), here with the
mean and the root mean square over a sample in the place of the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mrinr import bundles
from mrinr.errors import InputError
from mrinr.synthesis import INPUTS

MODEL = "intensities-compact"
TOLD_BY = 4096  # voxels that tell what the patient's scans are like; training makes do with means over fewer


class IntensityMap(nn.Module):
    """Voxels of a brain (n, v, sequences) to what they would be in every sequence, (n, v, sequences).

    Parameters
    ----------
    width : of the layers that see one voxel
    summary : numbers that stand for a patient's scans
    """

    def __init__(self, width: int = 96, summary: int = 128) -> None:
        super().__init__()
        if min(width, summary) < 1:
            raise InputError("A map of intensities has sizes of at least 1.")
        seen = 2 * len(INPUTS)
        self.look = nn.Sequential(
            nn.Linear(seen, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, summary)
        )
        self.sum = nn.Sequential(
            nn.Linear(2 * summary, summary), nn.SiLU(), nn.Linear(summary, summary), nn.SiLU()
        )
        self.first = nn.Linear(seen, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.told = nn.ModuleList(nn.Linear(summary, width) for _ in range(3))
        self.last = nn.Linear(width, len(INPUTS))

    def forward(self, voxels: Tensor, there: Tensor, sample: Tensor) -> Tensor:
        """Intensities of all sequences where the scans have those of `voxels`; brain medians.

        Parameters
        ----------
        voxels : (n, v, sequences), brain medians, in the order of `INPUTS`
        there : (n, sequences), 1 for the scans that there are; what the others hold does not matter
        sample : (n, u, sequences), voxels drawn from all of the brain
        """
        told = self.summary(sample, there)[:, None]
        x = functional.silu(self.first(_shown(voxels, there)) + self.told[0](told))
        for layer, of_all in zip(self.layers, self.told[1:], strict=True):
            x = x + functional.silu(layer(x) + of_all(told))
        return functional.softplus(self.last(x) + 1)

    def summary(self, sample: Tensor, there: Tensor) -> Tensor:
        """(n, summary): what is to be known of the scans, whatever the order of the sample."""
        each = self.look(_shown(sample, there))
        size = each.square().mean(1).add(1e-6).sqrt()
        return self.sum(torch.cat([each.mean(1), size], -1))


def _shown(voxels: Tensor, there: Tensor) -> Tensor:
    there = there[:, None].expand_as(voxels)
    return torch.cat([voxels.log1p() * there, there], -1)


@dataclass(frozen=True, eq=False)
class Readings:
    """The map that ships, for one model of synthesis.

    taught : targets that somebody taught that model with real scans, whose levels the map does not know
    """

    network: IntensityMap
    facts: dict[str, str]
    taught: tuple[str, ...]

    @classmethod
    def shipped(cls, taught: Sequence[str]) -> Readings | None:
        """None where the map does not ship. Raises InputError where it is damaged."""
        if not bundles.ships(MODEL):
            return None
        bundle = bundles.find(MODEL)
        network = bundle.network()
        assert isinstance(network, IntensityMap)
        facts = {"model": bundle.name, "weights_sha256": bundle.sha256}
        return cls(network, facts, tuple(taught))

    def said(self, target: str) -> dict[str, str] | None:
        """What reads the levels of `target`; None where nothing does."""
        return None if target in self.taught else self.facts

    def reader(self, names: Sequence[str], target: str) -> Callable[[Tensor], Tensor] | None:
        """A function from voxels (v, names) to intensities of `target`, (v,); brain medians.

        The voxels are drawn at random from one brain: the first TOLD_BY tell what its scans are like. None
        for a target that was taught.
        """
        if target in self.taught:
            return None
        at = [INPUTS.index(name) for name in names]
        there = torch.zeros(1, len(INPUTS))
        there[0, at] = 1

        def read(voxels: Tensor) -> Tensor:
            every = voxels.new_zeros(1, len(voxels), len(INPUTS))
            every[0, :, at] = voxels
            with torch.inference_mode():
                return self.network(every, there, every[:, :TOLD_BY])[0, :, INPUTS.index(target)]

        return read
