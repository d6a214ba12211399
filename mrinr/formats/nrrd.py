"""NRRD: read by SimpleITK; written here, because the format is a few lines of text and a block of numbers."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from mrinr.formats import itk_file
from mrinr.itk import FLIP
from mrinr.volume import Volume


def read(path: Path) -> Volume:
    """Read a .nrrd or .nhdr file. See `mrinr.formats.read`."""
    return itk_file.read(path, "NrrdImageIO", "NRRD")


def encode(volume: Volume) -> bytes:
    """A NRRD file's bytes: header and gzip-compressed floats, geometry as LPS with all its digits."""
    affine = FLIP @ volume.affine

    def vector(numbers: np.ndarray) -> str:
        return "(" + ",".join(repr(float(number) + 0.0) for number in numbers) + ")"

    lines = [
        "NRRD0004",
        "type: float",
        "dimension: 3",
        "space: left-posterior-superior",
        "sizes: " + " ".join(map(str, volume.voxels.shape)),
        "space directions: " + " ".join(vector(affine[:3, axis]) for axis in range(3)),
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        "space origin: " + vector(affine[:3, 3]),
    ]
    data = volume.voxels.astype("<f4").tobytes(order="F")
    return ("\n".join(lines) + "\n\n").encode("ascii") + gzip.compress(data, compresslevel=1, mtime=0)
