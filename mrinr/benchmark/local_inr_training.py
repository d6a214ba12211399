"""The generators of the local INR's benchmark, each trained as many steps on the same slices."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import torch

from mrinr.benchmark.locality import LocallyEncoded
from mrinr.context import Context
from mrinr.synthesis.local_inr import LocalINR
from mrinr.synthesis.pix2pix import Pix2Pix
from mrinr.training.batch import Batch
from mrinr.training.loop import Budget, fit

# Grids on the paper's crops, pixels of a tile; the finest is left to the full size.
TILES = {"1x1": None, "10x8": 16, "20x16": 8, "40x32": 4, "80x64": 2}
CROP = (160, 128)
LOCAL = "40x32"  # the grid of the experiments with tiles, the paper's choice
CONTROL, COMPACT = f"{LOCAL}, local encoding", f"{LOCAL}, blended (ours)"
EVERY = ("pix2pix", *TILES, CONTROL, COMPACT)


@dataclass(frozen=True)
class Task:
    """Which generators make the target from which inputs."""

    inputs: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Size:
    """How much is done; the paper's single perceptron is deeper and has 5 times a local one's parameters.

    hyper_width, blocks, local, single : of `LocalINR`; the last two (mlp_width, mlp_layers)
    unet, discriminator : widths
    lengths : further steps after which two of the generators are tested
    kept : batches that all models see again and again; None draws new ones for each
    slices : of each person tested
    """

    hyper_width: int
    blocks: int
    local: tuple[int, int]
    single: tuple[int, int]
    unet: int
    discriminator: int
    steps: int
    lengths: tuple[int, ...]
    batch: int
    kept: int | None
    slices: int
    tasks: tuple[Task, ...]
    target: str = "T1ce"
    crop: tuple[int, int] = CROP

    @property
    def inputs(self) -> tuple[str, ...]:
        """Of all tasks."""
        return tuple(dict.fromkeys(name for task in self.tasks for name in task.inputs))


THREE = Task(("T1", "T2", "FLAIR"), ("pix2pix", LOCAL))
SIZES = {
    "small": Size(
        48, 3, (16, 5), (30, 8), 16, 8, 1600, (400, 800), 1, 400, 6,
        (Task(("T2",), tuple(label for label in EVERY if label != "80x64")), THREE),
    ),
    "full": Size(
        192, 7, (32, 5), (60, 8), 32, 16, 20_000, (2_000, 6_000), 4, None, 24, (Task(("T2",), EVERY), THREE)
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """A generator and how long its training took, on the clock of the CPU."""

    network: LocalINR | Pix2Pix
    seconds: float


def generator(label: str, inputs: Sequence[str], size: Size) -> LocalINR | Pix2Pix:
    if label == "pix2pix":
        return Pix2Pix(inputs, [size.target], width=size.unet)
    tile = TILES[label.partition(",")[0]]
    width, layers = size.single if tile is None else size.local
    kind = LocallyEncoded if label == CONTROL else LocalINR
    sizes = (size.hyper_width, size.blocks, width, layers)
    return kind(inputs, [size.target], tile, *sizes, blend=label == COMPACT)


def trained(
    batches: Iterable[Batch], task: Task, size: Size, steps: int, work: Path, context: Context
) -> dict[str, Trained]:
    """Every generator of the task, by label, after as many steps on the same batches."""
    from mrinr.training.adversarial import Adversarial

    device = "cuda" if torch.cuda.is_available() else "cpu"
    made = {}
    for n, label in enumerate(task.labels):
        torch.manual_seed(1)  # the same noise, the same discriminator
        network = generator(label, task.inputs, size)
        recipe = Adversarial(network, discriminator_width=size.discriminator)
        part = context.stage(n / len(task.labels), (n + 1) / len(task.labels))
        part.progress(0, f"Training {label} for {steps} steps")
        start = time.process_time()
        again = cycle(batches) if isinstance(batches, list) else batches
        fit(recipe, again, [], Budget(steps), work / str(n), device, part)
        network.eval()
        made[label] = Trained(network, time.process_time() - start)
    return made
