"""Where the brain is in a head of any sequence, skull on or off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.synthesis.brain import halved
from mrinr.synthesis.space import onto
from mrinr.volume import Volume

AT_ONCE = 16  # slices
EMPTY_BELOW = 0.1  # of the volume's 99th percentile
SURE = 0.1  # chance of being brain from which it counts: what is missed costs scales and fits more than extra
SMALLEST = 20_000.0  # mm3: less is no brain, not even a thin slab of one
# A stripped scan is lit in at most this part of its voxels, and litres: no head is.
BARE_BRAIN = (0.7, 2.1)


def find_brain(
    network: nn.Module,
    images: Sequence[np.ndarray],
    spacing: np.ndarray,
    device: torch.device,
    context: Context,
) -> np.ndarray:
    """(i, j, k) bool from volumes of one head in the working space; their probabilities are averaged.

    Raises InputError where no brain is found.
    """
    shape = images[0].shape
    chance = torch.zeros(shape)
    for n, image in enumerate(images):
        floor = EMPTY_BELOW * float(np.percentile(image, 99))
        slices = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[:, None]
        for start in range(0, len(slices), AT_ONCE):
            context.progress((n + start / len(slices)) / len(images), "Finding the brain")
            part = slices[start : start + AT_ONCE].to(device)
            with torch.inference_mode():
                found = network(halved(part)).sigmoid()
                found = functional.interpolate(found, size=shape[:2], mode="bilinear").cpu()
            seen = (part.amax((1, 2, 3)) > floor).cpu()  # an empty slice says nothing, whatever its noise
            chance[..., start : start + AT_ONCE] += (found[:, 0] * seen[:, None, None]).permute(1, 2, 0)
    brain = _largest_part(chance / len(images) > SURE)
    if brain.sum() * float(np.prod(spacing)) < SMALLEST:
        raise InputError(
            "No brain was found in the inputs; the models know heads only, so choose MR volumes of one."
        )
    return brain


def bare_brain(volume: Volume, grid: Grid) -> np.ndarray | None:
    """On `grid`, what is not zero in a skull-stripped scan, holes filled; None for a head as scanned."""
    import SimpleITK as sitk

    lit = volume.voxels != 0
    part, litres = BARE_BRAIN
    if lit.mean() > part or lit.sum() * np.prod(volume.spacing) > litres * 1e6:
        return None
    filled = sitk.GetArrayFromImage(sitk.BinaryFillhole(sitk.GetImageFromArray(lit.astype(np.uint8))))
    return onto(volume.with_voxels(filled), grid) > 0.5


def _largest_part(mask: torch.Tensor) -> np.ndarray:
    """What hangs together with the place that has most of the mask around it; holes are left."""
    image = mask.float()[None, None]
    small = functional.avg_pool3d(image, 2, ceil_mode=True)
    inside = (small > 0.5).float()
    around = inside
    for axis in range(3):
        size, padding = [1, 1, 1], [0, 0, 0]
        reach = min(6, (inside.shape[2 + axis] - 1) // 2)
        size[axis], padding[axis] = 2 * reach + 1, reach
        around = functional.avg_pool3d(around, size, stride=1, padding=padding)
    grown = torch.zeros_like(inside)
    grown.view(-1)[int((around * inside).argmax())] = 1
    grown, count = grown * inside, -1
    while int(grown.sum()) > count:
        count = int(grown.sum())
        for _ in range(8):
            grown = functional.max_pool3d(grown, 3, stride=1, padding=1) * inside
    near = functional.max_pool3d(grown, 3, stride=1, padding=1)  # the mask's own border comes back
    near = functional.interpolate(near, scale_factor=2, mode="nearest")
    a, b, c = mask.shape
    return (near[0, 0, :a, :b, :c] > 0.5).numpy() & mask.numpy()
