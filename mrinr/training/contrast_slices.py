"""Slices of simulated people for the contrast model: several scans, several targets, any times, one gain."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from mrinr.contrast.scale import PERCENTS, scale
from mrinr.simulation.corruption import bias_field, rician
from mrinr.simulation.heads import draw_head
from mrinr.simulation.sequences import GROUPS, SEQUENCES
from mrinr.simulation.signal import Sequence as MRSequence
from mrinr.simulation.tissue import ALL_TISSUES, INDEX, TEXTURE, Scan, draw_scan
from mrinr.synthesis.prediction import BRIGHTEST
from mrinr.training.contrast_sequences import draw
from mrinr.training.simulated import (
    MARGIN,
    SLICES_PER_HEAD,
    Person,
    blurred_in_plane,
    signal_of,
    window,
)
from mrinr.volume import read

POOR = 0.3  # share of slices from scans that are thick or blurred, noisy and shaded
STRIPPED = 0.4
JUDGED = {name: SEQUENCES[name] for name in GROUPS["crl"]}  # targets by which a model is judged
# How far what is taken for the brain is off: shares of tissues (logarithm), for all sources and for each.
OFF, OFF_EACH = 0.3, 0.1
FLUID = 0.12  # most of the fluid around that is in it
DRAWN = 1500  # voxels of a brain that stand for all
BORDER = 0.4  # of them mix two tissues


@dataclass(eq=False)
class Contrasts:
    """Axial slices of 1 mm, rows along R, columns along A; n slices of h x w pixels, float32.

    seen : by source, (n, 1, h, w), as scanned, each divided by its own gain (`scale.gain`)
    clean : by target, (n, 1, h, w): the truth, divided by the gain of the first source
    times : by source and target, (n, 3) TR, TE, TI in ms
    levels : by source, (n, percentiles), of the whole brain (`scale.Scale`)
    ratio : by source, (n, 1, 1, 1): the gain of the first source over its own
    gain : (n, 1, 1, 1), that of the first source; far from 1 where a sequence nulls much of the brain
    brain, lesions : (n, 1, h, w), 0 or 1
    """

    seen: dict[str, torch.Tensor]
    clean: dict[str, torch.Tensor]
    times: dict[str, torch.Tensor]
    levels: dict[str, torch.Tensor]
    ratio: dict[str, torch.Tensor]
    gain: torch.Tensor
    brain: torch.Tensor
    lesions: torch.Tensor

    def to(self, device: torch.device | str) -> Contrasts:
        moved: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            moved[each.name] = (
                {name: x.to(device) for name, x in value.items()}
                if isinstance(value, dict)
                else value.to(device)
            )
        return Contrasts(**moved)


@dataclass(frozen=True)
class Asked:
    """What a batch shows and asks for: so many sources and targets of any times, or the named ones.

    own : sources whose truth is asked for, too
    """

    sources: int = 3
    targets: int = 4
    own: int = 1
    named: Mapping[str, MRSequence] | None = None

    def draw(self, rng: np.random.Generator) -> tuple[dict[str, MRSequence], dict[str, MRSequence]]:
        shown = {f"source {n + 1}": draw(rng, True) for n in range(self.sources)}
        if self.named is not None:
            return shown, dict(self.named)
        wanted = [draw(rng, False) for _ in range(self.targets)] + list(shown.values())[: self.own]
        return shown, {f"target {n + 1}": each for n, each in enumerate(wanted)}


class SimulatedContrasts(IterableDataset[Contrasts]):
    """An endless stream of batches from FreeSurfer-numbered label maps; see `SimulatedSlices`."""

    def __init__(
        self,
        maps: Sequence[Path],
        asked: Asked | None = None,
        size: tuple[int, int] = (96, 96),
        batch: int = 4,
        seed: int = 0,
        pool: int = 8,
    ) -> None:
        super().__init__()
        self.maps, self.asked, self.size, self.batch = list(maps), asked or Asked(), size, batch
        self.seed, self.pool = seed, pool

    def __iter__(self) -> Iterator[Contrasts]:
        worker = get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        people: deque[Person] = deque(maxlen=self.pool)
        slices: list[dict[str, Any]] = []
        for drawn in count():
            if drawn % (SLICES_PER_HEAD if len(people) == self.pool else SLICES_PER_HEAD // 5) == 0:
                path = self.maps[rng.integers(len(self.maps))]
                people.append(Person(draw_head(read(path), rng, lesions="any"), rng))
            person = people[rng.integers(len(people))]
            slices.append(contrasts(person, *self.asked.draw(rng), self.size, rng))
            if len(slices) == self.batch:
                yield stack(slices)
                slices = []


def contrasts(
    person: Person,
    shown: Mapping[str, MRSequence],
    wanted: Mapping[str, MRSequence],
    size: tuple[int, int],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """The fields of `Contrasts` for one slice: a window around a random place in the brain."""
    level = int(rng.choice(person.levels))
    corner = [person.corner(axis, n, rng) for axis, n in enumerate(size)]
    at = [np.arange(c - MARGIN, c + n + MARGIN) for c, n in zip(corner, size, strict=True)]
    inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    scan = draw_scan((len(at[0]), len(at[1]), 1), rng)
    kept = window(person.stripped[:, :, level], *at) if rng.random() < STRIPPED else True
    poor = bool(rng.random() < POOR)
    sharp = person.fractions(level, at, 1)
    found = person.composition * np.exp(OFF * rng.standard_normal(len(person.composition)))
    found[INDEX["CSF"]] += max(rng.uniform(-FLUID, FLUID), 0)

    seen, gains, levels = {}, {}, {}
    for name, sequence in shown.items():
        thickness = int(rng.integers(2, 6)) if poor and rng.random() < 0.6 else 1
        fractions = sharp if thickness == 1 else person.fractions(level, at, thickness)
        shares = found * np.exp(OFF_EACH * rng.standard_normal(len(found)))
        voxels = brain(sequence, scan, shares / shares.sum(), rng)
        unit = max(float(np.median(voxels)), 1e-4)
        image = person.physical(sequence, scan, fractions) / unit
        if poor:
            image = blurred_in_plane(image, rng)
        image = scanned(image, poor, rng) * kept
        gains[name], levels[name], _ = scale(np.percentile(voxels, PERCENTS), sequence)
        seen[name] = (image.clip(0, BRIGHTEST) * unit / gains[name])[inner]
    first = next(iter(gains.values()))
    return {
        "seen": seen,
        "clean": {n: (person.physical(s, scan, sharp) * kept / first)[inner] for n, s in wanted.items()},
        "times": {n: np.array([s.TR, s.TE, s.TI]) for n, s in {**shown, **wanted}.items()},
        "levels": levels,
        "ratio": {name: np.full((1, 1, 1), first / own) for name, own in gains.items()},
        "gain": np.full((1, 1, 1), first),
        "brain": window(person.head.brain[:, :, level], *at)[inner][None],
        "lesions": window(person.head.lesions[:, :, level], *at)[inner][None],
    }


def brain(sequence: MRSequence, scan: Scan, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(DRAWN,) voxels of a brain of that composition, shaded and textured; borders mix two tissues."""
    signals = np.array([0.0, *(signal_of(sequence, scan, name, False) for name in ALL_TISSUES[1:])])
    drawn = signals[rng.choice(len(signals), (2, DRAWN), p=shares)]
    mixed = np.where(rng.random(DRAWN) < BORDER, drawn.mean(0), drawn[0])
    return mixed * np.exp(rng.uniform(TEXTURE, 3 * TEXTURE) * rng.standard_normal(DRAWN))


def scanned(image: np.ndarray, poor: bool, rng: np.random.Generator) -> np.ndarray:
    """`image`, the brain's median at 1, with a coil's shading and noise.

    Greys stay as they are: no curve is applied, or nothing could be learned of relaxation times.
    """
    image = image * bias_field(image.shape, rng, rng.uniform(0, 0.3 if poor else 0.1))
    return rician(image, 1 / (rng.uniform(15, 80) if poor else rng.uniform(30, 200)), rng)


def stack(slices: Sequence[dict[str, Any]]) -> Contrasts:
    """Slices (dicts with the fields of `Contrasts`, arrays without the axis n) as one batch."""

    def joined(each: Sequence[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.stack(each).astype(np.float32))

    def by_name(field: str, channel: bool) -> dict[str, torch.Tensor]:
        made = {name: joined([one[field][name] for one in slices]) for name in slices[0][field]}
        return {name: x[:, None] for name, x in made.items()} if channel else made

    return Contrasts(
        by_name("seen", True),
        by_name("clean", True),
        by_name("times", False),
        by_name("levels", False),
        by_name("ratio", False),
        joined([one["gain"] for one in slices]),
        joined([one["brain"] for one in slices]),
        joined([one["lesions"] for one in slices]),
    )
