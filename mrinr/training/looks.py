"""What the recogniser learns from: views of simulated heads in every sequence, and of what is no MR head."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from mrinr.simulation.fields import smooth_noise
from mrinr.simulation.heads import draw_head
from mrinr.simulation.tissue import draw_scan
from mrinr.synthesis import INPUTS
from mrinr.synthesis.recogniser import ANSWERS, FLIPS, SIDE
from mrinr.training.no_head import OTHERS
from mrinr.training.posed import Posed, Sitter
from mrinr.training.simulated import delivered
from mrinr.volume import read

POSES_PER_HEAD = 200  # then a new head takes the place of an old one
SCANS_PER_POSE = 3
OTHER = 0.25  # share of examples that are no MR head
FLIP = 0.2  # share that is flipped along A, and along S
STRIPPED, POOR = 0.5, 0.7  # shares of scans
TEXTURE, GRAIN = 0.05, 4.0  # relative, and over how many pixels it changes


@dataclass(eq=False)
class Looks:
    """A batch of examples.

    views : (n, views, SIDE, SIDE)
    answers : (n, 1, 1, answers), 0 or 1, as `ANSWERS` lists them
    asked : (n, 1, 1, answers), 1 where the answer has a meaning: noise is of no sequence
    """

    views: torch.Tensor
    answers: torch.Tensor
    asked: torch.Tensor

    def to(self, device: torch.device | str) -> Looks:
        return Looks(self.views.to(device), self.answers.to(device), self.asked.to(device))

    # What the loop watches: answers in the place of an image, those asked for in that of the brain.
    @property
    def seen(self) -> dict[str, torch.Tensor]:
        return {}

    @property
    def clean(self) -> dict[str, torch.Tensor]:
        return {"answers": self.answers}

    @property
    def brain(self) -> torch.Tensor:
        return self.asked


class SimulatedLooks(IterableDataset[Looks]):
    """An endless stream of batches from FreeSurfer-numbered label maps; see `SimulatedSlices`."""

    def __init__(self, maps: Sequence[Path], batch: int = 48, seed: int = 0, pool: int = 10) -> None:
        super().__init__()
        self.maps, self.batch, self.seed, self.pool = list(maps), batch, seed, pool

    def __iter__(self) -> Iterator[Looks]:
        worker = get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        people: deque[Sitter] = deque(maxlen=self.pool)
        drawn: list[tuple[np.ndarray, ...]] = []
        for posed in count():
            if posed % (POSES_PER_HEAD if len(people) == self.pool else POSES_PER_HEAD // 20) == 0:
                head = draw_head(read(self.maps[rng.integers(len(self.maps))]), rng, lesions="any")
                people.append(Sitter(head, rng))
            drawn += looks(people[rng.integers(len(people))], rng)
            while len(drawn) >= self.batch:
                chosen, drawn = drawn[: self.batch], drawn[self.batch :]
                views, answers, asked = (
                    torch.from_numpy(np.stack(each).astype(np.float32)) for each in zip(*chosen, strict=True)
                )
                yield Looks(views, answers[:, None, None], asked[:, None, None])


def looks(sitter: Sitter, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Examples from one pose: views, answers and which of these are asked for (see `Looks`)."""
    flipped = rng.random(len(FLIPS)) < FLIP
    posed = Posed(sitter, rng, flipped.tolist())
    for _ in range(SCANS_PER_POSE):
        other = bool(rng.random() < OTHER)
        name = INPUTS[rng.integers(len(INPUTS))]
        answers = np.array([answer == name for answer in INPUTS] + [*flipped, other])
        asked = np.array([not other] * (len(ANSWERS) - 1) + [True])
        if other:
            makers = list(OTHERS)
            image = makers[rng.choice(len(makers), p=list(OTHERS.values()))](sitter, rng)
        else:
            image = posed.image(name, draw_scan((1, 1, 1), rng))
        stripped = not other and rng.random() < STRIPPED
        yield scanned(image, posed, stripped, rng), answers & asked, asked


def scanned(image: np.ndarray, posed: Posed, stripped: bool, rng: np.random.Generator) -> np.ndarray:
    """`image` scaled by the brain's median as the model will see it, with all that spoils scans."""
    flat = image.reshape(-1, SIDE)
    flat = flat * np.exp(TEXTURE * smooth_noise(flat.shape, rng, GRAIN))
    unit = float(np.median(flat[posed.brain.reshape(flat.shape)]))
    flat = flat / max(unit, 1e-3 * float(flat.max()), 1e-6)
    mask = posed.kept.reshape(flat.shape) if stripped else None
    return delivered(flat.astype(np.float32), mask, rng, bool(rng.random() < POOR)).reshape(image.shape)
