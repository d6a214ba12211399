"""Volume to SimpleITK image and back (RAS to LPS, i j k order kept), and resampling."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from mrinr.geometry import FLIP, Grid
from mrinr.volume import Volume

sitk.ProcessObject.SetGlobalWarningDisplay(False)  # what matters is said in our own sentences


def to_itk(volume: Volume) -> sitk.Image:
    image = sitk.GetImageFromArray(volume.voxels.transpose(2, 1, 0))
    _place(image, volume.grid)
    return image


def affine_of(image: sitk.Image) -> np.ndarray:
    """4x4, index to RAS millimetres."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return FLIP @ affine


def voxels_of(image: sitk.Image) -> np.ndarray:
    """(i, j, k) float32."""
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0).astype(np.float32)


def resample(volume: Volume, grid: Grid, order: int = 1) -> Volume:
    """`volume` on `grid` by nearest neighbour (0), linear (1) or cubic B-spline (3); 0 outside."""
    how = {0: sitk.sitkNearestNeighbor, 1: sitk.sitkLinear, 3: sitk.sitkBSpline3}[order]
    target = sitk.Image(list(grid.shape), sitk.sitkUInt8)
    _place(target, grid)
    moved = sitk.Resample(to_itk(volume), target, sitk.Transform(), how, 0.0, sitk.sitkFloat32)
    return Volume(voxels_of(moved), grid.affine, volume.name, volume.meta)


def _place(image: sitk.Image, grid: Grid) -> None:
    affine = FLIP @ grid.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
