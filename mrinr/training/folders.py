"""Real subjects in the folders in which they are published, or one folder a subject.

Known by their names: BraTS 2015 to 2023 and later, ISLES 2015, MSSEG 2016, IXI, BIDS, what `mrinr simulate`
writes, and any folder of files that say their sequence (T1.nii.gz, patient_FLAIR.nii.gz).
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mrinr.contrasts import VISIT, scan_of
from mrinr.errors import InputError
from mrinr.formats import images_in, stem
from mrinr.synthesis import INPUTS

if TYPE_CHECKING:
    from mrinr.training.simulated import Wanted

# Files that carry their subject in front of the sequence: IXI002-Guys-0828-T1, BraTS20_Training_001_t1ce.
NAMED = re.compile(r"(IXI\d+-\w+-\d+|BraTS.+)[-_]([A-Za-z0-9]+)", re.IGNORECASE)
PARTS = ("raw_data", "preprocessed_data", "masks", "anat")  # folders inside a subject's folder
OTHERS = ("DIR",)  # no model takes or makes them, but they can be super-resolved
PHASE = re.compile(r"(^|_)dir-(AP|PA|LR|RL|IS|SI)(_|$)")  # in BIDS: where the phase runs
LATER = re.compile(r"(BraTS-\w+-\d+|brats_\w+_pat\d+)[-_]\d+", re.IGNORECASE)  # a number for each scan of one


@dataclass(frozen=True)
class Subject:
    """One person at one time, on disk.

    images : files by sequence, in the order of `mrinr.synthesis.INPUTS`
    brain, lesions : masks; None where there are none
    others : files by contrast, of `OTHERS`; training and synthesis never see them
    """

    name: str
    images: dict[str, Path]
    brain: Path | None = None
    lesions: Path | None = None
    others: dict[str, Path] = field(default_factory=dict)

    @property
    def scans(self) -> dict[str, Path]:
        """All files by contrast."""
        return {**self.images, **self.others}

    @property
    def person(self) -> str:
        """Who it is: scans of one person must not be both trained on and held out."""
        before, _, last = self.name.rpartition("/")
        if before and VISIT.fullmatch(last):
            return before
        again = LATER.fullmatch(self.name)
        return again[1] if again else self.name


def find_subjects(folder: Path) -> list[Subject]:
    """The subjects in `folder`, at any depth, in the order of their names. Raises InputError without any."""
    subjects, _ = look(folder)
    if not subjects:
        raise InputError(
            f"{folder} holds no scans whose names say their sequence; name them T1.nii.gz, FLAIR.nii.gz and "
            "so on, in one folder for each subject."
        )
    return subjects


def look(folder: Path) -> tuple[list[Subject], list[Path]]:
    """The subjects in `folder`, and the files directly in it that belong to none: label maps."""
    groups: dict[tuple[str, str], _Group] = {}
    for path in images_in(folder):
        key, name = _subject_of(path, folder)
        groups.setdefault(key, _Group(name)).files.append(path)
    found = [(subject, group.files) for group in groups.values() if (subject := group.subject())]
    taken = {path for _, files in found for path in files}
    beside_scans = any(path.parent == folder for path in taken)
    loose = [path for path in images_in(folder, deep=False) if not beside_scans]
    return sorted((subject for subject, _ in found), key=lambda s: _natural(s.name)), loose


def role_of(name: str) -> str | None:
    """What a file is by the name in front of its ending: of INPUTS or OTHERS, "brain", "lesions" or None."""
    role = None if PHASE.search(name) else scan_of(name)
    return role if role in (*INPUTS, *OTHERS, "brain", "lesions") else None


def within(wanted: Wanted, names: Container[str]) -> Wanted | None:
    """What a subject with the sequences `names` can give of `wanted`; None where that is nothing."""
    inputs = tuple(name for name in wanted.inputs if name in names)
    targets = tuple(name for name in wanted.targets if name in names)
    if wanted.most is None:
        able = inputs == wanted.inputs and bool(set(targets) - set(inputs))
    else:
        able = any(set(targets) - {name} for name in inputs)
    return replace(wanted, inputs=inputs, targets=targets) if able else None


@dataclass
class _Group:
    """Files of one subject."""

    name: str
    files: list[Path] = field(default_factory=list)

    def subject(self) -> Subject | None:
        roles: dict[str, Path] = {}
        for path in _best_first(self.files):
            role = role_of(stem(path))
            if role:
                roles.setdefault(role, path)
        images, others = ({name: roles[name] for name in some if name in roles} for some in (INPUTS, OTHERS))
        masks = roles.get("brain"), roles.get("lesions")
        return Subject(self.name, images, *masks, others) if images else None


def _best_first(files: Iterable[Path]) -> list[Path]:
    """Files that somebody has preprocessed, short names, then the others."""
    return sorted(
        files, key=lambda p: ("preprocessed" not in f"{p.parent.name}/{p.name}".lower(), len(p.name), p)
    )


def _subject_of(path: Path, top: Path) -> tuple[tuple[str, str], str]:
    """What tells a subject from others (its own folder, or the name that its files share), and its name."""
    named = NAMED.fullmatch(stem(path))
    if named:
        return ("", named[1]), named[1]
    folder = path.parent
    while folder != top and (folder.name.lower() in PARTS or folder.name.startswith("VSD.")):
        folder = folder.parent
    name = folder.absolute().name
    if folder != top and VISIT.fullmatch(name):
        name = f"{folder.absolute().parent.name}/{name}"
    return (str(folder), ""), name


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts patient2 before patient10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part]
