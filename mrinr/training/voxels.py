"""What the map of intensities learns from: voxels of simulated brains in every sequence, without places.

A brain is a list of pairs of neighbouring voxels, so that two tissues mix as often as they meet; signals are
the closed forms of `mrinr.simulation.signal`. No image is drawn, so that a scan takes milliseconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from mrinr.simulation.corruption import rician
from mrinr.simulation.heads import Head, draw_head
from mrinr.simulation.sequences import SEQUENCES
from mrinr.simulation.signal import signal
from mrinr.simulation.tissue import ALL_TISSUES, draw_scan
from mrinr.synthesis import INPUTS
from mrinr.synthesis.prediction import BRIGHTEST
from mrinr.training.simulated import played
from mrinr.volume import read

PAIRS = 20_000  # kept of a head
BATCHES_PER_HEAD, SCANS_PER_BATCH = 40, 2  # then a new one takes the place of an old one
TEXTURES = 16  # of each tissue of a scan
SAMPLE, RARE = 128, 96  # voxels of a brain: as they come, and those of rare tissues more often
FOR_MEDIAN = 400
MIXED = 0.45  # share of voxels that hold two tissues
SHOWN = (0.1, 0.25, 0.25, 0.2, 0.2)  # chances of one to five scans
# How scans are spoiled: largest shading, range of signal to noise, share with other greys, error of scale.
SHADING, SIGNAL_TO_NOISE, CURVED, CURVES, OFF = 0.05, (15, 135), 0.25, (0.75, 1.35), 0.04


@dataclass(eq=False)
class Voxels:
    """n brains of v voxels in every sequence, brain medians, float32.

    shown : (n, v, sequences), as scanned; the first SAMPLE of them as often as they are
    there : (n, sequences), 1 for the scans that are shown
    truth : (n, v, sequences), without noise and by the standard protocols
    weight : (n, v), how often such voxels are beside how often they were drawn
    """

    shown: torch.Tensor
    there: torch.Tensor
    truth: torch.Tensor
    weight: torch.Tensor

    def to(self, device: torch.device | str) -> Voxels:
        return Voxels(**{name: value.to(device) for name, value in vars(self).items()})

    @property
    def asked(self) -> torch.Tensor:
        """(n, v, sequences), the weight of what is not shown."""
        return self.weight[..., None] * (1 - self.there)[:, None]

    # What the loop watches: voxels in the place of an image, those asked for in that of the brain.
    @property
    def seen(self) -> dict[str, torch.Tensor]:
        return {}

    @property
    def clean(self) -> dict[str, torch.Tensor]:
        return {"intensities": self.truth[:, None]}

    @property
    def brain(self) -> torch.Tensor:
        return self.asked[:, None]


class SimulatedVoxels(IterableDataset[Voxels]):
    """An endless stream of batches from FreeSurfer-numbered label maps; see `SimulatedSlices`.

    scans : kept at once
    """

    def __init__(
        self, maps: Sequence[Path], batch: int = 96, seed: int = 0, pool: int = 12, scans: int = 3000
    ) -> None:
        super().__init__()
        self.maps, self.batch, self.seed = list(maps), batch, seed
        self.pool, self.scans = pool, scans

    def __iter__(self) -> Iterator[Voxels]:
        worker = get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        brains: deque[Brain] = deque(maxlen=self.pool)
        scans: deque[np.ndarray] = deque(maxlen=self.scans)
        for drawn in count():
            # Pools fill while training has begun.
            if drawn % (BATCHES_PER_HEAD if len(brains) == self.pool else BATCHES_PER_HEAD // 8) == 0:
                path = self.maps[rng.integers(len(self.maps))]
                brains.append(Brain(draw_head(read(path), rng, lesions="any"), rng))
            for _ in range(SCANS_PER_BATCH if len(scans) >= self.batch else self.batch):
                scans.append(signals(rng))
            some = rng.choice(len(scans), self.batch, replace=False)
            yield voxels(np.stack([scans[n] for n in some]), [brains[n % len(brains)] for n in some], rng)


class Brain:
    """Pairs of tissues that lie side by side, and how often each is drawn where rare ones are wanted."""

    def __init__(self, head: Head, rng: np.random.Generator) -> None:
        inside = np.argwhere(head.brain)
        first = inside[rng.integers(len(inside), size=PAIRS)]
        step = np.eye(3, dtype=int)[rng.integers(3, size=PAIRS)] * rng.choice([-1, 1], PAIRS)[:, None]
        second = np.clip(first + step, 0, np.array(head.tissue.shape) - 1)
        own, beside = (head.tissue[tuple(at.T)].astype(int) for at in (first, second))
        self.pairs = np.stack([own, np.where(beside > 0, beside, own)])  # 0 is air
        often = np.bincount(own, minlength=len(ALL_TISSUES))[own] / PAIRS
        self.chance = often**-0.5 / (often**-0.5).sum()


def signals(rng: np.random.Generator) -> np.ndarray:
    """(tissues, TEXTURES, 2, sequences) of a scan: by protocols that hospitals may have, by standard ones."""
    scan = draw_scan((12, 12, 1), rng)
    found = np.zeros((len(ALL_TISSUES), TEXTURES, 2, len(INPUTS)), np.float32)
    for n, name in enumerate(INPUTS):
        for which, sequence in enumerate((played(name, rng), SEQUENCES[name])):
            for tissue in range(1, len(ALL_TISSUES)):  # 0 is air
                nodes = scan.at_nodes(ALL_TISSUES[tissue], sequence.agent)
                found[tissue, :, which, n] = signal(sequence, *(x.ravel()[:TEXTURES] for x in nodes))
    return found


def voxels(scans: np.ndarray, brains: Sequence[Brain], rng: np.random.Generator) -> Voxels:
    """A batch: voxels of each brain in the scans (n, tissues, textures, 2, sequences)."""
    drawn, weight = [], []
    for brain in brains:
        rare = rng.choice(PAIRS, RARE, p=brain.chance)
        drawn.append(
            np.concatenate([rng.integers(PAIRS, size=SAMPLE), rare, rng.integers(PAIRS, size=FOR_MEDIAN)])
        )
        weight.append(np.concatenate([np.ones(SAMPLE), 1 / (PAIRS * brain.chance[rare])]))
    own, beside = np.stack([brain.pairs[:, at] for brain, at in zip(brains, drawn, strict=True)], 1)
    share = np.where(rng.random(own.shape) < MIXED, rng.random(own.shape), 1.0)
    share = share[..., None, None].astype(np.float32)
    texture, which = rng.integers(TEXTURES, size=own.shape), np.arange(len(scans))[:, None]
    mixed = share * scans[which, own, texture] + (1 - share) * scans[which, beside, texture]
    median = np.median(mixed[:, SAMPLE + RARE :], axis=1, keepdims=True)
    found = (mixed[:, : SAMPLE + RARE] / np.maximum(median, 1e-4)).clip(0, BRIGHTEST).astype(np.float32)
    there = np.zeros((len(scans), len(INPUTS)), np.float32)
    for row in there:
        row[rng.choice(len(INPUTS), 1 + rng.choice(len(SHOWN), p=SHOWN), replace=False)] = 1
    return Voxels(
        torch.from_numpy(spoiled(found[:, :, 0], rng)),
        torch.from_numpy(there),
        torch.from_numpy(found[:, :, 1]),
        torch.from_numpy(np.stack(weight).astype(np.float32)),
    )


def spoiled(found: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Voxels (n, v, sequences) as delivered: shading, noise, in some other greys, a wrong scale."""
    each = (len(found), 1, found.shape[2])

    def uniform(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, each).astype(np.float32)

    shading = uniform(0, SHADING) * rng.standard_normal(found.shape, dtype=np.float32)
    image = rician(found * np.exp(shading), 1 / uniform(*SIGNAL_TO_NOISE), rng)
    image **= np.where(rng.random(each) < CURVED, uniform(*CURVES), np.float32(1))
    return (image * np.exp(OFF * rng.standard_normal(each, dtype=np.float32))).clip(0, BRIGHTEST)
