"""A result beside the measured truth; runs in the worker, so nothing of Slicer is imported here."""

from __future__ import annotations

from typing import Any

import numpy as np

from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.volume import Stack, Volume

TASK = "MRINRLib.evaluation_task:run"


def run(
    volumes: dict[str, Volume], parameters: dict[str, Any], context: Context
) -> tuple[dict[str, Volume], dict[str, Any]]:
    """Compare "result" with "reference" in "brain"; "input_<NAME>" are for the floors.

    The reference is left as it was measured: everything else is resampled onto its grid. With
    parameters["register"] "auto" it is first aligned rigidly to the first input. Brightness and contrast
    (two numbers, least squares in the brain) are matched, because the units of an MR scan are arbitrary.
    Returns "difference", matched result - reference, in the reference's units; the report is that of
    `mrinr.metrics.evaluate` with "gain" and "offset".
    """
    from mrinr.metrics import evaluate

    volumes = dict(volumes)
    inputs = [volume for name, volume in volumes.items() if name.startswith("input_")]
    if parameters["register"] == "auto" and inputs:
        inputs, volumes["reference"] = _aligned(inputs, volumes["reference"], context.stage(0, 0.6))
    reference = volumes["reference"]
    context.progress(0.6, f"Comparing with {reference.name}")
    result, brain = _on(volumes["result"], reference, 3), _on(volumes["brain"], reference, 0)
    inside = brain.voxels > 0
    if not inside.any():
        raise InputError(f"{reference.name} does not overlap the brain of the result; choose another volume.")
    context.check()
    gain, offset = _match(result.voxels[inside], reference.voxels[inside])
    matched = result.with_voxels(gain * result.voxels + offset * inside)
    found = evaluate(reference, matched, brain, inputs=[_on(volume, reference, 1) for volume in inputs])
    difference = Volume((matched.voxels - reference.voxels) * inside, reference.affine, "difference")
    return {"difference": difference}, {**found, "gain": gain, "offset": offset}


def _aligned(inputs: list[Volume], reference: Volume, context: Context) -> tuple[list[Volume], Volume]:
    from mrinr.registration import align

    moved, _motions = align([Stack(volume) for volume in [inputs[0], reference, *inputs[1:]]], context)
    first, measured, *others = (stack.volume for stack in moved)
    return [first, *others], measured


def _on(volume: Volume, reference: Volume, order: int) -> Volume:
    from mrinr.itk import resample

    if volume.grid.same_as(reference.grid):
        return volume
    return resample(volume, reference.grid, order)


def _match(prediction: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """gain and offset that bring the prediction closest to the truth."""
    design = np.stack([prediction, np.ones_like(prediction)], axis=1).astype(np.float64)
    gain, offset = np.linalg.lstsq(design, truth.astype(np.float64), rcond=None)[0]
    return float(gain), float(offset)
