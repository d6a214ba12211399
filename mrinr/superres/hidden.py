"""Hidden slices: leave acquired slices out, predict them through the forward model, compare.

This is the one measurement of a reconstruction that needs no truth. `auto` chooses by it and every result
shows it as its self-check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mrinr.geometry import Grid
from mrinr.superres.problem import Observation, Problem, observe
from mrinr.volume import Stack

BLOCK = 72  # voxels a side of the central block that trial runs work on
EVERY = 5  # one slice in five is hidden, never two neighbours


@dataclass(eq=False)
class HiddenSlices:
    """A problem with some slices hidden.

    held_out : for each observation (stack shape) 1 on hidden foreground voxels
    measured : for each observation its values before hiding
    """

    problem: Problem
    held_out: list[Tensor]
    measured: list[Tensor]

    @property
    def count(self) -> int:
        """How many slices are hidden."""
        total = 0
        for o, held in zip(self.problem.observations, self.held_out, strict=True):
            others = tuple(a for a in range(3) if a != o.slice_axis)
            total += int((held.sum(dim=others) > 0).sum())
        return total

    def errors(self, volumes: dict[str, Tensor]) -> dict[str, float]:
        """Root mean square error on hidden slices by contrast, in units of the contrast's robust scale."""
        squares: dict[str, float] = {}
        counts: dict[str, float] = {}
        for o, held, values in zip(self.problem.observations, self.held_out, self.measured, strict=True):
            difference = (o.operator.forward(volumes[o.contrast]) - values) * held
            squares[o.contrast] = squares.get(o.contrast, 0.0) + float((difference**2).sum())
            counts[o.contrast] = counts.get(o.contrast, 0.0) + float(held.sum())
        return {c: (squares[c] / counts[c]) ** 0.5 for c in squares if counts[c] > 0}


def central_block(problem: Problem, profile: str) -> Problem:
    """The part of the problem inside a block around the centre of the foreground."""
    grid = _block_grid(problem)
    observations = []
    for o in problem.observations:
        low, high = _index_box(grid, o.stack.volume.grid)
        if (high - low < 1).any():
            continue
        part = o.stack.volume.grid.crop(tuple(low), tuple(high))
        slices = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        volume = type(o.stack.volume)(
            np.ascontiguousarray(o.stack.volume.voxels[slices]), part.affine, o.stack.volume.name
        )
        stack = Stack(volume, o.contrast, o.slice_axis, o.stack.thickness, o.stack.profile)
        own = o.stack.profile if o.stack.profile != "auto" else profile
        observations.append(observe(stack, o.values[slices].contiguous(), grid, own, problem.device))
    return Problem(grid, observations, problem.device, problem.seed)


def _block_grid(problem: Problem) -> Grid:
    first = problem.observations[0]
    bright = (first.values > 0.2).nonzero().float().mean(0).cpu().numpy()
    centre = first.stack.volume.grid.world(bright)
    index = np.linalg.inv(problem.grid.affine) @ np.r_[centre, 1.0]
    shape = np.array(problem.grid.shape)
    low = np.clip(np.rint(index[:3]) - BLOCK // 2, 0, np.maximum(shape - BLOCK, 0)).astype(int)
    high = np.minimum(low + BLOCK, shape)
    return problem.grid.crop(tuple(low), tuple(high))


def _index_box(grid: Grid, stack: Grid) -> tuple[np.ndarray, np.ndarray]:
    """The stack's index range whose voxel centres can lie inside `grid`."""
    inverse = np.linalg.inv(stack.affine)
    index = grid.corners() @ inverse[:3, :3].T + inverse[:3, 3]
    low = np.clip(np.ceil(index.min(0)), 0, None).astype(int)
    high = np.minimum(np.floor(index.max(0)).astype(int) + 1, stack.shape)
    return low, high


def hide(problem: Problem) -> HiddenSlices:
    """Hide every fifth inner slice of every stack that has at least four.

    The values of a hidden slice are overwritten by the mean of its neighbours, so that no method can peek.
    """
    observations, held_out = [], []
    for o in problem.observations:
        count = o.values.shape[o.slice_axis]
        chosen = list(range(2, count - 1, EVERY)) if count >= 4 else []
        values, weight = o.values.clone(), o.weight.clone()
        held = torch.zeros_like(weight)
        axis = o.slice_axis
        for n in chosen:
            here = weight.select(axis, n)
            inside = o.values.select(axis, n) > 0.05
            held.select(axis, n).copy_(here * inside)
            here.zero_()
            values.select(axis, n).copy_((o.values.select(axis, n - 1) + o.values.select(axis, n + 1)) / 2)
        observations.append(Observation(o.stack, o.contrast, values, o.operator, weight))
        held_out.append(held)
    trial = Problem(problem.grid, observations, problem.device, problem.seed)
    return HiddenSlices(trial, held_out, [o.values for o in problem.observations])


def self_check(errors: dict[str, float], floor: dict[str, float], count: int) -> dict[str, Any]:
    """The sentence and the numbers that are shown with a result."""
    parts = []
    for contrast, error in errors.items():
        parts.append(
            f"{contrast} {100 * error:.1f} % of its range (interpolation: {100 * floor[contrast]:.1f} %)"
        )
    text = (
        f"Self-check: {count} measured slices were hidden and predicted; error " + ", ".join(parts)
        if parts
        else "Self-check: not possible, the stacks have too few slices to hide one."
    )
    return {"text": text, "error": errors, "interpolation": floor, "hidden_slices": count}
