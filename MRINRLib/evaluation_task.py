"""A result beside the measured truth; runs in the worker, so nothing of Slicer is imported here."""

from __future__ import annotations

from typing import Any

import numpy as np

from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.volume import Stack, Volume

TASK = "MRINRLib.evaluation_task:run"


def run(
    volumes: dict[str, Volume], parameters: dict[str, Any], context: Context
) -> tuple[dict[str, Volume], dict[str, Any]]:
    """Compare "result" with "reference" in "brain"; "input_<NAME>" are for the floors.

    The reference is left as it was measured: everything else is resampled onto its grid. With
    parameters["register"] "auto" it is first aligned rigidly to the first input. Brightness and contrast
    (two numbers, least squares in the brain) are matched, because the units of an MR scan are arbitrary.
    Only the box around the brain is looked at ("whole" in the report). Returns "difference", matched result
    - reference, in the reference's units; the report is that of `mrinr.metrics.evaluate`, gain and offset.
    """
    from mrinr.metrics import evaluate

    volumes = dict(volumes)
    inputs = [volume for name, volume in volumes.items() if name.startswith("input_")]
    if parameters["register"] == "auto" and inputs:
        inputs, volumes["reference"] = _aligned(inputs, volumes["reference"], context.stage(0, 0.6))
    measured = volumes["reference"]
    context.progress(0.6, f"Comparing with {measured.name}")
    brain = _on(volumes["brain"], measured.grid, mask=True)
    if not (brain.voxels > 0).any():
        raise InputError(f"{measured.name} does not overlap the brain of the result; choose another volume.")
    box = _box(brain.voxels > 0)
    reference, brain = _cut(measured, box), _cut(brain, box)
    inside = brain.voxels > 0
    result = _on(volumes["result"], reference.grid)
    context.check()
    gain, offset = _match(result.voxels[inside], reference.voxels[inside])
    matched = result.with_voxels(gain * result.voxels + offset * inside)
    found = evaluate(reference, matched, brain, inputs=[_on(volume, reference.grid) for volume in inputs])
    difference = np.zeros_like(measured.voxels)
    difference[box] = (matched.voxels - reference.voxels) * inside
    report = {**found, "gain": gain, "offset": offset}
    return {"difference": measured.with_voxels(difference, "difference")}, report


def _box(mask: np.ndarray) -> tuple[slice, ...]:
    """Where the mask is, with the margin that SSIM's windows look at."""
    from mrinr.metrics import WINDOW

    found = [np.flatnonzero(mask.any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
    return tuple(slice(max(int(at[0]) - WINDOW, 0), int(at[-1]) + WINDOW + 1) for at in found)


def _cut(volume: Volume, box: tuple[slice, ...]) -> Volume:
    affine = volume.affine.copy()
    affine[:3, 3] = volume.grid.world(np.array([part.start for part in box]))
    return Volume(volume.voxels[box], affine, volume.name)


def _aligned(inputs: list[Volume], reference: Volume, context: Context) -> tuple[list[Volume], Volume]:
    from mrinr.registration import align

    moved, _motions = align([Stack(volume) for volume in [inputs[0], reference, *inputs[1:]]], context)
    first, measured, *others = (stack.volume for stack in moved)
    return [first, *others], measured


def _on(volume: Volume, grid: Grid, mask: bool = False) -> Volume:
    from mrinr.synthesis.space import onto  # Slicer may lack SimpleITK

    voxels = onto(volume, grid)
    return Volume((voxels > 0.5).astype(np.float32) if mask else voxels, grid.affine, volume.name)


def _match(prediction: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """gain and offset that bring the prediction closest to the truth."""
    design = np.stack([prediction, np.ones_like(prediction)], axis=1).astype(np.float64)
    gain, offset = np.linalg.lstsq(design, truth.astype(np.float64), rcond=None)[0]
    return float(gain), float(offset)
