"""Rivals of the one model, trained on the same people (Joyce 2017, Table 2 and section 5.3).

Networks and forests for one subset of inputs alone, and one network for all subsets with as many steps.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from mrinr.benchmark import forest
from mrinr.benchmark.people import DEGREES, VOXELS
from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.synthesis.multimodal import Multimodal, moved_by
from mrinr.training.batch import Batch
from mrinr.training.loop import Budget, fit
from mrinr.training.multimodal import ModalityInvariant, _after, _inverse
from mrinr.training.recipe import Recipe
from mrinr.training.simulated import Wanted
from mrinr.training.sources import Source

EXTRAS = {"accelerate": "train", "monai": "train", "sklearn": "benchmark"}  # package: what installs it
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
    worker : whether a process of its own draws them
    slices, voxels, trees : of a forest: the first so many that networks see, see `forest.grow`
    """

    steps: int | None
    crop: tuple[int, int]
    batch: int
    pool: int
    worker: bool
    slices: int
    voxels: int
    trees: int


SMALL = Size(240, (80, 80), 4, 4, False, 240, 15_000, 30)
FULL = Size(None, (96, 96), 4, 8, True, 4_000, 200_000, 60)


def check_packages() -> None:
    """Raise InputError where one that training needs is missing."""
    missing = [name for name in EXTRAS if importlib.util.find_spec(name) is None]
    if missing:
        extras = ",".join(dict.fromkeys(EXTRAS[name] for name in missing))
        raise InputError(f"Training rivals needs the extra packages: pip install 'mrinr[{extras}]'.")


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
    jobs = [*(("alone", subset) for subset in subsets), ("alone, moved", moved)]
    jobs += [("one", subsets[-1]), ("longer", subsets[-1])]
    made: Rivals = {}
    for n, (kind, names) in enumerate(jobs):
        part = context.stage(n / len(jobs), (n + 1) / len(jobs))
        part.progress(0, f"Training {kind}: {' + '.join(names)}")
        stream = source.slices(
            Wanted(names, (target,)), seed=0, size=size.crop, batch=size.batch, pool=size.pool
        )
        if kind.endswith("moved"):
            stream = Misaligned(stream, names[1])
        if kind.startswith("alone"):
            one = network(names, target, stream, size, steps, True, work / f"{n}", part)
            count = math.ceil(size.slices / size.batch)
            grown = forest.grow(islice(stream, count), names, target, size.voxels, size.trees)
            made[kind, names] = one
            made[kind.replace("alone", "forest"), names] = grown.predict
        else:
            many = steps * (LONGER if kind == "longer" else 1)
            one = network(names, target, stream, size, many, False, work / f"{n}", part)
            made |= {(kind, subset): one for subset in subsets}
    return made


def network(
    names: Sequence[str],
    target: str,
    stream: IterableDataset[Batch],
    size: Size,
    steps: int,
    alone: bool,
    work: Path,
    context: Context,
) -> Predict:
    """A network that learns from all inputs together, or unless `alone` from any of them."""
    torch.manual_seed(0)
    model = Multimodal(names, [target], WIDTH, WIDTH)
    recipe: Recipe = ModalityInvariant(model, alone=alone)
    several: dict[str, Any] = {"num_workers": 1, "prefetch_factor": PREPARED} if size.worker else {}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    fit(recipe, DataLoader(stream, batch_size=None, **several), [], Budget(steps), work, device, context)
    model.eval()

    def predict(
        images: Mapping[str, torch.Tensor], place: torch.Tensor, inside: torch.Tensor
    ) -> torch.Tensor:
        return model(images, place, target).mean

    return predict


class Misaligned(IterableDataset[Batch]):
    """The same batches with the input `name` turned and shifted in the plane, as much as people are."""

    def __init__(self, batches: IterableDataset[Batch], name: str) -> None:
        super().__init__()
        self.batches, self.name = batches, name

    def __iter__(self) -> Iterator[Batch]:
        random = torch.Generator().manual_seed(0)
        most = torch.tensor([math.radians(DEGREES), VOXELS, VOXELS])
        for batch in self.batches:
            image, before = batch.seen[self.name], batch.motion[self.name]
            turn = most * (2 * torch.rand(len(image), 3, generator=random) - 1)
            batch.seen[self.name] = moved_by(image, _inverse(turn))
            batch.motion[self.name] = _after(turn, before)
            yield batch
