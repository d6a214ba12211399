"""Local INR (Chen 2023), Table 1: one perceptron, grids of local ones and pix2pix, trained alike."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from mrinr import bundles
from mrinr.benchmark import extras
from mrinr.benchmark import local_inr_tables as tables
from mrinr.benchmark.chart import chart
from mrinr.benchmark.costs import Cost, cost
from mrinr.benchmark.local_inr_people import batches, tested
from mrinr.benchmark.local_inr_score import made_by, score, ships
from mrinr.benchmark.local_inr_training import CONTROL, LOCAL, SIZES, Size, Task, Trained, trained
from mrinr.benchmark.locality import Seen, constant, locality, picture
from mrinr.benchmark.people import named_in, those_named
from mrinr.benchmark.sheets import results
from mrinr.benchmark.split import folds
from mrinr.bundles import Bundle
from mrinr.context import Context
from mrinr.simulation import icbm
from mrinr.synthesis.choice import ANY_SUBSET, ORDER
from mrinr.synthesis.local_inr import LocalINR
from mrinr.training.batch import Batch
from mrinr.training.sources import Source, find_sources
from mrinr.volume import Volume, write

BY_STEPS = ("pix2pix", LOCAL)  # trained shorter and longer, too


@dataclass
class Findings:
    """rows : scores by person, label and inputs; by_steps : the same with "steps"; of the first fold

    locality : by label of the network (global encoding, local encoding); constant : its floor, dB
    costs : by label
    training : CPU-seconds by label
    """

    rows: list[dict[str, Any]]
    by_steps: list[dict[str, Any]]
    locality: dict[str, Seen]
    costs: dict[str, Cost]
    training: dict[str, float]
    constant: float = float("nan")


def run(
    data: Path | None, small: bool, context: Context, out: Path, subjects: Sequence[str] = ()
) -> dict[str, Any]:
    """Train every generator on the same slices and test it on people held out.

    Small: trained on a quarter of the people, tested on the others; else fourfold cross-validation. Without
    data, people are warps of the ICBM152 anatomy, which are one subject. `out` gets the figures.
    """
    extras.check(extras.TRAINING)
    size, found = SIZES["small" if small else "full"], Findings([], [], {}, {}, {})
    with tempfile.TemporaryDirectory() as made, _source(data, subjects) as source:
        parts = folds(source, small)
        for n, (training, testing) in enumerate(parts):
            part = context.stage(n / len(parts), (n + 1) / len(parts))
            one_fold(training, testing, size, found, Path(made) / str(n), part, None if n else out)
        described = source.described
    people = len({row["person"] for row in found.rows})
    curves = tables.curves(found.by_steps)
    drawn = chart(curves, "steps of training", f"MSE x 1e-3, {size.target} from {size.tasks[0].inputs[0]}")
    drawn.save(out / "local_inr_steps.png", optimize=True)
    crop = "x".join(map(str, size.crop))
    remarks = [
        f"Equal budgets: {size.steps:,} steps, batches of {size.batch}, crops of {crop} for each model, L1 "
        "and the same discriminator; simulated inputs corrupted as in training, real ones as scanned.",
        "No blending between tiles, as in the paper, but where the table says so. Means over people of means "
        "over their slices.",
        tables.reason(found.rows, curves),
    ]
    if small:
        remarks.append(
            f"Small: narrow networks, {size.steps:,} steps (the paper: 60 epochs of whole volumes), "
            f"{size.slices} slices of each person; trained on {parts[0][0].described}; no grid of 80x64."
        )
    if data is None:
        remarks.append("All people are warps of one head: they count as one subject.")
    return results(
        "local-inr",
        "Local implicit neural representations",
        "more tiles are better, one perceptron for all is worse than pix2pix, grids from 20x16 on beat it, "
        "with one input and with three (Chen et al., ISBI 2023, Table 1; BraTS 2018, 296 people trained on, "
        "76 tested).",
        f"{described}; {people} tested",
        tables.sheets(found.rows, found.locality, found.constant, found.costs, found.training),
        tables.claims(found.rows, found.locality),
        remarks,
        scores=found.rows,
        by_steps=found.by_steps,
        locality=found.locality,
        pictures={
            "local_inr_steps.png": "Error of people held out against steps of training (each point is a "
            "training of its own).",
            "locality.png": "One tile's perceptron used for every pixel. Left to right: input, truth; with "
            "global encoding every tile its own perceptron, and that of the tile in white matter, fluid and "
            "background (top to bottom) everywhere; the same with local encoding.",
        },
    )


@contextmanager
def _source(data: Path | None, subjects: Sequence[str]) -> Iterator[Source]:
    """The people, of whom some are trained on and some tested."""
    if data is not None:
        yield those_named(find_sources([data], []), subjects, "")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "icbm152.nii.gz"
        write(Volume(icbm().labels, icbm().affine), path)
        yield Source((path,))


def one_fold(
    training: Source,
    testing: Source,
    size: Size,
    found: Findings,
    work: Path,
    context: Context,
    out: Path | None,
) -> None:
    """Train and test everything; with `out` also what is shown of one fold only."""
    drawn = batches(training, size)
    first = size.tasks[0]
    people = tested(testing, size)
    for n, task in enumerate(size.tasks):
        part = context.stage(0.6 * n / len(size.tasks), 0.6 * (n + 1) / len(size.tasks))
        models = trained(drawn, task, size, size.steps, work / str(n), part)
        found.rows += _rows(people, {label: each.network for label, each in models.items()}, task, size)
        found.rows += _shipped(people, task, size)
        if out is not None and task is first:
            _shown(models, people, size, found, out)
    if out is None:
        return
    found.by_steps += [
        {**row, "steps": size.steps}
        for row in found.rows
        if row["label"] in BY_STEPS and row["inputs"] == list(first.inputs)
    ]
    few = Task(first.inputs, BY_STEPS)
    for n, steps in enumerate(size.lengths):
        part = context.stage(0.6 + 0.4 * n / len(size.lengths), 0.6 + 0.4 * (n + 1) / len(size.lengths))
        models = trained(drawn, few, size, steps, work / f"{steps} steps", part)
        networks = {label: each.network for label, each in models.items()}
        found.by_steps += [{**row, "steps": steps} for row in _rows(people, networks, few, size)]


def _rows(
    people: Mapping[str, Batch], networks: Mapping[str, Any], task: Task, size: Size
) -> list[dict[str, Any]]:
    return [
        score(made_by(network, batch), batch, task.inputs, size.target, person=name, label=label)
        for name, batch in people.items()
        for label, network in networks.items()
    ]


def _shipped(people: Mapping[str, Batch], task: Task, size: Size) -> list[dict[str, Any]]:
    """The models that ship, each on people that it was not trained on."""
    rows = []
    for label, bundle in _ship(task, size).items():
        network = bundle.network()
        for name, batch in people.items():
            if not named_in(name, bundle.facts["training"]["data"]):
                image = ships(network, batch, task.inputs, size.target)
                rows.append(score(image, batch, task.inputs, size.target, person=name, label=label))
    return rows


def _ship(task: Task, size: Size) -> dict[str, Bundle]:
    """The models that ship and make the target of just these inputs, by label."""
    return {
        f"{bundle.name} (ships)": bundle
        for bundle in bundles.shipped()
        if bundle.architecture in ORDER
        and size.target in bundle.targets
        and (bundle.architecture in ANY_SUBSET or set(bundle.inputs) == set(task.inputs))
    }


def _shown(
    models: Mapping[str, Trained],
    people: Mapping[str, Batch],
    size: Size,
    found: Findings,
    out: Path,
) -> None:
    """Locality and costs."""
    batch = next(iter(people.values()))
    tiled = [label for label in (LOCAL, CONTROL) if label in models]
    networks = {label: cast(LocalINR, models[label].network) for label in tiled}
    found.locality = {label: locality(network, batch, size.target) for label, network in networks.items()}
    found.constant = constant(batch, size.target)
    picture(networks, batch, size.target).save(out / "locality.png", optimize=True)
    one = Batch(
        {name: x[:1] for name, x in batch.seen.items()},
        {name: x[:1] for name, x in batch.clean.items()},
        batch.brain[:1],
        batch.lesions[:1],
        batch.place[:1],
    )
    inputs = size.tasks[0].inputs
    for label, each in models.items():
        found.costs[label] = cost(each.network, partial(made_by, each.network, one))
        found.training[label] = each.seconds
    for label, bundle in _ship(size.tasks[0], size).items():
        network = bundle.network()
        found.costs[label] = cost(network, partial(ships, network, one, inputs, size.target))
