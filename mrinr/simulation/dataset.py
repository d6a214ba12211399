"""Simulated people on disk: one folder each, images beside the truth that they were made from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.files import write_bytes
from mrinr.simulation.anatomy import from_labels, icbm
from mrinr.simulation.subject import Subject, simulate_subject
from mrinr.volume import Volume, read, write

STEPS = 14  # bits that images on disk keep


def simulate(
    out: str | Path,
    anatomy: str | Path | Volume = "icbm",
    subjects: int = 1,
    sequences: Sequence[str] = ("clinical",),
    lesions: str = "none",
    seed: int = 0,
    spacing: float = 1.0,
    context: Context | None = None,
) -> list[Path]:
    """Simulate `subjects` people of one anatomy and write OUT/sub-001, OUT/sub-002, ...

    anatomy : "icbm", or a FreeSurfer-numbered label map

    Each folder holds the sequences asked for, T1map, T2map (ms), PDmap, brain, lesions and labels, free of
    noise, and subject.json. Subject n draws with seed + n - 1. The first has the anatomy as it is, the
    others varieties of it (shape.py). Returns the folders.

    Raises InputError for unknown names, unreadable label maps and folders that cannot be written.
    """
    if subjects < 1:
        raise InputError(f"The number of subjects must be at least 1, not {subjects}.")
    context = context or Context()
    if str(anatomy) == "icbm":
        head = icbm()
    else:
        head = from_labels(anatomy if isinstance(anatomy, Volume) else read(anatomy))
    folders = []
    for number in range(subjects):
        stage = context.stage(number / subjects, (number + 1) / subjects)
        person = head if number == 0 else head.varied(np.random.default_rng([seed + number, 1]))
        subject = simulate_subject(person, sequences, seed + number, lesions, spacing, stage)
        folder = Path(out) / f"sub-{number + 1:03d}"
        save(subject, folder)
        folders.append(folder)
    return folders


def rounded(volume: Volume) -> Volume:
    """`volume` in steps of at most 2**-STEPS of its top: far below any noise, and half as much on disk."""
    step = np.float32(2.0 ** (np.frexp(volume.voxels.max())[1] - STEPS - 1))
    voxels = volume.voxels / step
    np.rint(voxels, out=voxels)
    voxels *= step
    return volume.with_voxels(voxels)


def save(subject: Subject, folder: Path) -> None:
    """Write one subject; subject.json comes last, so a folder that has it is complete."""
    truth = {"brain": subject.brain, "lesions": subject.lesions, "labels": subject.labels}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made; choose another place.") from error
    for name, volume in {**subject.volumes, **subject.maps, **truth}.items():
        write(rounded(volume), folder / f"{name}.nii.gz")
    described = {
        "seed": subject.seed,
        "anatomy": subject.anatomy,
        "sequences": {
            name: {"TR": s.TR, "TE": s.TE, "TI": s.TI, "ETL": s.echo_train, "b": s.b}
            for name, s in subject.sequences.items()
        },
    }
    write_bytes(folder / "subject.json", (json.dumps(described, indent=2) + "\n").encode())
