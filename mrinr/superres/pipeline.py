"""From stacks to a reconstruction: check, align, scale, solve, unscale, clip, judge."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

import mrinr
from mrinr.context import Context
from mrinr.engine.device import choose as choose_device
from mrinr.engine.device import set_threads
from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.intensity import Scale, foreground_mask, noise_sigma, robust_scale
from mrinr.registration import align
from mrinr.superres import auto
from mrinr.superres.cubic import interpolate
from mrinr.superres.estimate import fitting_grid
from mrinr.superres.gain import relative_gain
from mrinr.superres.grid import check_overlap, check_spacing
from mrinr.superres.inr import fields_of
from mrinr.superres.methods import check_settings, solver
from mrinr.superres.problem import Observation, Problem, Solution, observe
from mrinr.superres.result import Reconstruction
from mrinr.through_plane import warning as interpolation_warning
from mrinr.volume import Stack, Volume, check_image

LEAST_SEEN = 0.01  # of a slice's weight: less says nothing about a voxel
OVERSHOOT = 1.1  # results may exceed the brightest acquired voxel by a tenth


@dataclass(eq=False)
class Options:
    """The arguments of `reconstruct`, see there."""

    method: str = "auto"
    spacing: float | str = "auto"
    like: Volume | None = None
    profile: str = "auto"
    register: str = "auto"
    mask: Volume | None = None
    device: str = "auto"
    seed: int = 0
    threads: int | None = None
    roi: Sequence[float] | None = None
    prior: bool = True
    settings: dict[str, Any] = field(default_factory=dict)


def run(stacks: list[Stack], options: Options, context: Context) -> Reconstruction:
    """See `mrinr.superres.reconstruct`."""
    started = time.monotonic()
    check(stacks, options)
    device, device_line = choose_device(options.device)
    set_threads(options.threads)
    torch.manual_seed(options.seed)
    grid = fitting_grid(stacks, options, context)
    around = grid if options.roi is None else with_margin(grid, stacks)
    context.progress(0.01, "Aligning the stacks")
    for sentence in filter(None, map(interpolation_warning, stacks)):
        context.warn(sentence)
    given = stacks
    if options.register == "auto":
        stacks, motions = align(stacks, context.stage(0.01, 0.08))
    else:
        motions = [np.eye(4) for _ in stacks]
    check_overlap(stacks, grid)
    if parallel(stacks):
        context.warn(
            f"All slices are {stacks[0].orientation}: nothing was measured finely across them, so expect "
            "little gain over interpolation; a scan in another plane would help."
        )
    mask = None if options.mask is None else mask_on(options.mask, around)
    scales = subject_scales(stacks)
    gains = relative_gains(stacks)
    profile = options.profile
    problem = build(stacks, gains, scales, around, profile, device, options.seed)
    if options.method == "auto":
        choice = auto.choose(problem, context.stage(0.08, 0.25), profile, options.prior)
    else:
        settings = dict(options.settings)
        if options.method == "best":
            settings["prior"] = options.prior
        choice = auto.fixed(problem, context.stage(0.08, 0.25), options.method, profile, settings)
    if choice.method == "prior" and parallel(stacks):
        context.warn(
            "What lies between these parallel slices was learned from other people: nothing else in the "
            "scans supports it."
        )
    problem = build(stacks, gains, scales, around, choice.profile, device, options.seed)
    if context.wants_preview:
        problem.on_show = previewer(problem, scales, context)
    solution = solver(choice.method)(problem, context.stage(0.25, 0.97), **choice.settings)
    result = finish(problem, solution, scales, mask, grid, context)
    for stack in given:  # beside the original, wherever alignment moved it
        again = result.rescanned[stack.volume.name]
        result.rescanned[stack.volume.name] = replace(again, affine=stack.volume.affine)
    result.report = {
        "mrinr": mrinr.__version__,
        "torch": torch.__version__,
        "method": choice.method,
        "settings": choice.settings,
        "requested": {
            "method": options.method,
            "profile": options.profile,
            "register": options.register,
            "prior": options.prior,
        },
        "profile": choice.profile,
        "reason": choice.reason,
        "candidates": choice.candidates,
        "self_check": choice.self_check,
        "device": device_line,
        "seed": options.seed,
        "grid": {
            "shape": list(grid.shape),
            "spacing": [round(float(s), 4) for s in grid.spacing],
            "affine": grid.affine.tolist(),
        },
        "stacks": [_describe(s, m) for s, m in zip(stacks, motions, strict=True)],
        **result.report,
        "notes": solution.notes,
        "warnings": list(context.warnings),
        "seconds": round(time.monotonic() - started, 2),
    }
    context.progress(1.0, "Done")
    return result


def check(stacks: list[Stack], options: Options) -> None:
    """Raise InputError for anything that no method could work with."""
    if not stacks:
        raise InputError("No stack was given; choose at least one.")
    names = [s.volume.name for s in stacks]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise InputError(f"{twice} was given twice; name every stack once.")
    for stack in stacks:
        check_image(stack.volume)
    check_settings(options.method, options.settings)
    if options.method == "prior" and not options.prior:
        raise InputError("The method prior is learned; choose another method, or allow learned priors.")
    if options.profile not in ("auto", "box", "gaussian", "point"):
        raise InputError(
            f"The slice profile '{options.profile}' is not known; use auto, box, gaussian or point."
        )
    if options.register not in ("auto", "off"):
        raise InputError(f"register must be auto or off, not '{options.register}'.")


def parallel(stacks: list[Stack]) -> bool:
    """True when all slice axes lie within 20 degrees of the first's."""
    normals = [s.volume.grid.directions[:, s.slice_axis] for s in stacks]
    return all(abs(float(normals[0] @ n)) > np.cos(np.radians(20)) for n in normals)


