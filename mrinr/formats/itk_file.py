"""One volume from a file by SimpleITK, for the formats whose geometry it keeps."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk

from mrinr.errors import InputError
from mrinr.formats import sidecar
from mrinr.itk import affine_of, voxels_of
from mrinr.volume import Volume


def read(path: Path, reader_name: str, kind: str) -> Volume:
    """Read with one of ITK's readers ("NrrdImageIO"); `kind` is what people call the format."""
    try:
        reader = sitk.ImageFileReader()
        reader.SetImageIO(reader_name)
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        size = reader.GetSize()
        if reader.GetNumberOfComponents() == 1 and len(size) >= 3 and all(n == 1 for n in size[3:]):
            reader.SetExtractSize([*size[:3], *[0] * (len(size) - 3)])
        image = reader.Execute()
    except RuntimeError as error:
        raise InputError(
            f"{path} is truncated, damaged, no {kind} file or lacks its data file; copy or export it again."
        ) from error
    if image.GetNumberOfComponentsPerPixel() != 1 or "complex" in image.GetPixelIDTypeAsString():
        raise InputError(f"{path} holds several numbers a voxel; a single 3D volume is needed (extract one).")
    if image.GetDimension() != 3:
        raise InputError(
            f"{path} is {'x'.join(map(str, image.GetSize()))}; a single 3D volume is needed (extract one)."
        )
    return Volume(voxels_of(image), affine_of(image), path.name, sidecar.read(path))
