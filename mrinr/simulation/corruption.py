"""What spoils a real scan: bias, noise, thick slices, other greys, failed skull stripping, lost slabs.

Functions of float32 arrays (i, j) or (i, j, k) that return new ones. Only what a model is shown is spoiled,
never what it is to learn.
"""

from __future__ import annotations

import math

import numpy as np

from mrinr.simulation.fields import blurred, smooth_noise

BIAS_NODES = 3  # spans of the bias field's spline along the longest axis


def bias_field(shape: tuple[int, ...], rng: np.random.Generator, amount: float) -> np.ndarray:
    """Smooth factors of mean about 1 and largest deviation (of the logarithm) `amount`: 0 to 0.3 is usual."""
    field = smooth_noise(shape, rng, max(shape) / BIAS_NODES)
    field -= field.mean()
    return np.exp(amount * field / max(float(np.abs(field).max()), 1e-6)).astype(np.float32)


def rician(image: np.ndarray, sigma: float | np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The magnitude after complex Gaussian noise of standard deviation `sigma` in either part."""
    real, imaginary = (sigma * rng.standard_normal(image.shape, dtype=np.float32) for _ in range(2))
    return np.hypot(image + real, imaginary).astype(np.float32)


def gamma(image: np.ndarray, exponent: float | np.ndarray, top: float) -> np.ndarray:
    """Other greys: 0 and `top` stay, between them (x / top) becomes its power. 0.75 to 1.35 is usual."""
    return (top * (np.clip(image, 0, None) / top) ** exponent).astype(np.float32)


def thick(image: np.ndarray, thickness: float, axis: int = -1, offset: int = 0) -> np.ndarray:
    """As if acquired in slices of `thickness` voxels along `axis` and interpolated back onto the old grid.

    The first slice is centred on voxel `offset`. Voxels at a slice's ends count by how far they lie in it.
    """
    if thickness <= 1:
        return np.array(image, np.float32)
    x = np.moveaxis(image, axis, -1)
    count = x.shape[-1]
    centres = np.arange(offset, count - 1 + thickness, thickness)
    voxel = np.arange(count)
    # how much of each voxel lies in each slice
    inside = np.clip(0.5 + thickness / 2 - np.abs(voxel - centres[:, None]), 0, min(1.0, thickness))
    inside /= np.maximum(inside.sum(1, keepdims=True), 1e-6)
    back = np.clip(1 - np.abs(voxel[:, None].clip(offset, centres[-1]) - centres) / thickness, 0, None)
    resliced = (back @ inside).astype(np.float32)
    resliced /= resliced.sum(1, keepdims=True)
    return np.ascontiguousarray(np.moveaxis(x @ resliced.T, -1, axis))


def missing_slab(
    image: np.ndarray, rng: np.random.Generator, axis: int = -1, most: float = 0.2
) -> np.ndarray:
    """Up to `most` of the extent along `axis` lost (0) at one end, as in too short a field of view."""
    count = image.shape[axis]
    lost = int(rng.uniform(0, most) * count)
    kept = slice(lost, None) if rng.random() < 0.5 else slice(0, count - lost)
    box = [slice(None)] * image.ndim
    box[axis] = kept
    made = np.zeros_like(image, dtype=np.float32)
    made[tuple(box)] = image[tuple(box)]
    return made


def imperfect_strip(
    brain: np.ndarray,
    rng: np.random.Generator,
    error: float = 2.0,
    smoothness: float = 20.0,
    width: float = 3.0,
) -> np.ndarray:
    """`brain` (bool, 2D or 3D) with its border moved in and out by a smooth random distance.

    error : standard deviation of that distance in voxels; half its variance is common to the head
    smoothness : voxels over which the error changes
    width : of the Gaussian that turns the mask into a distance: a blurred straight border is the normal
        distribution of the distance to it, so thresholds other than one half move it. Errors end at 2 widths.
    """
    soft = blurred(brain.astype(np.float32), width)
    shift = error * (smooth_noise(brain.shape, rng, smoothness) + rng.standard_normal()) / math.sqrt(2)
    # the normal distribution by its logistic approximation, within 0.01
    level = 1 / (1 + np.exp(1.702 * np.clip(shift / width, -2, 2)))
    return np.asarray(soft > level)