def with_margin(grid: Grid, stacks: list[Stack]) -> Grid:
    """`grid` and two slices around it: a slice that is cut off at the edge would tell nothing there."""
    millimetres = 2 * max(float(s.volume.spacing[s.slice_axis]) for s in stacks)
    margin = np.ceil(millimetres / grid.spacing).astype(int)
    low, high = -margin, np.array(grid.shape) + margin
    return grid.crop((int(low[0]), int(low[1]), int(low[2])), (int(high[0]), int(high[1]), int(high[2])))


def subject_scales(stacks: list[Stack]) -> dict[str, Scale]:
    """One robust scale for each contrast, from its first stack."""
    scales: dict[str, Scale] = {}
    for stack in stacks:
        if stack.contrast not in scales:
            scales[stack.contrast] = robust_scale(stack.volume)
    return scales


def relative_gains(stacks: list[Stack]) -> list[np.ndarray | None]:
    """For each stack, what multiplies it to the intensities of its contrast's first; None for the first."""
    first: dict[str, Stack] = {}
    gains: list[np.ndarray | None] = []
    for stack in stacks:
        reference = first.setdefault(stack.contrast, stack)
        gains.append(None if reference is stack else relative_gain(reference, stack))
    return gains


def build(
    stacks: list[Stack],
    gains: list[np.ndarray | None],
    scales: dict[str, Scale],
    grid: Grid,
    profile: str,
    device: torch.device,
    seed: int,
) -> Problem:
    """The problem with each stack's own profile, or `profile` ('auto' is box) where it names none."""
    observations = []
    for stack, gain in zip(stacks, gains, strict=True):
        own = stack.profile if stack.profile != "auto" else ("box" if profile == "auto" else profile)
        values = torch.from_numpy(scales[stack.contrast].apply(stack.volume.voxels))
        field = None if gain is None else torch.from_numpy(gain)
        observation = observe(stack, values if field is None else values * field, grid, own, device)
        observation.gain = None if field is None else field.to(device)
        observations.append(observation)
    return Problem(grid, observations, device, seed)


def mask_on(mask: Volume, grid: Grid) -> Tensor:
    """`mask` (non-zero inside) on `grid` as 0 or 1; InputError when nothing of it lies there."""
    if not (mask.voxels != 0).any():
        raise InputError(f"The mask {mask.name} is empty; choose one with voxels above 0.")
    values, _ = interpolate(torch.from_numpy((mask.voxels != 0).astype(np.float32)), mask.grid, grid)
    if not (values > 0.5).any():
        raise InputError(
            f"The mask {mask.name} does not overlap the stacks; check that they belong together."
        )
    return (values > 0.5).float()


def finish(
    problem: Problem,
    solution: Solution,
    scales: dict[str, Scale],
    mask: Tensor | None,
    grid: Grid,
    context: Context,
) -> Reconstruction:
    """Clip, unscale and judge a solution: residuals, coverage and what the scanner would have seen.

    `grid`, a part of the problem's, is what the result lies on.
    """
    start = np.rint(np.linalg.inv(problem.grid.affine) @ grid.affine[:, 3])[:3].astype(int)
    part = tuple(slice(a, a + n) for a, n in zip(start, grid.shape, strict=True))
    volumes, residuals, coverage, rescanned, moved = {}, {}, {}, {}, {}
    numbers: dict[str, Any] = {}
    for contrast in problem.contrasts:
        context.progress(0.98, f"Comparing {contrast} with what was acquired")
        observations, scale = problem.of(contrast), scales[contrast]
        low, high = intensity_limits([o.stack for o in observations])
        x = solution.volumes[contrast] * scale.unit
        faint = 0.02 * scale.unit  # slight ringing below zero in air is no news
        clipped = int(((x < low - faint) | (x > high)).sum())
        x = x.clamp(low, high)
        residual = torch.zeros(problem.grid.shape, device=problem.device)
        seen = torch.zeros_like(residual)
        largest = 0.0
        per_stack = []
        for o in observations:
            again, acquired = o.operator.forward(x), o.values * scale.unit
            if o.gain is not None:
                again, acquired = again / o.gain, acquired / o.gain
            difference = (again - acquired).abs() * o.weight
            residual += o.operator.adjoint(difference)
            seen += o.operator.adjoint(o.weight)
            largest = max(largest, float(difference.max()))
            volume = o.stack.volume
            rescanned[volume.name] = volume.with_voxels(again.cpu().numpy(), f"{volume.name} re-sliced")
            per_stack.append(_residual_numbers(o, difference, mask))
        count = sum((_footprint(o.operator) for o in observations), torch.zeros_like(residual))
        # interpolation has negative lobes, so the mean of differences may leave their range
        residual = (residual / seen.clamp_min(LEAST_SEEN)).clamp(0, largest) * (seen > LEAST_SEEN)

        def volume_of(values: Tensor, name: str) -> Volume:
            return Volume(np.ascontiguousarray(values[part].cpu().numpy()), grid.affine, name)

        volumes[contrast] = volume_of(x, f"{contrast} SR")
        residuals[contrast] = volume_of(residual, f"{contrast} residual")
        coverage[contrast] = volume_of(count, f"{contrast} coverage")
        if contrast in solution.moved:
            moved[contrast] = volume_of(
                solution.moved[contrast] * scale.unit, f"{contrast} moved by the prior"
            )
        numbers[contrast] = {
            "clipped_voxels": clipped,
            "limits": [low, high],
            "unit": scale.unit,
            "unseen_fraction": round(float((count[part] == 0).float().mean()), 4),
            "stacks": per_stack,
        }
    resampler = make_resampler(problem, solution, volumes, scales, grid)
    fields = fields_of(solution.sample)
    facts = {"contrasts": numbers}
    return Reconstruction(volumes, residuals, coverage, rescanned, facts, resampler, moved, fields)


