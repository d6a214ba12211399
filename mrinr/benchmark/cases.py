"""Heads to run a benchmark on: simulated, or the real ones in a folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.intensity import foreground_mask
from mrinr.volume import Volume, read

MARGIN = 4  # voxels around the brain


@dataclass(frozen=True, eq=False)
class Case:
    """One head: the truth of every contrast and the brain, all on one grid."""

    name: str
    truths: dict[str, Volume]
    brain: Volume


def cases(data: Path | None, contrasts: tuple[str, ...], size: int | None, context: Context) -> list[Case]:
    """The heads; with a `size` only the middle of the first, that many voxels along each axis.

    `data` holds a folder for each head (or is one itself) with T1.nii.gz, T2.nii.gz, FLAIR.nii.gz and so on,
    registered and of about 1 mm in every direction; heads that lack one of `contrasts` are left out.
    """
    return [_simulated(contrasts, size, context)] if data is None else _real(data, contrasts, size)


def _simulated(contrasts: tuple[str, ...], size: int | None, context: Context) -> Case:
    from mrinr.simulation import icbm, simulate_subject

    anatomy = icbm()
    anatomy = anatomy.crop(*_box(anatomy.brain, size))
    subject = simulate_subject(anatomy, list(contrasts), seed=1, lesions="ms", context=context.quiet())
    return Case("simulated from ICBM152, seed 1", subject.volumes, replace(subject.brain, name="the brain"))


def _real(data: Path, contrasts: tuple[str, ...], size: int | None) -> list[Case]:
    if not data.is_dir():
        raise InputError(f"{data} is no folder; name one that holds a folder of scans for each person.")
    found = []
    for folder in [data, *sorted(p for p in data.iterdir() if p.is_dir())]:
        files = {c: next(iter(sorted(folder.glob(f"{c}.nii*"))), None) for c in contrasts}
        paths = {c: path for c, path in files.items() if path is not None}
        if len(paths) == len(contrasts):
            found.append((folder.name, paths))
    if not found:
        wanted = " and ".join(f"{c}.nii.gz" for c in contrasts)
        raise InputError(f"{data} holds no folder with {wanted}; name the files so.")
    return [_read(name, paths, size) for name, paths in (found if size is None else found[:1])]


def _read(name: str, paths: dict[str, Path], size: int | None) -> Case:
    truths = {c: read(path) for c, path in paths.items()}
    first = next(iter(truths.values()))
    for c, volume in truths.items():
        if not volume.grid.same_as(first.grid, 1e-2):
            raise InputError(
                f"{paths[c]} is not on the grid of {first.name}; register and resample it first."
            )
    brain = foreground_mask(first)
    low, high = _box(brain, size)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    affine = first.grid.crop(low, high).affine
    cut = {c: Volume(np.maximum(v.voxels[box], 0), affine, c) for c, v in truths.items()}
    return Case(name, cut, Volume(brain[box].astype(np.float32), affine, "foreground of the first contrast"))


def _box(mask: np.ndarray, size: int | None) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """The middle of the mask, `size` voxels wide, or all of it with a margin."""
    inside = np.argwhere(mask)
    first, last = inside.min(0), inside.max(0) + 1
    if size is not None:
        first = (first + last - size) // 2
        last = first + size
    else:
        first, last = first - MARGIN, last + MARGIN
    low, high = np.maximum(first, 0), np.minimum(last, mask.shape)
    return (int(low[0]), int(low[1]), int(low[2])), (int(high[0]), int(high[1]), int(high[2]))
