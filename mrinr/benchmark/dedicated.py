"""Rivals of the one model, trained on the same people (Joyce 2017, Table 2 and section 5.3).

Networks and forests for one subset of inputs alone, and one network for all subsets with as many steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any, cast

import torch
from torch.utils.data import DataLoader, IterableDataset

from mrinr.benchmark import forest
from mrinr.benchmark.people import DEGREES, VOXELS
from mrinr.context import Context
from mrinr.synthesis.multimodal import Multimodal, moved_by
from mrinr.training.batch import Batch
from mrinr.training.loop import Budget, fit
from mrinr.training.multimodal import ModalityInvariant, after, inverse
from mrinr.training.simulated import Wanted
from mrinr.training.sources import Source

WIDTH = 16  # of encoders and decoders, as in the preset "compact"
LONGER = 2
PREPARED = 8  # batches that a process draws ahead

# images (n, 1, h, w) by sequence, place (n, 2, h, w) and inside (n, 1, h, w) to the target (n, 1, h, w)
Predict = Callable[[Mapping[str, torch.Tensor], torch.Tensor, torch.Tensor], torch.Tensor]
Rivals = dict[tuple[str, tuple[str, ...]], Predict]  # by kind and inputs


@dataclass(frozen=True)
class Size:
    """How long rivals learn, and from what.

    steps : of each network; None for as many as the model that ships was given
    crop, batch, pool : pixels, slices at once, heads kept at once
    kept : whether so many batches as there are steps are drawn once; else a process of its own draws on
    slices, voxels, trees : of a forest: the first so many that networks see, see `forest.grow`
    """

    steps: int | None
    crop: tuple[int, int]
    batch: int
    pool: int
    kept: bool
    slices: int
    voxels: int
    trees: int

    @property
    def drawing(self) -> dict[str, Any]:
        return {"size": self.crop, "batch": self.batch, "pool": self.pool}


SMALL = Size(150, (64, 64), 4, 4, True, 240, 10_000, 20)
FULL = Size(None, (96, 96), 4, 8, False, 4_000, 200_000, 60)


def train(
    source: Source,
    subsets: Sequence[tuple[str, ...]],
    moved: tuple[str, str],
    target: str,
    size: Size,
    steps: int,
    work: Path,
    context: Context,
) -> Rivals:
    """All rivals that make `target`: "alone" and "forest" for each subset, "one" and "longer" for all.

    "longer" is "one" with LONGER times the steps.

    subsets : the inputs of each; the last has all
    moved : inputs of "alone, moved" and "forest, moved", which learn with the second in a wrong place
    work : folder for checkpoints
    """
    every = subsets[-1]
    jobs = [*(("alone", subset) for subset in subsets), ("one", every), ("longer", every)]
    jobs.append(("alone, moved", moved))
    made: Rivals = {}
    batches, of = cast(Iterable[Batch], ()), cast(tuple[str, ...], ())
    for n, (kind, names) in enumerate(jobs):
        part = context.stage(n / len(jobs), (n + 1) / len(jobs))
        part.progress(0, f"Training {kind}: {' + '.join(names)}")
        if names != of:
            batches, of = source.slices(Wanted(names, (target,)), 0, **size.drawing), names
            if names == moved:
                batches = Misaligned(batches, names[1])
            if size.kept:
                batches = list(islice(batches, steps))
        if kind.startswith("alone"):
            one = network(names, target, batches, steps, True, work / f"{n}", part)
            some = islice(batches, math.ceil(size.slices / size.batch))
            grown = forest.grow(some, names, target, size.voxels, size.trees)
            made[kind, names] = one
            made[kind.replace("alone", "forest"), names] = grown.predict
        else:
            many = steps * (LONGER if kind == "longer" else 1)
            one = network(names, target, batches, many, False, work / f"{n}", part)
            made |= {(kind, subset): one for subset in subsets}
    return made


def network(
    names: Sequence[str],
    target: str,
    batches: Iterable[Batch],
    steps: int,
    alone: bool,
    work: Path,
    context: Context,
) -> Predict:
    """A network that learns from all inputs together, or unless `alone` from any of them."""
    torch.manual_seed(0)
    model = Multimodal(names, [target], WIDTH, WIDTH)
    recipe = ModalityInvariant(model, alone=alone)
    again: Iterable[Batch] = (
        cycle(batches)
        if isinstance(batches, list)
        else DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=PREPARED)  # type: ignore[arg-type]
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    fit(recipe, again, [], Budget(steps), work, device, context)
    model.eval()

    def predict(
        images: Mapping[str, torch.Tensor], place: torch.Tensor, inside: torch.Tensor
    ) -> torch.Tensor:
        return model(images, place, target).mean

    return predict


class Misaligned(IterableDataset[Batch]):
    """The same batches with the input `name` turned and shifted in the plane, as much as people are."""

    def __init__(self, batches: Iterable[Batch], name: str) -> None:
        super().__init__()
        self.batches, self.name = batches, name

    def __iter__(self) -> Iterator[Batch]:
        random = torch.Generator().manual_seed(0)
        most = torch.tensor([math.radians(DEGREES), VOXELS, VOXELS])
        for batch in self.batches:
            image, before = batch.seen[self.name], batch.motion[self.name]
            turn = most * (2 * torch.rand(len(image), 3, generator=random) - 1)
            seen = {**batch.seen, self.name: moved_by(image, inverse(turn))}
            yield replace(batch, seen=seen, motion={**batch.motion, self.name: after(turn, before)})
