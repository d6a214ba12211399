"""Cubic interpolation of each stack, averaged over the stacks of a contrast: the baseline."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mrinr.acquisition import axis_matrix, cubic_kernel
from mrinr.context import Context
from mrinr.geometry import Grid
from mrinr.superres.problem import Problem, Solution

__all__ = ["interpolate", "solve"]


def interpolate(values: Tensor, source: Grid, target: Grid) -> tuple[Tensor, Tensor]:
    """Resample `values` (source shape) on `target` by cubic convolution.

    Returns the volume and a mask that is 1 where `target` lies inside the source's field of view.
    """
    transform = target.to(source)
    shared = np.abs(transform[:3, :3]).argmax(axis=0)
    rest = transform[:3, :3].copy()
    rest[shared, np.arange(3)] = 0
    if len(set(shared)) == 3 and (np.abs(rest) @ np.array(target.shape) < 0.02).all():
        return _separable(values, transform, shared, target)
    return _oblique(values, transform, target)


def _separable(values: Tensor, transform: np.ndarray, shared: np.ndarray, target: Grid):
    x = values.permute([int(a) for a in shared])
    seen = []
    for axis in range(3):
        source_axis = shared[axis]
        middle = transform[source_axis, :3] @ ((np.array(target.shape) - 1) / 2) + transform[source_axis, 3]
        index = np.arange(target.shape[axis]) - (target.shape[axis] - 1) / 2
        centres = middle + transform[source_axis, axis] * index
        matrix, inside = axis_matrix(centres, values.shape[source_axis], np.zeros(1), np.ones(1))
        seen.append(inside > 0.5)
        x = torch.tensordot(torch.tensor(matrix, dtype=x.dtype, device=x.device), x, dims=([1], [axis]))
        x = x.movedim(0, axis)
    inside = np.einsum("i,j,k->ijk", *[s.astype(np.float32) for s in seen])
    return x.contiguous(), torch.tensor(inside, device=x.device)


def _oblique(values: Tensor, transform: np.ndarray, target: Grid):
    size = values.shape
    out = torch.zeros(target.shape, device=values.device)
    mask = torch.zeros(target.shape, device=values.device)
    matrix = torch.tensor(transform, dtype=torch.float64)
    flat = values.reshape(-1)
    j = torch.arange(target.shape[1], dtype=torch.float64)
    k = torch.arange(target.shape[2], dtype=torch.float64)
    for i in range(target.shape[0]):
        position = [
            (matrix[a, 0] * i + matrix[a, 3]) + (matrix[a, 1] * j)[:, None] + (matrix[a, 2] * k)[None, :]
            for a in range(3)
        ]
        first = [torch.floor(p).long() - 1 for p in position]
        inside = torch.ones_like(position[0], dtype=torch.bool)
        weights, taps = [], []
        for a in range(3):
            inside &= (position[a] >= -0.5) & (position[a] <= size[a] - 0.5)
            t = [position[a] - (first[a] + n) for n in range(4)]
            weights.append([torch.tensor(cubic_kernel(v.numpy()), dtype=torch.float32) for v in t])
            taps.append([(first[a] + n).clamp(0, size[a] - 1) for n in range(4)])
        total = torch.zeros(target.shape[1:], device=values.device)
        for a in range(4):
            for b in range(4):
                pair = (weights[0][a] * weights[1][b]).to(values.device)
                base = (taps[0][a] * size[1] + taps[1][b]) * size[2]
                for c in range(4):
                    index = (base + taps[2][c]).to(values.device)
                    total += pair * weights[2][c].to(values.device) * flat[index]
        out[i] = total * inside.to(values.device)
        mask[i] = inside.to(values.device)
    return out, mask


def solve(problem: Problem, context: Context) -> Solution:
    """Average over the stacks of a contrast of their cubic interpolation, where they saw the voxel."""
    volumes = {}
    for contrast in problem.contrasts:
        total = torch.zeros(problem.grid.shape, device=problem.device)
        count = torch.zeros_like(total)
        for observation in problem.of(contrast):
            context.check()
            x, mask = interpolate(observation.values, observation.stack.volume.grid, problem.grid)
            total += x * mask
            count += mask
        volumes[contrast] = total / count.clamp_min(1)
    return Solution(volumes)
