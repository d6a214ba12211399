"""From data folders to a model folder."""

from __future__ import annotations

import json
import os
import random
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from mrinr import bundles
from mrinr.bundles import LOOKERS, RESTORERS, TIMED, Bundle
from mrinr.context import Context
from mrinr.engine.device import choose, set_threads
from mrinr.errors import InputError
from mrinr.provenance import ENHANCEMENT
from mrinr.synthesis import INPUTS
from mrinr.training.batch import Batch
from mrinr.training.export import card, hardware, judge
from mrinr.training.kinds import KINDS, build
from mrinr.training.loop import Budget, fit, reached, told_of_killed
from mrinr.training.sources import Source, find_sources

APART = 1_000_003  # between the seeds of two processes
VALIDATION, JUDGED = 24, 240  # slices watched while training, and judged when it is done
HEADS = "Knows heads only."
SLICES = "Knows heads only, at about 1 mm in plane, and axial slices one at a time."
RESEARCH = "Research use; not for diagnosis."

SYNTHESIS = (
    "Research: predicts a missing MR sequence of the head from those that are there. All of it is synthetic."
)
INTENDED = {
    "brain": "Research: finds the brain in a head of any sequence, skull on or off, to set scales and masks.",
    "recogniser": "Research: tells sequences, flipped axes and what is no MR head, to warn of wrong inputs.",
    "intensities": "Research: tells what intensities of a missing sequence go with those of the scans.",
    "prior": "Research: makes thick-slice scans of the head sharper, as one step of super-resolution.",
    "crl": "Research: shows a head as spin echoes of any TR, TE and TI would. All of it is synthetic.",
}


def train(
    kind: str,
    data: Sequence[Path],
    out: Path,
    preset: str = "compact",
    inputs: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    steps: int | None = None,
    hours: float | None = None,
    work: Path | None = None,
    average: str | Path | None = None,
    held_out: Sequence[str] = (),
    exclude: Sequence[str] = (),
    licence: str | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    context: Context | None = None,
) -> Bundle:
    """Train a model and save it in `out`; what `work` holds of an earlier run is continued.

    Parameters
    ----------
    kind : a key of `KINDS`
    data : folders of label maps (people are simulated from them) or of real subjects
    inputs, targets : sequence names; None for all that the kind takes
    average : an earlier end of this training, with which the mean of the weights is taken (Izmailov 2018):
        what two ends have in common depends less on the people trained on
    held_out : names of maps or subjects to watch, judge and calibrate on; the last sixth when none is named
    exclude : names of maps or subjects to leave alone
    licence : of the data, as the model card shall say it

    Raises InputError for unknown names, for folders without usable data and for a model to average with that
    is of another kind or size.
    """
    from accelerate import PartialState

    context = context or Context()
    if kind not in KINDS:
        raise InputError(f"The kind '{kind}' is not known; use {', '.join(KINDS)}.")
    shown, asked = names_of(kind, inputs, targets)
    torch.manual_seed(seed)
    random.seed(seed)
    set_threads(threads)
    recipe, arguments, data_arguments = build(kind, preset, shown, asked)
    earlier = None if average is None else bundles.find(average)
    like = kind, json.loads(json.dumps(arguments))
    if earlier is not None and (earlier.architecture, earlier.facts["arguments"]) != like:
        raise InputError(f"The model {earlier.name} is of another kind or size; average with one like it.")
    wanted = KINDS[kind].wanted(shown, asked)
    sources = find_sources(data, exclude)
    if kind not in RESTORERS:
        sources = sources.having(wanted, context)
    if licence is not None:
        sources = replace(sources, licence=licence)
    training, apart = sources.split(held_out)
    judged = _drawn(
        KINDS[kind].batches(
            apart, replace(wanted, least=1), seed + 1, **{**data_arguments, **KINDS[kind].judged, "batch": 1}
        ),
        JUDGED,
        context,
    )
    work = work or out.with_name(f"{out.name}.checkpoint")
    chosen = choose(device)[0].type
    processes = PartialState(cpu=chosen == "cpu")  # several where `accelerate launch` started them
    # A training that goes on draws other people than it began with, and so does each process.
    drawn_with = seed + reached(work) + APART * processes.process_index
    stream = KINDS[kind].batches(training, wanted, drawn_with, **data_arguments)
    workers = max(1, min(4, (os.cpu_count() or 2) - 1))
    try:
        done = fit(
            recipe,
            DataLoader(stream, batch_size=None, num_workers=workers, prefetch_factor=8),
            judged[:VALIDATION],
            Budget(steps or KINDS[kind].steps, hours),
            work,
            chosen,
            context.stage(0.02, 0.97),
        )
    except InputError as error:  # that of a process which draws images comes with where it was raised
        raise InputError(str(error).strip().rsplit(f"{InputError.__name__}: ", 1)[-1]) from error
    except (RuntimeError, ConnectionError, EOFError) as error:
        if not told_of_killed(error):
            raise
        raise InputError(
            "A process that drew training images was killed, perhaps because memory ran out; run the command "
            "again, and training goes on from its checkpoint."
        ) from error
    if processes.is_main_process:
        if earlier is not None:
            into_mean(recipe.networks["generator"], earlier.network())
        facts = describe(kind, recipe, judged, training, shown, asked, seed, done)
        if earlier is not None:
            facts["training"]["averaged_with"] = (
                f"its weights after {earlier.facts['training']['steps']} steps"
            )
        bundles.save(out, recipe.networks["generator"], kind, arguments, facts, card(out.name, facts))
    processes.wait_for_everyone()
    return bundles.find(out)


