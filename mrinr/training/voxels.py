"""What the map of intensities learns from: voxels of simulated brains in every sequence, without places.

A brain is a list of voxels, each with the tissues that it and its neighbours hold, blurred as a scan blurs
them; signals are the closed forms of `mrinr.simulation.signal`. No image is drawn, so that a scan takes
milliseconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from mrinr.simulation.corruption import gamma, rician
from mrinr.simulation.heads import Head, draw_head
from mrinr.simulation.sequences import SEQUENCES
from mrinr.simulation.tissue import ALL_TISSUES, draw_scan
from mrinr.synthesis import INPUTS
from mrinr.synthesis.head import grown
from mrinr.synthesis.prediction import BRIGHTEST
from mrinr.training.simulated import played, signal_of
from mrinr.volume import read

PLACES, HELD = 20_000, 3  # voxels kept of a head, and tissues of each
RIM = 1_000  # of them, around the brain, where what is read is used, too: bone must not pass for vessels
BLURS = (0.4, 0.9)  # voxels: standard deviation of what a scan mixes
BATCHES_PER_HEAD, SCANS_PER_BATCH = 40, 2  # then a new one takes the place of an old one
NODES = (12, 12, 1)  # voxels, for whose texture a scan is drawn
WHOLE, SLABS = 0.6, (0.08, 1.0)  # chance that all of a brain is scanned, or else which share of it
SAMPLE, RARE = 256, 96  # voxels of a brain: as they come, and those of rare tissues more often
FOR_MEDIAN = 600
SHOWN = (0.1, 0.25, 0.25, 0.2, 0.2)  # chances of one to five scans
# How scans are spoiled: standard deviation of shading at most, signal to noise, share with other greys and
# which, error of the scale.
SHADING, SIGNAL_TO_NOISE, CURVED, CURVES, OFF = 0.05, (15, 135), 0.25, (0.75, 1.35), 0.04


@dataclass(eq=False)
class Voxels:
    """n brains of v voxels in every sequence, brain medians, float32.

    shown : (n, v, sequences), as scanned; the first SAMPLE of them as often as they are in the brain and,
        RIM of PLACES, around it
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
        self, maps: Sequence[Path], batch: int = 64, seed: int = 0, pool: int = 12, scans: int = 3000
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
    """What voxels of a brain hold, from below upwards; how often each is drawn where rare ones are wanted.

    tissues : (PLACES, HELD), indices into ALL_TISSUES
    shares : (PLACES, HELD), sum to 1
    """

    def __init__(self, head: Head, rng: np.random.Generator) -> None:
        drawn = []
        for mask, size in ((head.brain, PLACES - RIM), (grown(head.brain) & ~head.brain, RIM)):
            there = np.argwhere(mask)
            drawn.append(there[rng.integers(len(there), size=size)])
        places = np.concatenate(drawn)
        places = places[np.argsort(places[:, 2], kind="stable")]
        side = np.exp(-0.5 / rng.uniform(*BLURS) ** 2)
        shares = np.zeros((PLACES, len(ALL_TISSUES)), np.float32)
        for step in product((-1, 0, 1), repeat=3):
            at = np.clip(places + step, 0, np.array(head.tissue.shape) - 1)
            shares[np.arange(PLACES), head.tissue[tuple(at.T)]] += side ** np.abs(step).sum()
        self.tissues = np.argsort(-shares, axis=1)[:, :HELD]
        most = np.take_along_axis(shares, self.tissues, 1)
        self.shares = most / most.sum(1, keepdims=True)
        main = self.tissues[:, 0]
        often = np.bincount(main, minlength=len(ALL_TISSUES))[main] / PLACES
        self.chance = often**-0.5


def signals(rng: np.random.Generator) -> np.ndarray:
    """(tissues, textures, 2, sequences) of a scan: by protocols that hospitals may have, by standard ones."""
    scan = draw_scan(NODES, rng)
    found = []
    for name in INPUTS:
        for sequence in (played(name, rng), SEQUENCES[name]):
            of = [signal_of(sequence, scan, tissue, textured=True).ravel() for tissue in ALL_TISSUES[1:]]
            found.append(np.stack([np.zeros_like(of[0]), *of]))  # 0 is air
    return np.stack(found, -1).reshape(*found[0].shape, len(INPUTS), 2).swapaxes(2, 3)


def voxels(scans: np.ndarray, brains: Sequence[Brain], rng: np.random.Generator) -> Voxels:
    """A batch: voxels of each brain in the scans (n, tissues, textures, 2, sequences)."""
    drawn, weight = [], []
    for brain in brains:
        count = PLACES if rng.random() < WHOLE else int(PLACES * rng.uniform(*SLABS))
        first = rng.integers(PLACES - count + 1)
        chance = brain.chance[first : first + count] / brain.chance[first : first + count].sum()
        rare = rng.choice(count, RARE, p=chance)
        usual = [rng.integers(count, size=size) for size in (SAMPLE, FOR_MEDIAN)]
        drawn.append(first + np.concatenate([usual[0], rare, usual[1]]))
        weight.append(np.concatenate([np.ones(SAMPLE), 1 / (count * chance[rare])]))
    both = list(zip(brains, drawn, strict=True))
    tissues = np.stack([brain.tissues[at] for brain, at in both])
    shares = np.stack([brain.shares[at] for brain, at in both])
    texture = rng.integers(scans.shape[2], size=(*tissues.shape[:2], 1))
    each = scans[np.arange(len(scans))[:, None, None], tissues, texture]
    mixed = np.einsum("nvh,nvhws->nvws", shares, each)
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
    image = gamma(image, np.where(rng.random(each) < CURVED, uniform(*CURVES), 1), 1.0)
    return (image * np.exp(OFF * rng.standard_normal(each, dtype=np.float32))).clip(0, BRIGHTEST)
