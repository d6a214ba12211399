"""The rivals of the paper's Table 2, trained for one direction each: pix2pix and a residual generator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mrinr.benchmark.crl_people import Slab
from mrinr.benchmark.resnet import ResNet
from mrinr.context import Context
from mrinr.contrast.scale import expected, scale
from mrinr.simulation.signal import Sequence as MRSequence
from mrinr.synthesis.pix2pix import Pix2Pix
from mrinr.training.adversarial import Adversarial
from mrinr.training.batch import Batch
from mrinr.training.batch import stack as stacked
from mrinr.training.contrast_slices import Asked, Contrasts, SimulatedContrasts
from mrinr.training.loop import Budget, fit
from mrinr.training.simulated import FEWEST_BRAIN, window

DIRECTIONS = {  # Table 2: name, source, target
    "PD to T2-FLAIR": ("CRL5", "CRL9"),
    "PD to T1-FLAIR": ("CRL5", "CRL1"),
    "PD to T2": ("CRL5", "CRL7"),
    "T2 to PD": ("CRL7", "CRL5"),
    "T2 to T1-FLAIR": ("CRL7", "CRL1"),
    "T2 to T2-FLAIR": ("CRL7", "CRL9"),
}
SOURCES = tuple(dict.fromkeys(source for source, _ in DIRECTIONS.values()))
TARGETS = tuple(dict.fromkeys(target for _, target in DIRECTIONS.values()))
USED = tuple(dict.fromkeys((*SOURCES, *TARGETS)))
KINDS = ("pix2pix", "ResNet")
POOL = 4  # simulated heads at once

Rivals = dict[tuple[str, str, str], torch.nn.Module]  # by kind, source and target


@dataclass(frozen=True)
class Size:
    """kept : batches that all see again and again; None draws new ones. blocks : of the residual generator"""

    steps: int
    kept: int | None
    batch: int
    crop: tuple[int, int]
    unet: int
    resnet: int
    blocks: int
    discriminator: int


@dataclass(frozen=True)
class Named(Asked):
    """Asks for `named` from these sources, the first of which sets the unit."""

    shown: Mapping[str, MRSequence] | None = None

    def draw(self, rng: np.random.Generator) -> tuple[dict[str, MRSequence], dict[str, MRSequence]]:
        return dict(self.shown or {}), dict(self.named or {})


def trained(
    maps: Sequence[Path],
    people: Sequence[Slab],
    times: Mapping[str, MRSequence],
    size: Size,
    work: Path,
    context: Context,
) -> Rivals:
    """Every rival for every direction, after as many steps on the same batches of `maps` or of real people.

    times : of the sequences in USED
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    made: Rivals = {}
    for n, source in enumerate(SOURCES):
        stream = _simulated(maps, source, times, size) if maps else _crops(people, source, size)
        kept = None if size.kept is None else list(islice(stream, size.kept))
        part = context.stage(n / len(SOURCES), (n + 1) / len(SOURCES))
        wanted = [(kind, target) for a, target in DIRECTIONS.values() if a == source for kind in KINDS]
        for m, (kind, target) in enumerate(wanted):
            torch.manual_seed(0)  # the same noise, the same discriminator
            network: Any = (
                Pix2Pix((source,), (target,), size.unet)
                if kind == "pix2pix"
                else ResNet((source,), (target,), size.resnet, size.blocks)
            )
            recipe = Adversarial(network, discriminator_width=size.discriminator)
            part.progress(m / len(wanted), f"Training {kind} from {source} to {target}")
            batches = stream if kept is None else cycle(kept)
            fit(recipe, batches, [], Budget(size.steps), work / f"{kind}-{source}-{target}", device, part)
            made[kind, source, target] = network.eval()
    return made


def predicted(network: torch.nn.Module, person: Slab, source: str, target: str) -> np.ndarray:
    """(i, j, k) of the slab in the units of the source."""
    played = person.times[source]
    gain = scale(person.levels[source], played).gain
    image = person.seen(source).voxels.transpose(2, 0, 1)[:, None] / (gain * expected(played))
    seen = torch.from_numpy(np.ascontiguousarray(image, np.float32))
    with torch.inference_mode():
        found = [
            network({source: x[None]}, torch.zeros(1, 2, *x.shape[1:])).mean[0, 0].float().numpy()
            for x in seen
        ]
    return np.stack(found, 2) * gain * expected(person.times[target])


def _simulated(
    maps: Sequence[Path], source: str, times: Mapping[str, MRSequence], size: Size
) -> Iterator[Batch]:
    """What the contrast model is trained on, of these times alone."""
    wanted = {target: times[target] for a, target in DIRECTIONS.values() if a == source}
    asked = Named(named=wanted, shown={source: times[source]})
    for found in SimulatedContrasts(maps, asked, size.crop, size.batch, seed=0, pool=POOL):
        yield _as_batch(found, times)


def _as_batch(found: Contrasts, times: Mapping[str, MRSequence]) -> Batch:
    """Every sequence in units of its usual brightness, where `Adversarial` and its generators work."""
    n, _, h, w = found.brain.shape
    seen, clean = (
        {name: image / expected(times[name]) for name, image in each.items()}
        for each in (found.seen, found.clean)
    )
    return Batch(seen, clean, found.brain, found.lesions, torch.zeros(n, 2, h, w))


def _crops(people: Sequence[Slab], source: str, size: Size) -> Iterator[Batch]:
    """Windows of real people's slices, half of them mirrored; each scan in units of its own gain."""
    rng = np.random.default_rng(0)
    wanted = [target for a, target in DIRECTIONS.values() if a == source]
    while True:
        drawn = [people[int(n)] for n in rng.integers(len(people), size=size.batch)]
        yield stacked([_crop(person, source, wanted, size, rng) for person in drawn])


def _crop(
    person: Slab, source: str, wanted: Sequence[str], size: Size, rng: np.random.Generator
) -> dict[str, Any]:
    areas = person.inside.sum((0, 1))
    level = int(rng.choice(np.flatnonzero(areas >= min(FEWEST_BRAIN, areas.max()))))
    middle = np.argwhere(person.inside[..., level]).mean(0)
    corner = [round(m - n / 2 + rng.uniform(-n / 4, n / 4)) for m, n in zip(middle, size.crop, strict=True)]
    rows, columns = (np.arange(c, c + n) for c, n in zip(corner, size.crop, strict=True))
    rows = rows[:: rng.choice((-1, 1))]  # left and right

    def image(name: str) -> np.ndarray:
        played = person.times[name]
        unit = scale(person.levels[name], played).gain * expected(played)
        return window(person.seen(name).voxels[..., level], rows, columns) / unit

    return {
        "seen": {source: image(source)},
        "clean": {name: image(name) for name in wanted},
        "brain": window(person.inside[..., level], rows, columns),
        "lesions": np.zeros(size.crop),
        "place": np.zeros((2, *size.crop)),
        "motion": {},
    }
