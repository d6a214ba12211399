"""Rigid alignment of volumes to the first one by mutual information."""

from __future__ import annotations

from typing import Any

import numpy as np

from mrinr.context import Context
from mrinr.geometry import Grid
from mrinr.intensity import foreground_mask
from mrinr.interrupts import held_back
from mrinr.volume import Stack, Volume

WORKING_SPACING = 2.0  # mm
TRUST_HEADER_BELOW = 0.25  # of the slice thickness: mutual information of thick slices errs by as much
WARN_ABOVE = 0.5  # of a voxel
LARGEST_MOTION = 60.0  # mm; beyond it the result is taken for a failure


def align(stacks: list[Stack], context: Context) -> tuple[list[Stack], list[np.ndarray]]:
    """Move every stack after the first rigidly onto the first.

    Returns the moved stacks and their motions (4x4, RAS mm; the identity where the header is trusted:
    when the motion found is within the method's own error, or when alignment failed, with a warning).
    """
    moved, motions = [stacks[0]], [np.eye(4)]
    for n, stack in enumerate(stacks[1:]):
        context.progress(n / max(len(stacks) - 1, 1), f"Aligning {stack.volume.name}")
        motion = rigid_motion(stacks[0], stack, context)
        size, voxel = displacement(motion, stack.volume), float(stacks[0].volume.spacing.min())
        names = stack.volume.name, stacks[0].volume.name
        if _within_error(motion, stacks[0], stack):
            motion = np.eye(4)
            if size > WARN_ABOVE * voxel:
                context.warn(
                    f"{names[0]} may lie {size:.1f} mm off {names[1]}; slices this thick cannot tell, so its "
                    "header is trusted."
                )
        else:
            context.warn(
                f"{names[0]} was moved by {size:.1f} mm ({rotation_degrees(motion):.1f} degrees) to match "
                f"{names[1]}; look at it, or turn alignment off if the headers are right."
            )
        motions.append(motion)
        moved.append(_moved(stack, motion))
    return moved, motions


def _moved(stack: Stack, motion: np.ndarray) -> Stack:
    return Stack(stack.volume.moved(motion), stack.contrast, stack.slice_axis, stack.thickness, stack.profile)


def _within_error(motion: np.ndarray, fixed: Stack, moving: Stack) -> bool:
    """True when the motion is so small that the header is the better guess."""
    voxel = float(fixed.volume.spacing.min())
    limit = max(WARN_ABOVE * voxel, TRUST_HEADER_BELOW * float(moving.thickness or 0))
    return displacement(motion, moving.volume) < limit


def displacement(motion: np.ndarray, volume: Volume) -> float:
    """Mean distance (mm) that `motion` moves the points of a sphere of half the volume's extent."""
    centre = volume.grid.world((np.array(volume.voxels.shape) - 1) / 2)
    radius = 0.25 * float(np.min(np.array(volume.voxels.shape) * volume.spacing))
    points = centre + radius * np.concatenate([np.eye(3), -np.eye(3)])
    return float(np.linalg.norm(points @ motion[:3, :3].T + motion[:3, 3] - points, axis=1).mean())


def rotation_degrees(motion: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip((np.trace(motion[:3, :3]) - 1) / 2, -1, 1))))


