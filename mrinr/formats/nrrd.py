"""NRRD: read by SimpleITK; written here, because the format is a few lines of text and a block of numbers."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from mrinr.errors import InputError
from mrinr.formats import sidecar
from mrinr.itk import FLIP, affine_of, voxels_of
from mrinr.volume import Volume


def read(path: Path) -> Volume:
    """Read a .nrrd or .nhdr file. See `mrinr.formats.read`."""
    try:
        reader = sitk.ImageFileReader()
        reader.SetImageIO("NrrdImageIO")
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        size = reader.GetSize()
        if reader.GetNumberOfComponents() == 1 and len(size) >= 3 and all(n == 1 for n in size[3:]):
            reader.SetExtractSize([*size[:3], *[0] * (len(size) - 3)])
        image = reader.Execute()
    except RuntimeError as error:
        raise InputError(
            f"{path} is truncated, damaged, no NRRD file or lacks its data file; copy or export it again."
        ) from error
    if image.GetNumberOfComponentsPerPixel() != 1 or "complex" in image.GetPixelIDTypeAsString():
        raise InputError(f"{path} holds several numbers a voxel; a single 3D volume is needed (extract one).")
    if image.GetDimension() != 3:
        raise InputError(
            f"{path} is {'x'.join(map(str, image.GetSize()))}; a single 3D volume is needed (extract one)."
        )
    return Volume(voxels_of(image), affine_of(image), path.name, sidecar.read(path))


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
