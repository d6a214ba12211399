"""Other shapes of a head: turned, resized, bent, with other ventricles; on 1 mm voxels along R, A and S."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.simulation.acquisition import rotation
from mrinr.simulation.fields import blurred, smooth_noise
from mrinr.volume import Volume

TURN = 12.0  # degrees, largest
STRETCH = 0.10  # largest change of size: 7 % common to the axes, 3 % of its own for each
BEND = 3.0  # mm, largest standard deviation of the smooth warp
BEND_STEP = 30.0  # mm over which it changes
VENTRICLES = (4, 5, 14, 15, 31, 43, 44, 63, 72)
VENTRICLE_GROWTH = 5.0  # mm, largest
STEP = 4  # voxels between the nodes at which a warp is stored
MARGIN = 2  # voxels of air kept around a head


@dataclass(frozen=True, eq=False)
class Shape:
    """Where each voxel of a new head comes from in an old one.

    grid : of the new head
    matrix : 4x4, index in the new head -> index in the old one, but for the warp
    warp : (a, b, c, 3) what to add, in voxels of the old head, at nodes `STEP` apart; None for nothing
    """

    grid: Grid
    matrix: np.ndarray
    warp: np.ndarray | None = None

    def nearest(self, image: np.ndarray) -> np.ndarray:
        """`image` (i, j, k) of the old head on the new one's grid, by nearest neighbour; 0 outside."""
        out = np.empty(self.grid.shape, image.dtype)
        flat = np.ascontiguousarray(image).reshape(-1)
        for i, places in enumerate(self._rows()):
            index = np.zeros(places[0].shape, np.int32)
            outside = np.zeros(places[0].shape, bool)
            for x, count in zip(places, image.shape, strict=True):
                near = np.rint(x).astype(np.int32)
                outside |= (near < 0) | (near >= count)
                index = index * count + near
            index[outside] = 0
            out[i] = flat[index]
            out[i][outside] = 0
        return out

    def linear(self, images: np.ndarray) -> np.ndarray:
        """`images` (n, i, j, k) float32 of the old head on the new one's grid, trilinear; 0 outside."""
        out = np.empty((len(images), *self.grid.shape), np.float32)
        old = torch.from_numpy(np.ascontiguousarray(images))[None]
        for i, places in enumerate(self._rows()):
            scaled = [x * (2 / (n - 1)) - 1 for x, n in zip(places, images.shape[1:], strict=True)]
            at = torch.from_numpy(np.stack(scaled[::-1], axis=-1))[None, None]  # grid_sample wants (k, j, i)
            out[:, i] = functional.grid_sample(old, at, align_corners=True)[0, :, 0].numpy()
        return out

    def _rows(self) -> Iterator[list[np.ndarray]]:
        """For each i of the new head, the three indices (j, k) in the old one."""
        matrix = self.matrix.astype(np.float32)
        j, k = (np.arange(n, dtype=np.float32) for n in self.grid.shape[1:])
        wi, wj, wk = (_between(n) for n in self.grid.shape)
        for i in range(self.grid.shape[0]):
            places = [(row[3] + row[0] * i + row[1] * j)[:, None] + row[2] * k for row in matrix[:3]]
            if self.warp is not None:
                low = min(i // STEP, self.warp.shape[0] - 2)
                level = self.warp[low] * wi[i, low] + self.warp[low + 1] * wi[i, low + 1]
                places = [x + wj @ level[..., axis] @ wk.T for axis, x in enumerate(places)]
            yield places


def draw_shape(labels: Volume, rng: np.random.Generator | None, flip: bool = True) -> Shape:
    """A shape of the head in a FreeSurfer-numbered label map, on a grid that holds all of it.

    rng : draws another shape; None keeps the shape and turns axes only
    flip : whether half of the draws swap left and right (the numbers of the sides are not swapped)

    Raises InputError when the map is empty.
    """
    inverse = np.linalg.inv(labels.affine)
    a, b, c = (max(1, round(STEP / s)) for s in labels.spacing)
    found = np.argwhere(labels.voxels[::a, ::b, ::c] > 0.5) * (a, b, c)
    if not len(found):
        raise InputError(f"{labels.name} is empty; give a label map.")
    points = labels.grid.world(found)
    middle = points.mean(axis=0)
    pull = (
        np.eye(3) if rng is None else _draw_linear(rng, flip)
    )  # from a place in the new head to the old one
    points = (points - middle) @ np.linalg.inv(pull).T + middle
    margin = MARGIN + STEP + (0 if rng is None else 2 * BEND)
    # Voxel centres stay where they were when only axes are swapped.
    low = np.floor(points.min(0) - margin) + np.mod(labels.affine[:3, 3], 1.0)
    a, b, c = (int(n) for n in np.ceil(points.max(0) + margin - low) + 1)
    affine = np.eye(4)
    affine[:3, 3] = low
    matrix = np.eye(4)
    matrix[:3, :3] = inverse[:3, :3] @ pull
    matrix[:3, 3] = inverse[:3, :3] @ (middle + pull @ (low - middle)) + inverse[:3, 3]
    shape = Shape(Grid((a, b, c), affine), matrix)
    if rng is None:
        return shape
    return Shape(shape.grid, matrix, _draw_warp(labels, shape, rng) @ matrix[:3, :3].T.astype(np.float32))


def box_of(inside: np.ndarray) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """First and last + 1 index of what is True in (i, j, k), `MARGIN` around; all if nothing is."""
    if not inside.any():
        a, b, c = inside.shape
        return (0, 0, 0), (a, b, c)
    flat = np.asarray(inside.any(axis=0))
    along = (inside.reshape(len(inside), -1).any(axis=1), flat.any(axis=1), flat.any(axis=0))
    found = [np.flatnonzero(a) for a in along]
    low = [max(int(f[0]) - MARGIN, 0) for f in found]
    high = [min(int(f[-1]) + MARGIN + 1, n) for f, n in zip(found, inside.shape, strict=True)]
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def _draw_linear(rng: np.random.Generator, flip: bool) -> np.ndarray:
    turn = rotation(tuple(rng.uniform(-TURN, TURN, 3)))[:3, :3]
    size = 1 + rng.uniform(-0.7, 0.7) * STRETCH + rng.uniform(-0.3, 0.3, 3) * STRETCH
    mirror = -1 if flip and rng.random() < 0.5 else 1
    return turn @ np.diag(size * (mirror, 1, 1))


def _draw_warp(labels: Volume, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """(a, b, c, 3) mm by which a new head is pulled from elsewhere than the linear part says.

    Its two parts each change by less than 0.45 mm a mm, so that nothing folds.
    """
    a, b, c = (-(-n // STEP) + 1 for n in shape.grid.shape)
    bend = np.stack([smooth_noise((a, b, c), rng, BEND_STEP / STEP) for _ in range(3)], axis=-1)
    bend *= rng.uniform(0.2, 1) * BEND
    growth = rng.uniform(-1, VENTRICLE_GROWTH) if rng.random() < 0.5 else rng.uniform(-1, 1)
    coarse = Shape(Grid((a, b, c), shape.grid.affine), shape.matrix @ np.diag([STEP, STEP, STEP, 1]))
    soft = blurred(np.isin(coarse.nearest(labels.voxels), VENTRICLES).astype(np.float32), 1.5)
    slope = np.stack(np.gradient(soft), axis=-1)  # towards the ventricles: pulling from there widens them
    slope *= growth / max(float(np.linalg.norm(slope, axis=-1).max()), 1e-6)
    return _unfolded(bend) + _unfolded(slope)


def _unfolded(field: np.ndarray) -> np.ndarray:
    steepest = max(float(np.abs(np.diff(field, axis=axis)).sum(-1).max()) for axis in range(3))
    return field * min(1.0, 0.45 * STEP / max(steepest, 1e-6))


def _between(count: int) -> np.ndarray:
    """(count, nodes) float32 weights of linear interpolation between nodes `STEP` voxels apart."""
    nodes = -(-count // STEP) + 1
    return (1 - np.abs(np.arange(count)[:, None] / STEP - np.arange(nodes))).clip(0).astype(np.float32)
