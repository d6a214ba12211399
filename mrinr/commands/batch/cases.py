"""The subjects of a folder or a BIDS data set, and their scans."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mrinr.contrasts import VISIT, contrast_of, scan_of
from mrinr.errors import InputError
from mrinr.formats import images_in, is_dicom, stem

# Folders of a BIDS data set that are no subjects.
BESIDE = ("derivatives", "sourcedata", "code", "stimuli")


def find_cases(folder: Path, out: Path) -> dict[str, Path]:
    """A folder for each subject, or for each of a subject's visits, by name: 'sub-01' or 'sub-01/ses-2'.

    The folder `out` is none. Raises InputError where there is none at all.
    """
    folder, out = folder.expanduser().absolute(), out.expanduser().absolute()
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; name one that holds a folder for each subject.")
    if out == folder:
        raise InputError(f"The results would lie among the scans in {out}; name another folder for OUT.")
    found = [path for path in _folders(folder) if path != out]
    cases: dict[str, Path] = {}
    for subject in [path for path in found if path.name.startswith("sub-")] or found:
        visits = [path for path in _folders(subject) if VISIT.fullmatch(path.name)]
        cases |= {path.relative_to(folder).as_posix(): path for path in visits or [subject]}
    if not cases:
        raise InputError(
            f"{folder} holds no folders; put the scans of each subject into a folder of its own."
        )
    return cases


def scans_in(folder: Path) -> Iterator[tuple[Path, str]]:
    """Image files, and one file of each DICOM series, at any depth, whose names say their contrast."""
    for path in images_in(folder):
        contrast = scan_of(stem(path))
        if contrast and contrast not in ("brain", "lesions"):
            yield path, contrast
    for inner in sorted({path.parent for path in folder.rglob("*") if path.is_file() and is_dicom(path)}):
        from mrinr.formats import dicom

        for path, description in dicom.series(inner):
            contrast = contrast_of(description, inner.name)
            if contrast:
                yield path, contrast


def _folders(folder: Path) -> list[Path]:
    """Folders of which some may be subjects, by name; patient2 before patient10."""
    paths = [p for p in folder.iterdir() if p.is_dir() and p.name[0] != "." and p.name not in BESIDE]
    return sorted(
        paths, key=lambda p: [(part.isdigit(), part.zfill(9)) for part in re.split(r"(\d+)", p.name)]
    )
