"""Local INR (Chen 2023), Table 1: one perceptron, grids of local ones and pix2pix, trained alike."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mrinr.benchmark import local_inr_tables as tables
from mrinr.benchmark.locality import picture
from mrinr.benchmark.people import those_named
from mrinr.benchmark.sheets import results
from mrinr.benchmark.split import folds
from mrinr.context import Context
from mrinr.metrics import PROTOCOLS, mse, psnr, ssim, ssim_map
from mrinr.simulation import icbm
from mrinr.synthesis.local_inr import LocalINR
from mrinr.synthesis.pix2pix import Pix2Pix
from mrinr.training.batch import Batch
from mrinr.training.export import _floors
from mrinr.training.loop import Budget, fit
from mrinr.training.simulated import Wanted
from mrinr.training.sources import Source, find_sources, stem
from mrinr.volume import Volume, write

TILES = {"1x1": None, "10x8": 16, "20x16": 8, "40x32": 4}  # grids on the paper's crops, pixels of a tile
CROP = (160, 128)
LOCAL = "40x32"  # the grid of the locality experiment


@dataclass(frozen=True)
class Size:
    """How much is done; the paper's single perceptron is deeper and has 5 times a local one's parameters.

    hyper_width, blocks, local, single : of `LocalINR`; the last two (mlp_width, mlp_layers)
    unet, discriminator : widths
    kept : batches that all models see again and again; None draws new ones for each
    slices : of each person tested
    tasks : inputs and target
    """

    hyper_width: int
    blocks: int
    local: tuple[int, int]
    single: tuple[int, int]
    unet: int
    discriminator: int
    steps: int
    batch: int
    kept: int | None
    slices: int
    tasks: tuple[tuple[tuple[str, ...], str], ...]
    crop: tuple[int, int] = CROP


SIZES = {
    "small": Size(48, 3, (16, 5), (30, 8), 16, 8, 600, 2, 120, 6, ((("T2",), "FLAIR"),)),
    "full": Size(
        192, 7, (32, 5), (60, 8), 32, 16, 20_000, 4, None, 24,
        ((("T2",), "T1ce"), (("T1", "T2", "FLAIR"), "T1ce")),
    ),
}  # fmt: skip


def run(
    data: Path | None, small: bool, context: Context, out: Path, subjects: Sequence[str] = ()
) -> dict[str, Any]:
    """Train every generator on the same slices and test it on people held out.

    Small: trained on a quarter of the people, tested on the others; else fourfold cross-validation. Without
    data, people are warps of the ICBM152 anatomy, which are one subject. `out` gets locality.png.
    """
    size, rows, shown = SIZES["small" if small else "full"], [], False
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if data is None:
            write(Volume(icbm().labels, icbm().affine), folder / "icbm152.nii.gz")
            source = Source((folder / "icbm152.nii.gz",))
        else:
            source = those_named(find_sources([data], []), subjects, "")
        parts = [(fold, task) for fold in folds(source, small) for task in size.tasks]
        for n, ((training, testing), task) in enumerate(parts):
            part = context.stage(n / len(parts), (n + 1) / len(parts))
            models = trained(training, task, size, folder / str(n), part)
            held_out = test_slices(testing, task, size)
            for person, batch in held_out.items():
                for label, network in models.items():
                    rows.append(score(network, batch, task[1], person=person, label=label, inputs=task[0]))
            if not shown:
                network, batch = models[LOCAL], next(iter(held_out.values()))
                assert isinstance(network, LocalINR)
                sheet, locality = picture(network, batch, task[1])
                sheet.save(out / "locality.png")
                shown = True
    people = len({row["person"] for row in rows})
    remarks = [
        f"Equal budgets: {size.steps} steps of {size.batch} crops of {CROP[0]}x{CROP[1]} for each model, "
        "L1 and the same discriminator; inputs corrupted as in training.",
        "No blending between tiles, as in the paper. Means over people of means over their slices.",
    ]
    if small:
        remarks.append(
            f"Small: narrow networks, {size.steps} steps (the paper: 60 epochs of whole volumes), "
            f"FLAIR instead of T1ce, {size.slices} slices of each person; trained on a quarter of the people."
        )
    if data is None:
        remarks.append("All people are warps of one head: they count as one subject.")
    return results(
        "local-inr",
        "Local implicit neural representations",
        "more tiles are better, one perceptron for all is worse than pix2pix, grids from 20x16 on beat it "
        "(Chen et al., ISBI 2023, Table 1; BraTS 2018, 296 people trained on, 76 tested).",
        f"{source.described}; {people} tested",
        tables.sheets(rows),
        tables.claims(rows, locality),
        remarks,
        scores=rows,
        locality=locality,
        picture="locality.png",
        picture_text="One tile's perceptron used for every pixel (left to right: input, truth, prediction, "
        "the perceptron of the marked tissue everywhere).",
    )


def generators(inputs: Sequence[str], target: str, size: Size) -> dict[str, LocalINR | Pix2Pix]:
    """By label."""
    made: dict[str, LocalINR | Pix2Pix] = {"pix2pix": Pix2Pix(inputs, [target], width=size.unet)}
    for label, tile in TILES.items():
        width, layers = size.single if tile is None else size.local
        made[label] = LocalINR(inputs, [target], tile, size.hyper_width, size.blocks, width, layers)
    return made


def trained(
    source: Source, task: tuple[tuple[str, ...], str], size: Size, work: Path, context: Context
) -> dict[str, LocalINR | Pix2Pix]:
    """Every generator after as many steps on the same batches."""
    from mrinr.training.adversarial import Adversarial

    inputs, target = task
    torch.manual_seed(0)
    made = generators(inputs, target, size)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    stream = source.slices(Wanted(inputs, (target,)), seed=0, size=size.crop, batch=size.batch, pool=4)
    kept = None if size.kept is None else list(islice(stream, size.kept))
    for n, (label, network) in enumerate(made.items()):
        torch.manual_seed(1)  # the same noise, the same discriminator
        recipe = Adversarial(network, discriminator_width=size.discriminator)
        batches: Iterable[Batch] = stream if kept is None else cycle(kept)
        part = context.stage(n / len(made), (n + 1) / len(made))
        part.progress(0, f"Training {label}")
        fit(recipe, batches, [], Budget(size.steps), work / label, device, part)
        network.eval()
    return made


def test_slices(source: Source, task: tuple[tuple[str, ...], str], size: Size) -> dict[str, Batch]:
    """By person: slices that every model is tested on."""
    wanted, found = Wanted(task[0], (task[1],)), {}
    people = [(stem(path), Source((path,))) for path in source.maps]
    people += [(subject.person, Source((), (subject,))) for subject in source.subjects]
    for n, (name, one) in enumerate(people):
        stream = one.slices(wanted, seed=1000 + n, size=size.crop, batch=size.slices, pool=1)
        found[name] = next(iter(stream))
    return found


def score(network: LocalINR | Pix2Pix, batch: Batch, target: str, **row: Any) -> dict[str, Any]:
    """Means over the slices of one person.

    mse, ssim, psnr : of the whole crop, scaled by the truth's minimum and maximum, as the paper's table
    brain : PSNR and SSIM in the brain, range: the truth's 99.9th percentile there; floors : their PSNR
    """
    with torch.inference_mode():
        images = network(batch.seen, batch.place).mean[:, 0].float().numpy()
    found: dict[str, list[float]] = {}
    for n, image in enumerate(images):
        truth, brain = batch.clean[target][n, 0].numpy(), batch.brain[n, 0].numpy() > 0
        a, b, _, _ = PROTOCOLS["local-inr"](truth, image, brain)
        top = float(np.percentile(truth[brain], 99.9))
        shown = np.stack([x[n, 0].numpy()[brain] for x in batch.seen.values()], 1)
        numbers = {
            "mse": mse(a, b, None),
            "ssim": ssim(a, b, None, 1.0),
            "psnr": psnr(a, b, None, 1.0),
            "brain psnr": psnr(truth, image, brain, top),
            "brain ssim": float(ssim_map(truth, image, top)[brain].mean()),
        }
        for name, guess in _floors(shown, truth[brain]).items():
            numbers[f"floor {name}"] = psnr(truth[brain], guess, None, top)
        for name, value in numbers.items():
            found.setdefault(name, []).append(value)
    return {**row, **{name: float(np.mean(values)) for name, values in found.items()}}