def rigid_motion(fixed: Stack, moving: Stack, context: Context) -> np.ndarray:
    """The rigid motion (4x4, RAS to RAS mm) that takes `moving` onto `fixed`; identity where it fails.

    Mattes mutual information over three resolutions. Both volumes are first blurred along the other's
    slice axis, so that both show the same resolution: otherwise the thick axis attracts the optimum.
    """
    try:
        import SimpleITK as sitk
    except ImportError:
        context.warn("SimpleITK is missing, so the stacks were not aligned; their headers are trusted.")
        return np.eye(4)
    grid = _working_grid(fixed)
    fixed_image = _image(sitk, _blurred(_resampled(sitk, fixed.volume, grid), grid, moving), grid)
    moving_grid = _working_grid(moving)
    moving_image = _image(
        sitk, _blurred(_resampled(sitk, moving.volume, moving_grid), moving_grid, fixed), moving_grid
    )
    mask = foreground_mask(Volume(sitk.GetArrayFromImage(fixed_image).T, grid.affine))
    if not mask.any():
        return np.eye(4)
    mask_image = sitk.GetImageFromArray(mask.T.astype(np.uint8))
    mask_image.CopyInformation(fixed_image)

    centre_ras = grid.world(np.argwhere(mask).mean(0))
    start = sitk.Euler3DTransform()
    start.SetCenter([-centre_ras[0], -centre_ras[1], centre_ras[2]])
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(48)
    method.SetMetricFixedMask(sitk.BinaryDilate(mask_image, [3, 3, 3]))
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentagePerLevel([1.0, 0.5, 0.4], 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 1e-3, 100, 0.6, 1e-7)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([4, 2, 0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(start, inPlace=True)

    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # sums over threads differ from run to run
    try:
        before = method.MetricEvaluate(fixed_image, moving_image)
        with held_back() as interrupted:

            def stop_when_cancelled() -> None:
                try:
                    context.check()
                    stop = interrupted()
                except Exception:
                    stop = True
                if stop:
                    method.StopRegistration()

            method.AddCommand(sitk.sitkIterationEvent, stop_when_cancelled)
            method.Execute(fixed_image, moving_image)
        after = method.MetricEvaluate(fixed_image, moving_image)
    except RuntimeError:
        before, after = 0.0, 1.0
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    context.check()
    motion = _to_ras(start)
    if after <= before and displacement(motion, moving.volume) <= LARGEST_MOTION:
        return motion
    if not _within_error(motion, fixed, moving):  # else the header was as good as it gets
        context.warn(
            f"{moving.volume.name} could not be aligned with {fixed.volume.name}; its header is trusted."
        )
    return np.eye(4)


def _to_ras(transform: Any) -> np.ndarray:
    """The inverse of ITK's fixed-to-moving transform in LPS: moving to fixed in RAS."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    centre, shift = np.array(transform.GetCenter()), np.array(transform.GetTranslation())
    matrix[:3, 3] = centre + shift - matrix[:3, :3] @ centre
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    return np.linalg.inv(flip @ matrix @ flip)


def _working_grid(stack: Stack) -> Grid:
    return stack.volume.grid.with_spacing((WORKING_SPACING,) * 3)


def _image(sitk: Any, voxels: np.ndarray, grid: Grid) -> Any:
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.T))
    flip = np.diag([-1.0, -1.0, 1.0])
    image.SetSpacing([float(s) for s in grid.spacing])
    image.SetDirection((flip @ grid.directions).flatten().tolist())
    image.SetOrigin((flip @ grid.affine[:3, 3]).tolist())
    return image


def _resampled(sitk: Any, volume: Volume, grid: Grid) -> np.ndarray:
    """`volume` on `grid`, averaged in plane where it is finer, with robustly limited intensities."""
    voxels = volume.voxels
    inside = voxels[foreground_mask(volume)]
    high = float(np.percentile(inside, 99)) if inside.size else float(voxels.max())
    image = _image(sitk, np.clip(voxels, None, 1.5 * high), volume.grid)
    for axis, spacing in enumerate(volume.spacing):
        if spacing < 0.7 * WORKING_SPACING:
            image = sitk.RecursiveGaussian(image, 0.4 * WORKING_SPACING, direction=axis)
    reference = _image(sitk, np.zeros(grid.shape, dtype=np.float32), grid)
    resampled = sitk.Resample(image, reference, sitk.Transform(), sitk.sitkLinear, 0.0)
    return sitk.GetArrayFromImage(resampled).T


def _blurred(voxels: np.ndarray, grid: Grid, other: Stack) -> np.ndarray:
    """Blur along the axis of `grid` nearest to the slice axis of `other`, by that stack's thickness."""
    direction = other.volume.grid.directions[:, other.slice_axis]
    axis = int(np.abs(grid.directions.T @ direction).argmax())
    width = max(1, round(float(other.thickness or 0) / WORKING_SPACING))
    kernel = np.ones(width) / width if width % 2 else np.r_[0.5, np.ones(width - 1), 0.5] / width
    half = len(kernel) // 2
    padded = np.pad(voxels, [(half, half) if a == axis else (0, 0) for a in range(3)], mode="edge")
    out = np.zeros_like(voxels)
    for n, weight in enumerate(kernel):
        out += weight * np.take(padded, range(n, n + voxels.shape[axis]), axis=axis)
    return out
