"""Heads for training: label maps turned, bent, aged and given disease, a new one at every draw.

A head is a map of tissues (hard borders, 1 mm, axes along R, A, S); what they look like is drawn apart
(tissue.draw_scan), so that one head serves many scans.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.simulation.acquisition import rotation
from mrinr.simulation.anatomy import LABELS, NUMBERS, OUTSIDE_BRAIN
from mrinr.simulation.fields import blurred, smooth_noise
from mrinr.simulation.pathology import ALL_TISSUES, DISEASED, INDEX, KINDS, VENTRICLES, Place, cavity
from mrinr.volume import Volume

__all__ = ["ALL_TISSUES", "INDEX", "Head", "draw_head"]

TURN = 12.0  # degrees, largest
STRETCH = 0.10  # largest change of size: 7 % common to the axes, 3 % of its own for each
BEND = 3.0  # mm, largest standard deviation of the smooth warp
BEND_STEP = 30.0  # mm over which it changes
VENTRICLE_GROWTH = 5.0  # mm, largest
CAVITY_CHANCE = 0.08
CHANCES = {"none": 0.35, "ms": 0.25, "tumour": 0.25, "stroke": 0.15}  # of lesions "any"
STEP = 4  # mm between the nodes at which a warp is stored
MARGIN = 2  # voxels of air kept around a head


@dataclass(frozen=True, eq=False)
class Head:
    """The tissues of one head.

    tissue : (i, j, k) uint8, indices into ALL_TISSUES (0 is air and gives no signal)
    brain : (i, j, k) bool, brain with the fluid inside and around it, before lesions
    lesions : (i, j, k) bool
    affine : 4x4, index to RAS mm; 1 mm voxels along R, A, S
    """

    tissue: np.ndarray
    brain: np.ndarray
    lesions: np.ndarray
    affine: np.ndarray
    name: str


def draw_head(labels: Volume, rng: np.random.Generator, lesions: str = "none", vary: bool = True) -> Head:
    """One head from a FreeSurfer-numbered label map.

    Parameters
    ----------
    lesions : "none", "ms", "tumour", "stroke", or "any" (one of these by `CHANCES`)
    vary : draw another anatomy (flip, turn, size, warp, ventricles, cavities); else the map as it is

    Raises InputError for unknown lesions and for maps without brain.
    """
    if lesions not in (*KINDS, "none", "any"):
        raise InputError(f"Lesions '{lesions}' are not known; use {', '.join(KINDS)}, any or none.")
    if lesions == "any":
        lesions = str(rng.choice(list(CHANCES), p=list(CHANCES.values())))
    numbers, affine = reshaped(labels, rng if vary else None)
    tissue = TISSUE_OF_LABEL[numbers]
    brain = (numbers > 0) & ~((numbers >= OUTSIDE_BRAIN.start) & (numbers < OUTSIDE_BRAIN.stop))
    if not (brain & (tissue == INDEX["white matter"])).any():
        raise InputError(f"{labels.name} has no FreeSurfer brain labels (2, 3, 41, 42); give a label map.")
    place = Place(tissue, numbers, brain)
    if vary and rng.random() < CAVITY_CHANCE:
        cavity(place, rng)
    if lesions == "none":
        return Head(tissue, brain, np.zeros(brain.shape, bool), affine, labels.name)
    KINDS[lesions](place, rng)
    first, last = INDEX[DISEASED[0]], INDEX[DISEASED[-1]]
    return Head(tissue, brain, (tissue >= first) & (tissue <= last), affine, labels.name)


def reshaped(
    labels: Volume, rng: np.random.Generator | None, flip: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """The label map on 1 mm voxels along R, A, S, cropped to the head: (int16 numbers, affine).

    rng : draws another shape of it; None keeps the shape
    flip : whether half of the draws swap left and right (the numbers of the sides are not swapped)
    """
    inverse = np.linalg.inv(labels.affine)
    coarse = [max(1, round(STEP / s)) for s in labels.spacing]
    found = np.argwhere(labels.voxels[:: coarse[0], :: coarse[1], :: coarse[2]] > 0) * coarse
    if not len(found):
        raise InputError(f"{labels.name} is empty; give a label map.")
    points = labels.grid.world(found)
    middle = points.mean(axis=0)
    pull = np.eye(3) if rng is None else _linear(rng, flip)  # from a place in the new head to one in the old
    points = (points - middle) @ np.linalg.inv(pull).T + middle
    margin = MARGIN + STEP + (0 if rng is None else 2 * BEND)
    # voxel centres stay where they were when only axes are swapped
    phase = np.mod(labels.affine[:3, 3], 1.0)
    low = np.floor(points.min(0) - margin) + phase
    shape = tuple(int(n) for n in np.ceil(points.max(0) + margin - low) + 1)
    affine = np.eye(4)
    affine[:3, 3] = low
    old = np.eye(4)  # index in the new head -> index in the label map
    old[:3, :3] = inverse[:3, :3] @ pull
    old[:3, 3] = inverse[:3, :3] @ (middle + pull @ (low - middle)) + inverse[:3, 3]
    warp = None
    if rng is not None:
        warp = _warp(labels, old, shape, rng) @ old[:3, :3].T
    numbers = _pulled(labels.voxels, old, shape, warp)
    return _cropped(numbers, affine)


def _linear(rng: np.random.Generator, flip: bool) -> np.ndarray:
    turn = rotation(tuple(rng.uniform(-TURN, TURN, 3)))[:3, :3]
    size = 1 + rng.uniform(-0.7, 0.7) * STRETCH + rng.uniform(-0.3, 0.3, 3) * STRETCH
    mirror = -1 if flip and rng.random() < 0.5 else 1
    return turn @ np.diag(size * (mirror, 1, 1))


def _warp(labels: Volume, old: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """(a, b, c, 3) mm at nodes `STEP` apart: from where the label map is pulled, beyond the linear part.

    No folds: neighbouring nodes of each of the two parts differ by less than half their distance.
    """
    nodes = tuple(-(-n // STEP) + 1 for n in shape)
    bend = np.stack([smooth_noise(nodes, rng, BEND_STEP / STEP) for _ in range(3)], axis=-1)
    bend *= rng.uniform(0.2, 1) * BEND
    growth = rng.uniform(-1, VENTRICLE_GROWTH) if rng.random() < 0.5 else rng.uniform(-1, 1)
    at = old.copy()
    at[:3, :3] *= STEP
    soft = blurred(np.isin(_pulled(labels.voxels, at, nodes, None), VENTRICLES).astype(np.float32), 1.5)
    slope = np.stack(np.gradient(soft), axis=-1)  # towards the ventricles: pulling from there widens them
    slope *= growth / max(float(np.linalg.norm(slope, axis=-1).max()), 1e-6)
    return _unfolded(bend) + _unfolded(slope)


def _unfolded(field: np.ndarray) -> np.ndarray:
    steepest = max(float(np.abs(np.diff(field, axis=axis)).sum(-1).max()) for axis in range(3))
    return field * min(1.0, 0.45 * STEP / max(steepest, 1e-6))


def _pulled(
    image: np.ndarray, old: np.ndarray, shape: tuple[int, ...], warp: np.ndarray | None
) -> np.ndarray:
    """int16 (shape) values of `image` at the nearest voxel to `old` @ index + `warp`; 0 outside."""
    out = np.empty(shape, np.int16)
    matrix = old.astype(np.float32)
    j, k = (np.arange(n, dtype=np.float32) for n in shape[1:])
    wi, wj, wk = (_between(n) for n in shape)
    flat = np.ascontiguousarray(image).reshape(-1)
    for i in range(shape[0]):
        index = np.zeros(shape[1:], np.int32)
        outside = np.zeros(shape[1:], bool)
        if warp is not None:
            low = min(i // STEP, warp.shape[0] - 2)
            row = warp[low] * wi[i, low] + warp[low + 1] * wi[i, low + 1]
        for axis, count in enumerate(image.shape):
            start = matrix[axis, 3] + matrix[axis, 0] * i
            x = (start + matrix[axis, 1] * j)[:, None] + matrix[axis, 2] * k
            if warp is not None:
                x += wj @ row[..., axis] @ wk.T
            nearest = np.rint(x).astype(np.int32)
            outside |= (nearest < 0) | (nearest >= count)
            index = index * count + nearest
        index[outside] = 0
        values = flat[index]
        values[outside] = 0
        out[i] = values
    return out.clip(0, NUMBERS - 1)


def _between(count: int) -> np.ndarray:
    """(count, nodes) float32 weights of linear interpolation between nodes `STEP` voxels apart."""
    nodes = -(-count // STEP) + 1
    return (1 - np.abs(np.arange(count)[:, None] / STEP - np.arange(nodes))).clip(0).astype(np.float32)


def _cropped(numbers: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = [np.flatnonzero((numbers > 0).any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
    low = [max(int(f[0]) - MARGIN, 0) for f in found]
    high = [min(int(f[-1]) + MARGIN + 1, n) for f, n in zip(found, numbers.shape, strict=True)]
    a, b, c = numbers.shape
    part = Grid((a, b, c), affine).crop((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    return np.ascontiguousarray(
        numbers[tuple(slice(x, y) for x, y in zip(low, high, strict=True))]
    ), part.affine


def _tissue_of_label() -> np.ndarray:
    row = np.zeros(NUMBERS, np.uint8)
    for name, numbers in LABELS.items():
        row[list(numbers)] = INDEX[name]
    return row


TISSUE_OF_LABEL = _tissue_of_label()
