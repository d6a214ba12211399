"""NIfTI by nibabel, whose affines are exact, and what the sidecar beside the file knows."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from mrinr.errors import InputError
from mrinr.files import read_bytes
from mrinr.formats import sidecar
from mrinr.volume import Volume


def read(path: Path) -> Volume:
    """Read a .nii or .nii.gz file (either content under either name). See `mrinr.formats.read`."""
    raw = read_bytes(path)
    try:
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        kind = _image_class(raw)
        header = kind.header_class.from_fileobj(io.BytesIO(raw), check=False)
        with nibabel.imageglobals.LoggingOutputSuppressor():
            image = kind.from_bytes(raw)
        shape, dtype = image.shape, image.get_data_dtype()
    except _DAMAGED as error:
        raise InputError(
            f"{path} is truncated, damaged or no NIfTI file; copy or export it again."
        ) from error
    if dtype.names or dtype.kind not in "biuf":
        what = "colours" if dtype.names else "complex numbers"
        raise InputError(f"{path} holds {what}; one number a voxel is needed (export the magnitude image).")
    if len(shape) < 3 or any(n != 1 for n in shape[3:]) or 0 in shape:
        raise InputError(
            f"{path} is {'x'.join(map(str, shape))}; a single 3D volume is needed (extract one volume)."
        )
    if not header["sform_code"] and not header["pixdim"][1:4].all():  # nibabel would read 0 mm as 1 mm
        raise InputError(f"{path} has a voxel size of 0 mm; correct its header or export it again.")
    try:
        voxels = np.asarray(image.dataobj, dtype=np.float32).reshape(shape[:3])
    except _DAMAGED as error:
        raise InputError(f"{path} is truncated or damaged; copy or export it again.") from error
    meta = sidecar.read(path)
    if not image.header["sform_code"] and not image.header["qform_code"]:
        meta["warnings"] = (f"{path.name} records no position or orientation; only its voxel size is used.",)
    return Volume(voxels, image.affine, path.name, meta)


_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    zlib.error,
    nibabel.spatialimages.HeaderDataError,
    nibabel.filebasedimages.ImageFileError,
    nibabel.wrapstruct.WrapStructError,
)


def _image_class(raw: bytes) -> Any:
    """NIfTI-1 or NIfTI-2, by the size of the header that the file begins with."""
    size = {int.from_bytes(raw[:4], "little"), int.from_bytes(raw[:4], "big")}
    return nibabel.Nifti2Image if 540 in size else nibabel.Nifti1Image


def encode(volume: Volume, compressed: bool) -> bytes:
    """A NIfTI-1 file's bytes; sform and qform both hold the affine, codes 1 (scanner)."""
    image = nibabel.Nifti1Image(volume.voxels, volume.affine)
    image.set_sform(volume.affine, code=1)
    image.set_qform(volume.affine, code=1)
    image.header.set_xyzt_units("mm")
    raw = image.to_bytes()
    return gzip.compress(raw, compresslevel=1, mtime=0) if compressed else raw
