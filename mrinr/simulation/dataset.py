"""Simulated people on disk: one folder each, images beside the truth that they were made from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.files import write_bytes
from mrinr.simulation.anatomy import load
from mrinr.simulation.subject import Subject, simulate_subject
from mrinr.volume import write


def simulate(
    out: str | Path,
    anatomy: str | Path = "icbm",
    subjects: int = 1,
    sequences: Sequence[str] = ("clinical",),
    lesions: str = "none",
    seed: int = 0,
    spacing: float = 1.0,
    context: Context | None = None,
) -> list[Path]:
    """Simulate `subjects` people of one anatomy and write OUT/sub-001, OUT/sub-002, ...

    Each folder holds the sequences asked for, T1map, T2map (ms), PDmap, brain, lesions and labels (.nii.gz),
    free of noise, and subject.json. Subject n draws with seed + n - 1. Returns the folders.

    Raises InputError for unknown names, unreadable label maps and folders that cannot be written.
    """
    if subjects < 1:
        raise InputError(f"The number of subjects must be at least 1, not {subjects}.")
    context = context or Context()
    head = load(anatomy)
    folders = []
    for number in range(subjects):
        stage = context.stage(number / subjects, (number + 1) / subjects)
        subject = simulate_subject(head, sequences, seed + number, lesions, spacing, stage)
        folder = Path(out) / f"sub-{number + 1:03d}"
        save(subject, folder)
        folders.append(folder)
    return folders


def save(subject: Subject, folder: Path) -> None:
    """Write one subject; subject.json comes last, so a folder that has it is complete."""
    truth = {"brain": subject.brain, "lesions": subject.lesions, "labels": subject.labels}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made; choose another place.") from error
    for name, volume in {**subject.volumes, **subject.maps, **truth}.items():
        write(volume, folder / f"{name}.nii.gz")
    described = {
        "seed": subject.seed,
        "anatomy": subject.anatomy,
        "sequences": {
            name: {"TR": s.TR, "TE": s.TE, "TI": s.TI, "ETL": s.echo_train, "b": s.b}
            for name, s in subject.sequences.items()
        },
    }
    write_bytes(folder / "subject.json", (json.dumps(described, indent=2) + "\n").encode())
