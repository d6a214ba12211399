"""One synthesis from volumes to volumes: check, align, find the brain, scale, predict, scale back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mrinr import provenance
from mrinr.bundles import Bundle
from mrinr.context import Context
from mrinr.engine.device import choose, set_threads
from mrinr.errors import InputError
from mrinr.registration import align
from mrinr.synthesis import intensities
from mrinr.synthesis.calibration import calibrated
from mrinr.synthesis.choice import choose_model
from mrinr.synthesis.explained import as_read, explained
from mrinr.synthesis.head import Head, canvas, cut, grown, prepare, uncut, window
from mrinr.synthesis.levels import expected
from mrinr.synthesis.result import Synthesis
from mrinr.synthesis.room import check_room
from mrinr.synthesis.slicework import Slices, predict
from mrinr.synthesis.space import onto
from mrinr.synthesis.unlike import unlike
from mrinr.volume import Stack, Volume, check_image

PREVIEW_EVERY = 1.5  # seconds


@dataclass(frozen=True)
class Options:
    """The arguments of `mrinr.synthesis.synthesize`."""

    target: str
    model: str | Path
    like: str | None
    register: str
    device: str
    seed: int
    threads: int | None


def run(inputs: dict[str, Volume], options: Options, context: Context) -> Synthesis:
    """See `mrinr.synthesis.synthesize`."""
    started = time.monotonic()
    like = check(inputs, options)
    bundle, used = choose_model(options.model, inputs, options.target, context)
    device, device_line = choose(options.device)
    threads = set_threads(options.threads)
    torch.manual_seed(options.seed)
    aligned = align_to(like, inputs, options.register, context.stage(0.0, 0.25))
    head = prepare(aligned, like, device, context.stage(0.25, 0.4))
    said = unlike(head, inputs)
    for sentence in said:
        context.warn(sentence)
    reads = intensities.Readings.shipped(bundle.facts.get("taught", ()))
    images, place = canvas(head, used)
    context.progress(0.0, f"Loading the model {bundle.name}")
    show = _previews(head, options.target, context) if context.wants_preview else None
    slices = predict(
        bundle.network(device),
        images,
        place,
        options.target,
        device,
        context.stage(0.4, 0.95),
        show,
        like if like in used else None,
    )
    for name in slices.elsewhere:
        context.warn(
            f"{name} ({inputs[name].name}) shows something else than the other inputs in the same place, so "
            "it hardly counts; align them, or look at whether they are of one person."
        )
    context.progress(0.95, "Fitting it to the scans")
    if slices.elsewhere:  # what lies in one voxel is not of one place
        reads = None
    slices = _explained(slices, head, options.target, reads)
    context.progress(0.98, "Writing the result")
    result = _volumes(slices, head, images, inputs[like], options.target, bundle)
    notice = provenance.notice("synthesis", options.target)
    self_check = _self_check(slices, head, images)
    return Synthesis(
        **result,
        report={
            "method": bundle.architecture,
            "model": bundle.name,
            "weights_sha256": bundle.sha256,
            "trained_on": bundle.facts["training"]["data"],
            "target": options.target,
            "inputs": {name: {"name": inputs[name].name} for name in used},
            "like": like,
            "device": device_line,
            "threads": threads,
            "seconds": round(time.monotonic() - started, 2),
            "notice": notice,
            "self_check": self_check,
            "units": {name: head.units[name] for name in used},
            "settings": {
                "model": bundle.name,
                "register": options.register,
                "like": like,
                "fitted_to": list(slices.shown),  # see `explained`
                "levels_read_by": None if reads is None else reads.said(options.target),
            },
            "unlike": said,
            "warnings": list(context.warnings),
        },
    )


def check(inputs: Mapping[str, Volume], options: Options) -> str:
    """The input whose grid the result gets. Raises InputError for anything that cannot be used."""
    from mrinr.synthesis import INPUTS

    if not inputs:
        raise InputError("No input was given; choose at least one sequence.")
    for name in (*inputs, options.target):
        if name not in INPUTS:
            raise InputError(f"The sequence '{name}' is not known; use {', '.join(INPUTS)}.")
    if options.target in inputs:
        raise InputError(f"{options.target} is both an input and the target; leave it out of the inputs.")
    if options.register not in ("auto", "off"):
        raise InputError(f"register must be auto or off, not {options.register}.")
    like = options.like or next(iter(inputs))
    if like not in inputs:
        raise InputError(f"'{like}' is no input; the result can be on the grid of {', '.join(inputs)}.")
    check_room({name: volume.grid for name, volume in inputs.items()}, like)
    for volume in inputs.values():
        check_image(volume)
    return like


def align_to(like: str, inputs: Mapping[str, Volume], register: str, context: Context) -> dict[str, Volume]:
    """The inputs, `like` first, moved onto it where `register` says so."""
    names = [like, *(name for name in inputs if name != like)]
    if register == "off" or len(names) == 1:
        return {name: inputs[name] for name in names}
    moved, _ = align([Stack(inputs[name], name) for name in names], context)
    return {name: stack.volume for name, stack in zip(names, moved, strict=True)}


def _explained(slices: Slices, head: Head, target: str, reads: intensities.Readings | None) -> Slices:
    """The predictions as far as the scans explain them."""
    rows, columns, levels = window(head)
    core, brain, lit = (
        cut(mask[..., levels].astype(np.float32), rows, columns) > 0
        for mask in (head.brain, grown(head.brain) & head.lit, head.lit)
    )

    def by(names: list[str], name: str, predicted: np.ndarray) -> np.ndarray:
        images = [slices.shown[each] for each in names]
        reader = None if reads is None else reads.reader(names, name)
        read = None if reader is None else as_read(images, core, reader)
        return explained(images, predicted, brain, lit, read)

    names = list(slices.shown)
    checks = {
        name: by([other for other in names if other != name], name, predicted)
        for name, predicted in slices.checks.items()
    }
    return replace(slices, mean=by(names, target, slices.mean), checks=checks)


def _volumes(
    slices: Slices,
    head: Head,
    images: dict[str, np.ndarray],
    like: Volume,
    target: str,
    bundle: Bundle,
) -> dict[str, Any]:
    unit = expected(bundle.facts["normalisation"]["levels"], target, {n: head.units[n] for n in images})
    half = calibrated(slices.half, bundle.facts["calibration"].get(target))

    def back(part: np.ndarray, factor: float, name: str) -> Volume:
        full = Volume(uncut(part, head) * head.lit * factor, head.grid.affine, name)
        return Volume(np.clip(onto(full, like.grid), 0, None), like.affine, name)

    brain = onto(Volume(head.brain.astype(np.float32), head.grid.affine), like.grid) > 0.5
    own = slices.disagreement
    return {
        "volume": back(slices.mean, unit, f"{target} synthetic"),
        "uncertainty": back(half, unit, f"{target} uncertainty"),
        "brain": Volume(brain.astype(np.float32), like.affine, "brain"),
        "disagreement": None if own is None else back(own, unit, f"{target} disagreement"),
        "checks": {
            name: back(np.abs(predicted - images[name]), head.units[name], f"{name} self-check")
            for name, predicted in slices.checks.items()
        },
    }


def _self_check(slices: Slices, head: Head, images: dict[str, np.ndarray]) -> dict[str, Any]:
    """Each input predicted from the others: median error in the brain, in % of its range there."""
    if not slices.checks:
        why = (
            "with one input nothing can be hidden"
            if len(images) == 1
            else "this model predicts none of its inputs"
        )
        return {"text": f"No self-check: {why}.", "errors": {}}
    rows, columns, levels = window(head)
    brain = cut(head.brain[..., levels].astype(np.float32), rows, columns) > 0
    errors = {}
    for name, predicted in slices.checks.items():
        measured = images[name][brain]
        top = max(float(np.percentile(measured, 99)), 1e-6)
        errors[name] = {
            "error": float(np.median(np.abs(predicted[brain] - measured))) / top,
            "constant": float(np.median(np.abs(measured - np.median(measured)))) / top,
        }
    listed = ", ".join(
        f"{name} {100 * e['error']:.1f} % of its range (a constant: {100 * e['constant']:.1f} %)"
        for name, e in errors.items()
    )
    return {
        "text": f"Each input hidden and predicted from the others, median error: {listed}.",
        "errors": errors,
    }


def _previews(head: Head, target: str, context: Context) -> Any:
    shown = [time.monotonic()]

    def show(image: np.ndarray, done: int) -> None:
        if time.monotonic() - shown[0] >= PREVIEW_EVERY:
            shown[0] = time.monotonic()
            context.preview(Volume(uncut(image[:done], head), head.grid.affine, f"{target} (synthetic)"))

    return show
