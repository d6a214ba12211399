"""Simulated scans of the embedded anatomy; runs in the worker, so nothing of Slicer is imported here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mrinr.context import Context
from mrinr.volume import Volume

if TYPE_CHECKING:
    from mrinr.simulation import Subject

TASK = "MRINRLib.sample_task:run"
STACKS = (("T1", "axial"), ("T2", "coronal"))
SEQUENCES = ("T1", "T2", "FLAIR")
THICKNESS = 4.0  # mm
NOISE = 0.01  # of the brain's 99.9th percentile
TILT = (6.0, -4.0, 5.0)  # degrees by which the head lies askew in the scanner


def run(
    volumes: dict[str, Volume], parameters: dict[str, Any], context: Context
) -> tuple[dict[str, Volume], dict[str, Any]]:
    """A task of the engine, a head with MS lesions. parameters: {"sample": a key of `SAMPLES`}."""
    from mrinr.simulation import icbm, rotation, simulate_subject

    names, scan = SAMPLES[parameters["sample"]]
    head = icbm().moved(rotation(TILT))
    subject = simulate_subject(head, list(names), lesions="ms", spacing=1.0, context=context.stage(0, 0.9))
    context.progress(0.9, "Scanning")
    return scan(subject), {}


def _stacks(subject: Subject) -> dict[str, Volume]:
    """An axial T1 and a coronal T2 of 4 mm slices, 1 mm in plane."""
    from mrinr.simulation import acquire, bounding_grid, slice_grid

    field = bounding_grid(subject.brain)
    return {
        f"{contrast} {orientation}": acquire(
            subject.volumes[contrast],
            slice_grid(field, orientation, THICKNESS),
            THICKNESS,
            noise=NOISE,
            scale=subject.scale(contrast),
            seed=seed,
        )
        for seed, (contrast, orientation) in enumerate(STACKS)
    }


def _isotropic(subject: Subject) -> dict[str, Volume]:
    """T1, T2 and FLAIR of 1 mm with their times, to make one of them from the others and compare."""
    from mrinr.simulation import acquire, bounding_grid, slice_grid
    from mrinr.simulation.sequences import SEQUENCES as PLAYED

    grid = slice_grid(bounding_grid(subject.brain), "axial", 1.0)
    made = {
        name: acquire(subject.volumes[name], grid, 1.0, noise=NOISE, scale=subject.scale(name), seed=seed)
        for seed, name in enumerate(SEQUENCES)
    }
    return {
        name: replace(volume, meta={time: getattr(PLAYED[name], time) for time in ("TR", "TE", "TI")})
        for name, volume in made.items()
    }


SAMPLES = {
    "MRINRThickSlices": (tuple(contrast for contrast, _ in STACKS), _stacks),
    "MRINRThreeSequences": (SEQUENCES, _isotropic),
}