def intensity_limits(stacks: list[Stack]) -> tuple[float, float]:
    """Lowest and highest allowed result: magnitude images stay at or above 0."""
    low = min(float(s.volume.voxels.min()) for s in stacks)
    high = max(float(s.volume.voxels.max()) for s in stacks)
    return (0.0 if low >= 0 else low), (high * OVERSHOOT if high > 0 else high)


def make_resampler(
    problem: Problem,
    solution: Solution,
    volumes: dict[str, Volume],
    scales: dict[str, Scale],
    grid: Grid,
) -> Callable[[float], dict[str, Volume]]:
    """The function behind `Reconstruction.resample`."""

    def resample(spacing: float) -> dict[str, Volume]:
        mm = check_spacing(spacing)
        finer = grid.with_spacing((mm, mm, mm))
        sampled = None if solution.sample is None else solution.sample(finer)
        out = {}
        for contrast, volume in volumes.items():
            if sampled is None:
                x, _ = interpolate(torch.from_numpy(volume.voxels), volume.grid, finer)
            else:
                x = sampled[contrast].cpu() * scales[contrast].unit
            low, high = intensity_limits([o.stack for o in problem.of(contrast)])
            out[contrast] = Volume(x.clamp(low, high).numpy(), finer.affine, volume.name, volume.meta)
        return out

    return resample


def previewer(problem: Problem, scales: dict[str, Scale], context: Context):
    """Turns scaled volumes into preview volumes of the source's units."""

    def show(volumes: dict[str, Tensor]) -> None:
        for contrast, x in volumes.items():
            voxels = (x.clamp_min(0) * scales[contrast].unit).cpu().numpy()
            context.preview(Volume(voxels, problem.grid.affine, f"{contrast} SR"))

    return show


def _footprint(operator: Any) -> Tensor:
    """1 where a target voxel lies inside the stack's field of view."""
    inside = operator.stack.contains
    shape = operator.target.shape
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape[1:]], indexing="ij"), -1)
    out = np.empty(shape, dtype=np.float32)
    for i in range(shape[0]):
        plane = np.concatenate([np.full((*index.shape[:2], 1), i), index], axis=-1)
        out[i] = inside(operator.target.world(plane))
    return torch.from_numpy(out).to(operator.device)


def _residual_numbers(o: Observation, difference: Tensor, mask: Tensor | None) -> dict[str, Any]:
    """Median residual and noise of one stack, in its units, inside the mask (the foreground when None)."""
    volume = o.stack.volume
    if mask is None:
        inside = foreground_mask(volume)
    else:
        inside = (o.operator.forward(mask.to(difference.device)) > 0.5).cpu().numpy()
    inside &= (o.weight > 0).cpu().numpy()
    sigma = noise_sigma(volume, o.slice_axis, inside)
    residual = difference.cpu().numpy()[inside]
    median = float(np.median(residual)) if residual.size else 0.0
    return {"name": volume.name, "median_residual": round(median, 4), "noise_sigma": round(sigma, 4)}


def _describe(stack: Stack, motion: np.ndarray) -> dict[str, Any]:
    return {
        "name": stack.volume.name,
        "contrast": stack.contrast,
        "orientation": stack.orientation,
        "shape": list(stack.volume.voxels.shape),
        "spacing": [round(float(s), 4) for s in stack.volume.spacing],
        "thickness": round(float(stack.thickness or 0), 4),
        "motion": np.round(motion, 6).tolist(),
    }
