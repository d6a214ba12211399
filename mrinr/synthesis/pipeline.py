"""One synthesis from volumes to volumes: check, align, find the brain, scale, predict, scale back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mrinr import bundles, provenance
from mrinr.bundles import Bundle
from mrinr.context import Context
from mrinr.engine.device import choose, set_threads
from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.intensity import foreground_mask
from mrinr.registration import align
from mrinr.synthesis.calibration import calibrated
from mrinr.synthesis.choice import choose_model
from mrinr.synthesis.find_brain import find_brain
from mrinr.synthesis.place import places
from mrinr.synthesis.result import Synthesis
from mrinr.synthesis.slicework import Slices, predict
from mrinr.synthesis.space import onto, working_grid
from mrinr.volume import Stack, Volume, check_image

BRAIN_MODEL = "brain-compact"
BRIGHTEST = 8.0  # brain medians; training cuts its inputs there, too
STEP = 8  # pixels: the canvas is a multiple of it
FEWEST_LIT = 50  # pixels of head that a slice must have to be worked on


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


@dataclass(eq=False)
class Head:
    """A patient in the working space.

    images : by sequence, (i, j, k) float32, the brain's median at 1, cut to 0..BRIGHTEST
    units : by sequence, the brain's median in the scan's own units
    brain : (i, j, k) bool
    lit : (low, high) of the box of the head, voxels
    """

    grid: Grid
    images: dict[str, np.ndarray]
    units: dict[str, float]
    brain: np.ndarray
    lit: tuple[np.ndarray, np.ndarray]


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
    images, place = canvas(head, used)
    context.progress(0.0, f"Loading the model {bundle.name}")
    show = _previews(head, options.target, context) if context.wants_preview else None
    slices = predict(
        bundle.network(device), images, place, options.target, device, context.stage(0.4, 0.95), show
    )
    context.progress(0.95, "Writing the result")
    result = _volumes(slices, head, used, inputs[like], options.target, bundle)
    notice = provenance.notice("synthesis", options.target)
    self_check = _self_check(slices, head, used)
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
            "settings": {"model": bundle.name, "register": options.register, "like": like},
            "unlike": [],
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
    for volume in inputs.values():
        check_image(volume)
    like = options.like or next(iter(inputs))
    if like not in inputs:
        raise InputError(f"'{like}' is no input; the result can be on the grid of {', '.join(inputs)}.")
    return like


def align_to(like: str, inputs: Mapping[str, Volume], register: str, context: Context) -> dict[str, Volume]:
    """The inputs, `like` first, moved onto it where `register` says so."""
    names = [like, *(name for name in inputs if name != like)]
    if register == "off" or len(names) == 1:
        return {name: inputs[name] for name in names}
    moved, _ = align([Stack(inputs[name], name) for name in names], context)
    return {name: stack.volume for name, stack in zip(names, moved, strict=True)}


def prepare(inputs: Mapping[str, Volume], like: str, device: torch.device, context: Context) -> Head:
    """Bring the inputs into the working space and to the scale that models know.

    Raises InputError where an input does not overlap `like`, or no brain is found.
    """
    grid = working_grid(inputs[like].grid)
    images = {}
    for name, volume in inputs.items():
        images[name] = np.clip(onto(volume, grid), 0, None)
        if not images[name].any():
            raise InputError(
                f"{volume.name} does not overlap {inputs[like].name}; check that both are of one patient."
            )
        context.check()
    finder = bundles.find(BRAIN_MODEL).network(device)
    brain = find_brain(finder, list(images.values()), grid.spacing, device, context)
    units = {}
    for name, image in images.items():
        units[name] = float(np.median(image[brain]))
        if units[name] <= 0:
            raise InputError(
                f"{inputs[name].name} is dark in more than half of the brain; "
                "crop the others to its field of view, or leave it out."
            )
        images[name] = np.minimum(image / units[name], BRIGHTEST).astype(np.float32)
    lit = foreground_mask(Volume(images[like], grid.affine)) | brain
    found = [np.flatnonzero(lit.any(axis=other)) for other in ((1, 2), (0, 2))]
    levels = np.flatnonzero(lit.sum((0, 1)) >= FEWEST_LIT)
    low = np.array([found[0][0], found[1][0], levels[0]])
    high = np.array([found[0][-1], found[1][-1], levels[-1]])
    return Head(grid, images, units, brain, (low, high))


def window(head: Head) -> tuple[np.ndarray, np.ndarray, slice]:
    """Rows, columns (voxels, may reach outside the grid) and slices to work on: the head, the brain in the middle."""
    inside = np.argwhere(head.brain.any(2))
    middle = (inside.min(0) + inside.max(0)) / 2
    axes = []
    for axis in range(2):
        reach = max(middle[axis] - head.lit[0][axis], head.lit[1][axis] - middle[axis]) + 1
        half = int(np.ceil(reach / (STEP / 2))) * STEP // 2
        first = round(middle[axis]) - half
        axes.append(np.arange(first, first + 2 * half))
    return axes[0], axes[1], slice(int(head.lit[0][2]), int(head.lit[1][2]) + 1)


def canvas(head: Head, names: list[str]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Images as (k, h, w) on the window, and the place of its pixels in the brain, (2, h, w)."""
    rows, columns, levels = window(head)
    inside = np.argwhere(head.brain)
    low, high = inside.min(0)[:2], inside.max(0)[:2]
    images = {name: cut(head.images[name][..., levels], rows, columns) for name in names}
    return images, places(rows, columns, low, high)


