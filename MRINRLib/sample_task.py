"""Simulated stacks of the embedded anatomy; runs in the worker, so nothing of Slicer is imported here."""

from __future__ import annotations

from typing import Any

from mrinr.context import Context
from mrinr.volume import Volume

TASK = "MRINRLib.sample_task:run"
STACKS = (("T1", "axial"), ("T2", "coronal"))
THICKNESS = 4.0  # mm
NOISE = 0.01  # of the brain's 99.9th percentile
TILT = (6.0, -4.0, 5.0)  # degrees by which the head lies askew in the scanner


def run(
    volumes: dict[str, Volume], parameters: dict[str, Any], context: Context
) -> tuple[dict[str, Volume], dict[str, Any]]:
    """A task of the engine: an axial T1 and a coronal T2 of 4 mm slices, 1 mm in plane, with MS lesions."""
    from mrinr.simulation import acquire, bounding_grid, icbm, rotation, simulate_subject, slice_grid

    head = icbm().moved(rotation(TILT))
    subject = simulate_subject(
        head, [contrast for contrast, _ in STACKS], lesions="ms", spacing=1.0, context=context.stage(0, 0.9)
    )
    field = bounding_grid(subject.brain)
    out = {}
    for seed, (contrast, orientation) in enumerate(STACKS):
        context.progress(0.9 + 0.05 * seed, f"Scanning {contrast}")
        out[f"{contrast} {orientation}"] = acquire(
            subject.volumes[contrast],
            slice_grid(field, orientation, THICKNESS),
            THICKNESS,
            noise=NOISE,
            scale=subject.scale(contrast),
            seed=seed,
        )
    return out, {}
