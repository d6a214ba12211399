"""The acquisition operator: what a scanner's slices see of a volume, and the operator's adjoint.

A slice voxel is the integral of the anatomy over the slice profile (through plane) and over the in-plane
voxel where that is coarser than the target's. On axes shared with the target grid the operator is a
product of three small matrices (cubic convolution between voxels); on oblique ones it samples the volume
trilinearly at the points of the profile. Both have exact adjoints and keep constants constant.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mrinr.geometry import Grid, profile_points

ALIGNED_WITHIN = 0.02  # target voxels of drift over the field of view below which axes count as shared
SAMPLES_AT_ONCE = 2_000_000


def cubic_kernel(t: np.ndarray) -> np.ndarray:
    """Cubic convolution with a = -1/2 (Keys 1981, eq. 15)."""
    t = np.abs(t)
    near = (1.5 * t - 2.5) * t**2 + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    return np.where(t < 1, near, np.where(t < 2, far, 0.0))


def axis_points(spacing: float, target: float, thickness: float | None, profile: str, step: float):
    """Offsets (mm) and weights of one axis of a stack: its slice profile, or its in-plane voxel."""
    if thickness is not None:
        return profile_points(profile, thickness, step)
    return profile_points("box" if spacing > 1.05 * target else "point", spacing, step)


def axis_matrix(centres: np.ndarray, size: int, offsets: np.ndarray, weights: np.ndarray):
    """(slices, size) matrix of one axis and the part of each profile that lies inside the grid.

    centres and offsets are in voxels of the target axis.
    """
    matrix = np.zeros((len(centres), size))
    rows = np.arange(len(centres))
    inside_weight = np.zeros(len(centres))
    for offset, weight in zip(offsets, weights, strict=True):
        position = centres + offset
        inside = (position >= -0.5 - 1e-6) & (position <= size - 0.5 + 1e-6)
        inside_weight += weight * inside
        first = np.floor(position).astype(int) - 1
        for tap in range(4):
            value = cubic_kernel(position - (first + tap)) * weight * inside
            np.add.at(matrix, (rows, np.clip(first + tap, 0, size - 1)), value)
    return matrix, inside_weight


class Acquisition:
    """The linear operator from a volume on `target` to the voxels of a stack on `stack`.

    Parameters
    ----------
    target, stack : grids; any orientation, handedness and spacing
    slice_axis : axis of `stack` along which slices were acquired
    thickness : slice thickness in mm (may differ from the slice spacing: gap or overlap)
    profile : 'box', 'gaussian' or 'point'

    Attributes
    ----------
    weight : (stack shape) float; 1 where at least half of the voxel's profile lies inside `target`, else 0
    aligned : True on the fast path
    """

    def __init__(
        self,
        target: Grid,
        stack: Grid,
        slice_axis: int,
        thickness: float,
        profile: str = "box",
        device: torch.device | str = "cpu",
    ) -> None:
        self.target, self.stack = target, stack
        self.device = torch.device(device)
        transform = stack.to(target)
        self._matrix = transform
        self._thickness = [thickness if axis == slice_axis else None for axis in range(3)]
        self.profile = profile
        shared = np.abs(transform[:3, :3]).argmax(axis=0)  # target axis of each stack axis
        rest = transform[:3, :3].copy()
        rest[shared, np.arange(3)] = 0
        drift = np.abs(rest) @ np.array(stack.shape)
        self.aligned = len(set(shared)) == 3 and bool((drift < ALIGNED_WITHIN).all())
        if self.aligned:
            self._build_aligned(transform, shared)
        else:
            self._build_oblique()

    # aligned axes -------------------------------------------------------------------------------------

    def _build_aligned(self, transform: np.ndarray, shared: np.ndarray) -> None:
        self._order = [int(a) for a in shared]
        self._matrices: list[Tensor | None] = []
        middle = transform[:3, :3] @ ((np.array(self.stack.shape) - 1) / 2) + transform[:3, 3]
        seen = []
        for axis in range(3):
            to, size = self._order[axis], self.target.shape[self._order[axis]]
            step = self.target.spacing[to]
            offsets, weights = axis_points(
                self.stack.spacing[axis], step, self._thickness[axis], self.profile, step / 8
            )
            index = np.arange(self.stack.shape[axis]) - (self.stack.shape[axis] - 1) / 2
            centres = middle[to] + transform[to, axis] * index
            matrix, inside = axis_matrix(centres, size, offsets / step, weights)
            matrix /= np.maximum(inside, 1e-6)[:, None]
            seen.append(inside)
            identity = matrix.shape[0] == matrix.shape[1] and np.abs(matrix - np.eye(size)).max() < 1e-4
            self._matrices.append(
                None if identity else torch.tensor(matrix, dtype=torch.float32, device=self.device)
            )
        inside = np.einsum("i,j,k->ijk", *seen)
        self.weight = torch.tensor(inside >= 0.5 - 1e-6, dtype=torch.float32, device=self.device)

    def _apply_matrices(self, x: Tensor, transpose: bool) -> Tensor:
        # The axis that shrinks most goes first, so that the others work on less.
        todo = [(a, m.T if transpose else m) for a, m in enumerate(self._matrices) if m is not None]
        for axis, matrix in sorted(todo, key=lambda item: item[1].shape[0] / item[1].shape[1]):
            if axis == 0:
                x = (matrix @ x.reshape(x.shape[0], -1)).reshape(-1, x.shape[1], x.shape[2])
            elif axis == 1:
                x = matrix @ x
            else:
                x = x @ matrix.T
        return x

    # oblique axes -------------------------------------------------------------------------------------

    def _build_oblique(self) -> None:
        finest = float(self.target.spacing.min())
        axes = [
            axis_points(self.stack.spacing[axis], finest, self._thickness[axis], self.profile, finest)
            for axis in range(3)
        ]
        self._points = []
        for oi, wi in zip(*axes[0], strict=True):
            for oj, wj in zip(*axes[1], strict=True):
                for ok, wk in zip(*axes[2], strict=True):
                    shift = np.array([oi, oj, ok]) / self.stack.spacing
                    self._points.append((shift, float(wi * wj * wk)))
        per_row = self.stack.shape[1] * self.stack.shape[2]
        self._rows = max(1, SAMPLES_AT_ONCE // max(per_row, 1))
        inside = torch.zeros(self.stack.shape, device=self.device)
        for rows, _, weight, valid in self._chunks():
            inside[rows] += weight * valid
        self._normal = 1.0 / inside.clamp_min(1e-6)
        self.weight = (inside >= 0.5 - 1e-4).float()

    def _chunks(self):
        """Yield (rows of the stack, normalised sample coordinates, weight, inside) point by point."""
        matrix = torch.tensor(self._matrix, dtype=torch.float64)
        size = torch.tensor(self.target.shape, dtype=torch.float64)
        _, nj, nk = self.stack.shape
        j = torch.arange(nj, dtype=torch.float32, device=self.device)
        k = torch.arange(nk, dtype=torch.float32, device=self.device)
        scale = 2.0 / (size - 1).clamp_min(1)
        for start in range(0, self.stack.shape[0], self._rows):
            rows = slice(start, min(start + self._rows, self.stack.shape[0]))
            i = torch.arange(rows.start, rows.stop, dtype=torch.float32, device=self.device)
            for shift, weight in self._points:
                base = matrix[:3, :3] @ torch.tensor(shift) + matrix[:3, 3]
                coordinates, valid = [], None
                for axis in range(3):
                    a, b, c = (float(v) for v in matrix[axis, :3])
                    p = (
                        (a * i + float(base[axis]))[:, None, None]
                        + (b * j)[None, :, None]
                        + (c * k)[None, None, :]
                    )
                    ok = (p >= -0.5) & (p <= float(size[axis]) - 0.5)
                    valid = ok if valid is None else valid & ok
                    coordinates.append(p * float(scale[axis]) - 1)
                grid = torch.stack(coordinates[::-1], dim=-1)[None]  # grid_sample wants (x, y, z) = (k, j, i)
                yield rows, grid, weight, valid

    # both ---------------------------------------------------------------------------------------------

    def forward(self, x: Tensor) -> Tensor:
        """Volume (target shape) -> slices (stack shape)."""
        if self.aligned:
            return self._apply_matrices(x.permute(self._order), transpose=False) * self.weight
        y = torch.zeros(self.stack.shape, device=self.device)
        for rows, grid, weight, valid in self._chunks():
            sampled = F.grid_sample(x[None, None], grid, padding_mode="border", align_corners=True)
            y[rows] += weight * valid * sampled[0, 0]
        return y * (self._normal * self.weight)

    def adjoint(self, y: Tensor) -> Tensor:
        """Slices (stack shape) -> volume (target shape); <forward(x), y> == <x, adjoint(y)>."""
        y = y * self.weight
        if self.aligned:
            back = self._apply_matrices(y, transpose=True)
            return back.permute([self._order.index(a) for a in range(3)]).contiguous()
        y = y * self._normal
        x = torch.zeros((1, 1, *self.target.shape), device=self.device)
        like = torch.empty_like(x)
        for rows, grid, weight, valid in self._chunks():
            gradient = (weight * valid * y[rows])[None, None]
            x += torch.ops.aten.grid_sampler_3d_backward(gradient, like, grid, 0, 1, True, [True, False])[0]
        return x[0, 0]

    def normal(self, x: Tensor) -> Tensor:
        """adjoint(forward(x))."""
        return self.adjoint(self.forward(x))
