"""A super-resolution problem in scaled units: stacks, their operators and the target grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mrinr.acquisition import Acquisition
from mrinr.geometry import Grid
from mrinr.volume import Stack


@dataclass(eq=False)
class Observation:
    """One stack as the methods see it.

    values : (stack shape) scaled intensities, with the gain of the contrast's first stack
    gain : (stack shape) or None for 1: what the acquired intensities were multiplied by for that
    operator : target grid -> stack
    weight : (stack shape) 1 where a voxel counts, 0 where it is outside the target or hidden
    """

    stack: Stack
    contrast: str
    values: Tensor
    operator: Acquisition
    weight: Tensor
    gain: Tensor | None = None

    @property
    def slice_axis(self) -> int:
        assert self.stack.slice_axis is not None
        return self.stack.slice_axis


@dataclass(eq=False)
class Problem:
    """What a method gets: scaled observations on one target grid."""

    grid: Grid
    observations: list[Observation]
    device: torch.device
    seed: int = 0
    on_show: Callable[[dict[str, Tensor]], None] | None = None

    def show(self, volumes: dict[str, Tensor]) -> None:
        """Let the person watch: scaled volumes by contrast, as they are so far."""
        if self.on_show is not None:
            self.on_show(volumes)

    @property
    def contrasts(self) -> list[str]:
        return list(dict.fromkeys(o.contrast for o in self.observations))

    def of(self, contrast: str) -> list[Observation]:
        return [o for o in self.observations if o.contrast == contrast]


@dataclass(eq=False)
class Solution:
    """What a method gives back: scaled volumes on the target grid, by contrast.

    sample : evaluates a continuous representation on another grid; None for voxel methods
    notes : facts for the report, for example epochs run or conjugate-gradient steps
    moved : where a learned prior took part, by contrast: the volume less what the patient's stacks alone give
    """

    volumes: dict[str, Tensor]
    sample: Callable[[Grid], dict[str, Tensor]] | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    moved: dict[str, Tensor] = field(default_factory=dict)


def observe(stack: Stack, values: Tensor, grid: Grid, profile: str, device: torch.device) -> Observation:
    """The observation of `stack` (scaled `values`) on `grid` through `profile`."""
    assert stack.slice_axis is not None and stack.thickness is not None
    operator = Acquisition(grid, stack.volume.grid, stack.slice_axis, stack.thickness, profile, device)
    return Observation(stack, stack.contrast, values.to(device), operator, operator.weight.clone())


def slice_axis_on_grid(problem: Problem, observation: Observation) -> int:
    """The target axis nearest to the observation's slice axis."""
    direction = observation.stack.volume.grid.directions[:, observation.slice_axis]
    return int(np.abs(problem.grid.directions.T @ direction).argmax())


FINE = 1.5  # voxels of the target: thinner slices, as those of a 3D scan, count as fine


def thick_axes(problem: Problem) -> dict[str, set[int]]:
    """The target axis along which each contrast is thick; none where its stacks leave no axis thick.

    That is so where it has stacks in several planes, or one with thin slices.
    """
    found: dict[str, set[int]] = {}
    for contrast in problem.contrasts:
        stacks = problem.of(contrast)
        axes = {slice_axis_on_grid(problem, o) for o in stacks}
        fine = len(axes) > 1 or any(_extent(problem, o) <= FINE for o in stacks)
        found[contrast] = set() if fine else axes
    return found


def _extent(problem: Problem, observation: Observation) -> float:
    """How thick or how far apart the slices are, the larger, in voxels of the target."""
    axis, volume = observation.slice_axis, observation.stack.volume
    mm = max(float(volume.spacing[axis]), float(observation.stack.thickness or 0))
    return mm / float(problem.grid.spacing[slice_axis_on_grid(problem, observation)])


def missing_slices(observation: Observation) -> Tensor:
    """(slices,) 1 where a slice inside the target's field of view has no weight: hidden or unusable."""
    others = tuple(a for a in range(3) if a != observation.slice_axis)
    inside = observation.operator.weight.sum(dim=others) > 0
    return (inside & (observation.weight.sum(dim=others) == 0)).float()
