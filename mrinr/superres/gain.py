"""Relative gain of two stacks of one contrast: receiver gain and coil shading differ between scans."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mrinr.geometry import Grid
from mrinr.intensity import foreground_mask
from mrinr.superres.cubic import interpolate
from mrinr.volume import Stack, Volume

SPACING = 4.0  # mm
SMOOTHNESS = 25.0  # mm, standard deviation: anatomy and slice profile must not be mistaken for shading
LIMITS = (0.25, 4.0)


def relative_gain(reference: Stack, stack: Stack) -> np.ndarray:
    """(stack shape) smooth positive field; `stack` times it has the intensities of `reference`.

    The ratio of both volumes' local means over their common foreground; their overall ratio where they
    have none in common. Call it after alignment.
    """
    grid = reference.volume.grid.with_spacing((SPACING,) * 3)
    x, seen_x = _on(reference.volume, grid)
    y, seen_y = _on(stack.volume, grid)
    common = seen_x * seen_y * _foreground(x, grid) * _foreground(y, grid)
    if not common.any():
        return np.ones(stack.volume.voxels.shape, dtype=np.float32)
    overall = float((x * common).sum() / (y * common).sum().clamp_min(1e-12))
    weak = 0.02 * float(y[common > 0].mean())
    field = (_blurred(x * common) + weak * overall) / (_blurred(y * common) + weak)
    field = field.clamp(LIMITS[0] * overall, LIMITS[1] * overall)
    on_stack, inside = interpolate(field, grid, stack.volume.grid)
    on_stack = torch.where(inside > 0, on_stack, torch.full_like(on_stack, overall))
    return on_stack.clamp(LIMITS[0] * overall, LIMITS[1] * overall).numpy()


def _on(volume: Volume, grid: Grid) -> tuple[Tensor, Tensor]:
    return interpolate(torch.from_numpy(np.ascontiguousarray(volume.voxels)), volume.grid, grid)


def _foreground(x: Tensor, grid: Grid) -> Tensor:
    return torch.from_numpy(foreground_mask(Volume(x.numpy(), grid.affine)).astype(np.float32))


def _blurred(x: Tensor) -> Tensor:
    sigma = SMOOTHNESS / SPACING
    offsets = torch.arange(-int(3 * sigma), int(3 * sigma) + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    x = x[None, None]
    for axis in range(3):
        shape = [1, 1, 1, 1, 1]
        shape[2 + axis] = len(kernel)
        padding = [0, 0, 0]
        padding[axis] = len(kernel) // 2
        x = F.conv3d(x, kernel.reshape(shape), padding=padding)
    return x[0, 0]
