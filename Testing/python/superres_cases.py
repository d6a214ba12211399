"""Problems for the methods without the pipeline around them, and how far a solution is from the truth."""

from __future__ import annotations

from functools import cache

import numpy as np
import phantoms
import torch

from mrinr.geometry import Grid
from mrinr.intensity import Scale, robust_scale
from mrinr.metrics import psnr
from mrinr.superres.grid import target_grid
from mrinr.superres.problem import Problem, observe
from mrinr.volume import Stack

CPU = torch.device("cpu")


@cache
def head_stacks(*pairs: tuple[str, str], **settings) -> tuple[Stack, ...]:
    """`phantoms.stacks`, made once."""
    return tuple(phantoms.stacks(*pairs, **settings))


def scales_of(stacks) -> dict[str, Scale]:
    """One for each contrast, from its last stack."""
    return {s.contrast: robust_scale(s.volume) for s in stacks}


def problem_of(stacks, grid: Grid | None = None, profile: str = "box", seed: int = 0) -> Problem:
    grid, scales = grid or target_grid(stacks), scales_of(stacks)
    observations = []
    for stack in stacks:
        values = torch.from_numpy(scales[stack.contrast].apply(stack.volume.voxels))
        observations.append(observe(stack, values, grid, profile, CPU))
    return Problem(grid, observations, CPU, seed)


def head_psnr(volumes: dict[str, torch.Tensor], stacks, grid: Grid) -> dict[str, float]:
    """dB in the brain of the phantom `head`, by contrast, for solutions in scaled units."""
    scales = scales_of(stacks)
    return {c: head_quality(x.numpy() * scales[c].unit, c, grid) for c, x in volumes.items()}


def head_quality(voxels: np.ndarray, contrast: str, grid: Grid) -> float:
    """dB in the brain of the phantom `head`, of a range of 200."""
    truth, brain = _head(contrast, grid.shape, grid.affine.tobytes())
    return psnr(truth, voxels, brain, 200.0)


@cache
def _head(contrast: str, shape: tuple[int, int, int], affine: bytes) -> tuple[np.ndarray, np.ndarray]:
    grid = Grid(shape, np.frombuffer(affine).reshape(4, 4))
    return phantoms.head(grid, contrast).voxels, phantoms.head_brain(grid)
