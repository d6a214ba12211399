"""Smooth fields: random ones (cubic splines between random nodes) and blurred ones, one axis at a time."""

from __future__ import annotations

import math

import numpy as np


def smooth_noise(shape: tuple[int, ...], rng: np.random.Generator, step: float) -> np.ndarray:
    """A float32 field of `shape`, mean 0 and standard deviation 1, that varies over about `step` voxels."""
    axes = [spline(n, step) for n in shape]
    field = rng.standard_normal([axis.shape[1] for axis in axes]).astype(np.float32)
    for weights in axes:  # each pass takes the first axis and puts the finer one last
        field = np.tensordot(field, weights, axes=(0, 1))
    return field


def spline(count: int, step: float) -> np.ndarray:
    """(count, nodes) weights of cubic B-splines `step` apart; rows have length 1 to keep noise at 1."""
    nodes = np.arange(-1, int((count - 1) / step) + 3)
    away = np.abs(np.arange(count)[:, None] / step - nodes)
    near = 2 / 3 - away**2 + away**3 / 2
    far = np.clip(2 - away, 0, None) ** 3 / 6
    weights = np.where(away < 1, near, far)
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)


def blurred(x: np.ndarray, width: float) -> np.ndarray:
    """`x` (float32) after a Gaussian of `width` voxels along each axis; nothing outside."""
    reach = math.ceil(2.5 * width)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    taps = (taps / taps.sum()).astype(np.float32)
    for axis, count in enumerate(x.shape):
        band = sum(
            tap * np.eye(count, k=offset, dtype=np.float32)
            for offset, tap in zip(range(-reach, reach + 1), taps, strict=True)
        )
        x = np.moveaxis(np.tensordot(band, x, axes=(1, axis)), 0, axis)
    return x