def into_mean(network: nn.Module, other: nn.Module) -> None:
    """Replace the weights of `network` by the mean of its own and those of `other`, which is like it."""
    with torch.no_grad():
        for own, theirs in zip(network.parameters(), other.parameters(), strict=True):
            own.lerp_(theirs, 0.5)


def names_of(
    kind: str, inputs: Sequence[str] | None, targets: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a model of `kind` takes and makes. Raises InputError for unknown or impossible names."""
    if kind in (*RESTORERS, *TIMED):
        if inputs or targets:
            raise InputError(f"A {kind} model takes and makes any sequence; leave --inputs and --target out.")
        return ("any",), ("any",)
    shown = tuple(inputs or INPUTS)
    asked = tuple(targets or LOOKERS.get(kind, INPUTS))
    known = (*INPUTS, *LOOKERS.get(kind, ()))
    for name in (*shown, *asked):
        if name not in known:
            raise InputError(f"The sequence '{name}' is not known; use {', '.join(INPUTS)}.")
    if kind in ("local-inr", "pix2pix") and (len(asked) != 1 or asked[0] in shown):
        raise InputError(
            f"A {kind} model has one target that is not among its inputs; name --inputs and --target."
        )
    return shown, asked


def describe(
    kind: str,
    recipe: Any,
    judged: Sequence[Any],
    source: Source,
    inputs: Sequence[str],
    targets: Sequence[str],
    seed: int,
    done: dict[str, Any],
) -> dict[str, Any]:
    """The facts that a bundle carries."""
    facts: dict[str, Any] = {
        "inputs": ["any"] if kind in LOOKERS else list(inputs),
        "targets": list(targets),
        "spacing_mm": [1.0, 1.0],
        "normalisation": {"method": "the brain's median is 1"},
        "training": {
            "data": source.described,
            "licence": source.licence,
            "command": shlex.join(["mrinr", *sys.argv[1:]]),
            "seed": seed,
            "steps": done["steps"],
            "hours": round(done["seconds"] / 3600, 2),
            "hardware": hardware(),
        },
        "metrics": {},
        "calibration": {},
        "statistics": {},
        "intended_use": INTENDED.get(kind, SYNTHESIS),
        "limits": [source.limit, RESEARCH],
    }
    if kind not in RESTORERS:
        facts["limits"].insert(1, HEADS if kind in ("recogniser", "intensities") else SLICES)
    if kind in LOOKERS:
        if hasattr(recipe, "statistics"):
            facts["statistics"] = recipe.statistics(judged)
        return facts
    if kind in (*RESTORERS, *TIMED):
        return {**facts, **recipe.facts(judged), "limits": [*recipe.limits, *facts["limits"]]}
    if "T1ce" in targets:
        facts["limits"] = [ENHANCEMENT, *facts["limits"]]
    facts["normalisation"]["levels"] = source.levels(sorted({*inputs, *targets}), seed)
    taught = sorted({*targets} & {name for subject in source.subjects for name in subject.images})
    if taught:
        facts["taught"] = taught
    facts["metrics"], facts["calibration"] = judge(recipe, recipe.networks["generator"], judged, fitted=True)
    facts["metrics_of"] = (
        "Brain PSNR in dB (range: the truth's 99.9th percentile in the slice's brain; median over slices of "
        "held-out people, inputs corrupted, levels not read off the scans). The floors are fitted to the "
        "truth itself."
    )
    return facts


def _drawn(stream: Iterable[Batch], count: int, context: Context) -> list[Any]:
    found: list[Any] = []
    for batch in stream:
        context.progress(0.02 * len(found) / count, "Drawing people to judge on")
        found.append(batch)
        if len(found) == count:
            break
    return found
