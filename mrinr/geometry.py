"""Grids in world coordinates and slice profiles. RAS millimetres throughout; no torch here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mrinr.errors import InputError

FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # RAS <-> LPS
AXIS_NAMES = ("sagittal", "coronal", "axial")  # of slices stacked along R, A, S


def check_affine(affine: np.ndarray, what: str) -> np.ndarray:
    """Return `affine` as float64 4x4, or raise InputError: not 4x4, not finite, singular or sheared."""
    affine = np.array(affine, dtype=np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise InputError(f"{what} has no valid geometry (a 4x4 matrix of finite numbers); re-export it.")
    columns = affine[:3, :3]
    spacing = np.linalg.norm(columns, axis=0)
    if (spacing < 1e-6).any() or abs(np.linalg.det(columns / np.maximum(spacing, 1e-12))) < 1e-3:
        raise InputError(f"{what} has a singular geometry (a zero or repeated axis); re-export it.")
    cosines = (columns / spacing).T @ (columns / spacing) - np.eye(3)
    if np.abs(cosines).max() > 2e-3:
        raise InputError(
            f"{what} has a sheared geometry (its axes are not at right angles); "
            "resample it to a grid with orthogonal axes first."
        )
    return affine


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular grid: `shape` (i, j, k) and `affine` (4x4, index to RAS millimetres, voxel centres)."""

    shape: tuple[int, int, int]
    affine: np.ndarray

    @property
    def spacing(self) -> np.ndarray:
        """Millimetres along i, j, k."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def directions(self) -> np.ndarray:
        """3x3; columns are the unit vectors of i, j, k in RAS."""
        return self.affine[:3, :3] / self.spacing

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def world(self, index: np.ndarray) -> np.ndarray:
        """RAS millimetres of indices (..., 3)."""
        return np.asarray(index, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def corners(self) -> np.ndarray:
        """(8, 3) RAS millimetres of the outer corners of the field of view (voxel edges, not centres)."""
        ends = [(-0.5, n - 0.5) for n in self.shape]
        return self.world(np.array([(i, j, k) for i in ends[0] for j in ends[1] for k in ends[2]]))

    def to(self, other: Grid) -> np.ndarray:
        """4x4 that takes an index of this grid to the (fractional) index of the same point in `other`."""
        return np.linalg.inv(other.affine) @ self.affine

    def same_as(self, other: Grid, tolerance: float = 1e-3) -> bool:
        """True when both have the same shape and corners within `tolerance` millimetres."""
        return self.shape == other.shape and bool(np.abs(self.corners() - other.corners()).max() <= tolerance)

    def with_spacing(self, spacing: tuple[float, float, float]) -> Grid:
        """The same axes and centre at `spacing` mm; whole voxels that cover the field of view."""
        old, new = self.spacing, np.asarray(spacing, dtype=np.float64)
        shape = np.maximum(np.ceil(np.array(self.shape) * old / new - 0.05), 1).astype(int)
        affine = np.eye(4)
        affine[:3, :3] = self.directions * new
        centre = self.world((np.array(self.shape) - 1) / 2)
        affine[:3, 3] = centre - affine[:3, :3] @ ((shape - 1) / 2)
        return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)

    def crop(self, low: tuple[int, int, int], high: tuple[int, int, int]) -> Grid:
        """The part with low <= index < high."""
        affine = self.affine.copy()
        affine[:3, 3] = self.world(np.array(low))
        return Grid((high[0] - low[0], high[1] - low[1], high[2] - low[2]), affine)

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Which of the RAS points (..., 3) lie inside the field of view."""
        inverse = np.linalg.inv(self.affine)
        index = np.asarray(points) @ inverse[:3, :3].T + inverse[:3, 3]
        inside = (index >= -0.5) & (index <= np.array(self.shape) - 0.5)
        return np.asarray(inside.all(axis=-1))

    def orientation(self, axis: int) -> str:
        """'axial', 'coronal' or 'sagittal', whichever the slices stacked along `axis` are closest to."""
        return AXIS_NAMES[int(np.abs(self.directions[:, axis]).argmax())]


def profile_points(profile: str, thickness: float, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Sample a slice profile: offsets in mm from the slice centre and weights that sum to 1.

    Parameters
    ----------
    profile : 'box' (constant over the thickness), 'gaussian' (full width at half maximum = thickness)
        or 'point' (a sample at the slice centre, as the papers take it)
    thickness : nominal slice thickness in mm
    step : largest distance in mm between two samples
    """
    if profile == "point" or thickness <= 0:
        return np.zeros(1), np.ones(1)
    if profile == "box":
        count = max(1, int(np.ceil(thickness / step)))
        offsets = (np.arange(count) + 0.5) / count * thickness - thickness / 2
        return offsets, np.full(count, 1.0 / count)
    if profile == "gaussian":
        sigma = thickness / 2.3548200450309493
        count = 2 * int(np.ceil(2.5 * sigma / step)) + 1
        offsets = np.linspace(-2.5 * sigma, 2.5 * sigma, count)
        weights = np.exp(-0.5 * (offsets / sigma) ** 2)
        return offsets, weights / weights.sum()
    raise InputError(f"The slice profile '{profile}' is not known; use box, gaussian or point.")