def cut(voxels: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(i, j, k) to (k, rows, columns), zero outside."""
    out = np.zeros((voxels.shape[2], len(rows), len(columns)), np.float32)
    i, j = ((at >= 0) & (at < n) for at, n in zip((rows, columns), voxels.shape, strict=False))
    out[np.ix_(range(len(out)), np.flatnonzero(i), np.flatnonzero(j))] = voxels[
        np.ix_(rows[i], columns[j])
    ].transpose(2, 0, 1)
    return out


def uncut(part: np.ndarray, head: Head) -> np.ndarray:
    """(k, h, w) on the window back to (i, j, k) on the head's grid, zero outside."""
    rows, columns, levels = window(head)
    out = np.zeros(head.grid.shape, np.float32)
    i, j = ((at >= 0) & (at < n) for at, n in zip((rows, columns), head.grid.shape, strict=False))
    out[np.ix_(rows[i], columns[j], range(levels.start, levels.start + len(part)))] = part[
        np.ix_(range(len(part)), np.flatnonzero(i), np.flatnonzero(j))
    ].transpose(1, 2, 0)
    return out


def unit_of(target: str, head: Head, used: list[str], bundle: Bundle) -> float:
    """The target's brain median at the gain of the inputs: what they say together (geometric mean)."""
    ratios = bundle.facts["normalisation"]["ratios"][target]
    return float(np.exp(np.mean([np.log(head.units[name] * ratios[name]) for name in used])))


def _volumes(
    slices: Slices, head: Head, used: list[str], like: Volume, target: str, bundle: Bundle
) -> dict[str, Any]:
    unit = unit_of(target, head, used, bundle)
    half = calibrated(slices.half, bundle.facts["calibration"].get(target))

    def back(part: np.ndarray, factor: float, name: str) -> Volume:
        full = Volume(uncut(part, head) * factor, head.grid.affine, name)
        return Volume(np.clip(onto(full, like.grid), 0, None), like.affine, name)

    brain = onto(Volume(head.brain.astype(np.float32), head.grid.affine), like.grid) > 0.5
    own = slices.disagreement
    levels = {name: cut(head.images[name][..., window(head)[2]], *window(head)[:2]) for name in slices.checks}
    return {
        "volume": back(slices.mean, unit, f"{target} synthetic"),
        "uncertainty": back(half, unit, f"{target} uncertainty"),
        "brain": Volume(brain.astype(np.float32), like.affine, "brain"),
        "disagreement": None if own is None else back(own, unit, f"{target} disagreement"),
        "checks": {
            name: back(np.abs(slices.checks[name] - levels[name]), head.units[name], f"{name} self-check")
            for name in slices.checks
        },
    }


def _self_check(slices: Slices, head: Head, used: list[str]) -> dict[str, Any]:
    """Each input predicted from the others: median error in the brain, in % of the input's own range there."""
    if not slices.checks:
        why = (
            "with one input nothing can be hidden"
            if len(used) == 1
            else "this model predicts none of its inputs"
        )
        return {"text": f"No self-check: {why}.", "errors": {}}
    rows, columns, levels = window(head)
    brain = cut(head.brain[..., levels].astype(np.float32), rows, columns) > 0
    errors = {}
    for name, predicted in slices.checks.items():
        measured = cut(head.images[name][..., levels], rows, columns)[brain]
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
        if time.monotonic() - shown[0] > 1.5:
            shown[0] = time.monotonic()
            context.preview(Volume(uncut(image[:done], head), head.grid.affine, f"{target} preview"))

    return show
