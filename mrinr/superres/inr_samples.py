"""Acquired voxels as samples of a continuous function."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mrinr.acquisition import axis_points
from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.superres.problem import Observation, Problem

QUANTILES = 65  # of a slice profile


@dataclass(eq=False)
class Samples:
    """The acquired voxels that count, as tensors on the device.

    points : (n, 3) mm relative to `centre`; values : (n,) scaled; contrast, stack : (n,) numbers
    directions : (stacks, 3, 3) unit vectors of the stack's axes in rows, RAS
    through : (stacks, 3) True for the slice axis
    quantiles : (stacks, 3, QUANTILES) of the profile along each of those axes, in mm
    """

    points: Tensor
    values: Tensor
    contrast: Tensor
    stack: Tensor
    directions: Tensor
    through: Tensor
    quantiles: Tensor
    centre: np.ndarray
    contrasts: list[str]

    @classmethod
    def of(cls, problem: Problem, contrasts: list[str]) -> Samples:
        grid, device = problem.grid, problem.device
        centre = middle(grid)
        observations = [o for o in problem.observations if o.contrast in contrasts]
        points, values, numbers, stacks = [], [], [], []
        for n, o in enumerate(observations):
            index = (o.weight > 0).nonzero()
            world = o.stack.volume.grid.world(index.cpu().numpy()) - centre
            points.append(torch.tensor(world, dtype=torch.float32, device=device))
            values.append(o.values[o.weight > 0])
            numbers.append(torch.full((len(index),), contrasts.index(o.contrast), device=device))
            stacks.append(torch.full((len(index),), n, device=device))
        missing = set(contrasts) - {o.contrast for o, v in zip(observations, values, strict=True) if len(v)}
        if missing:
            raise InputError(
                f"No voxel of {sorted(missing)[0]} lies inside the target grid; "
                "choose another target or leave that contrast out."
            )
        directions = np.stack([o.stack.volume.grid.directions.T for o in observations])
        through = torch.tensor([[axis == o.slice_axis for axis in range(3)] for o in observations])
        quantiles = np.stack([_quantiles(o, float(grid.spacing.min())) for o in observations])
        return cls(
            torch.cat(points),
            torch.cat(values),
            torch.cat(numbers),
            torch.cat(stacks),
            torch.tensor(directions, dtype=torch.float32, device=device),
            through.to(device),
            torch.tensor(quantiles, dtype=torch.float32, device=device),
            centre,
            contrasts,
        )

    def __len__(self) -> int:
        return len(self.values)

    def batches(self, size: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Shuffled indices in nearly equal batches of at most `size`, sorted by contrast inside each."""
        order = torch.randperm(len(self), generator=generator).to(self.values.device)
        for index in order.tensor_split(math.ceil(len(self) / size)):
            yield index[self.contrast[index].argsort(stable=True)]

    def around(self, index: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """(batch, count, 3): `count` points drawn from the profile of each voxel, stratified through plane.

        The mean over them estimates the voxel's integral without bias.
        """
        stack = self.stack[index]
        place = torch.rand((len(index), count, 3), generator=generator).to(index.device)
        strata = torch.arange(count, device=index.device)[:, None]
        place = torch.where(self.through[stack][:, None], (strata + place) / count, place) * (QUANTILES - 1)
        low = place.floor().long().clamp(max=QUANTILES - 2)
        tables, rows = self.quantiles[stack], low.transpose(1, 2)
        distance = torch.lerp(
            tables.gather(2, rows), tables.gather(2, rows + 1), (place - low).transpose(1, 2)
        )
        return self.points[index][:, None] + distance.transpose(1, 2) @ self.directions[stack]


def middle(grid: Grid) -> np.ndarray:
    """RAS millimetres of the middle of a grid: where the coordinates of the networks start."""
    return grid.world((np.array(grid.shape) - 1) / 2)


def _quantiles(observation: Observation, finest: float) -> np.ndarray:
    """(3, QUANTILES) quantiles in mm of the profile along each axis of a stack."""
    stack = observation.stack
    out = np.zeros((3, QUANTILES))
    for axis in range(3):
        thickness = stack.thickness if axis == observation.slice_axis else None
        width = stack.volume.spacing[axis]
        profile = observation.operator.profile
        offsets, weights = axis_points(width, finest, thickness, profile, (thickness or width) / 64)
        if len(offsets) > 1:
            half = (offsets[1] - offsets[0]) / 2
            edges = np.append(offsets - half, offsets[-1] + half)
            cumulative = np.append(0.0, np.cumsum(weights))
            out[axis] = np.interp(np.linspace(0, 1, QUANTILES), cumulative, edges)
    return out
