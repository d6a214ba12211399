"""NIfTI by nibabel, whose affines are exact, with what the BIDS sidecar beside the file knows."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from mrinr import formats
from mrinr.errors import InputError
from mrinr.files import read_bytes
from mrinr.volume import Volume

SIDECAR = {  # BIDS key: our key and its factor (BIDS times are in seconds, ours in ms)
    "SliceThickness": ("thickness", 1.0),
    "SpacingBetweenSlices": ("spacing_between_slices", 1.0),
    "RepetitionTime": ("TR", 1000.0),
    "EchoTime": ("TE", 1000.0),
    "InversionTime": ("TI", 1000.0),
    "MagneticFieldStrength": ("field_strength", 1.0),
}


def read(path: Path) -> Volume:
    """Read a .nii or .nii.gz file (either content under either name). See `mrinr.formats.read`."""
    raw = read_bytes(path)
    try:
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        image = _image_class(raw).from_bytes(raw)
        shape, kind = image.shape, image.get_data_dtype()
    except _DAMAGED as error:
        raise InputError(
            f"{path} is truncated, damaged or no NIfTI file; copy or export it again."
        ) from error
    if kind.names or kind.kind not in "biuf":
        what = "colours" if kind.names else "complex numbers"
        raise InputError(f"{path} holds {what}; one number a voxel is needed (export the magnitude image).")
    if len(shape) < 3 or any(n != 1 for n in shape[3:]) or 0 in shape:
        raise InputError(
            f"{path} is {'x'.join(map(str, shape))}; a single 3D volume is needed (extract one volume)."
        )
    try:
        voxels = np.asarray(image.dataobj, dtype=np.float32).reshape(shape[:3])
    except _DAMAGED as error:
        raise InputError(f"{path} is truncated or damaged; copy or export it again.") from error
    meta = _sidecar(path)
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
)


def _image_class(raw: bytes) -> Any:
    """NIfTI-1 or NIfTI-2, by the size of the header that the file begins with."""
    size = {int.from_bytes(raw[:4], "little"), int.from_bytes(raw[:4], "big")}
    return nibabel.Nifti2Image if 540 in size else nibabel.Nifti1Image


def _sidecar(path: Path) -> dict[str, Any]:
    """What the JSON file of the same name says; nothing when it is absent or no BIDS sidecar."""
    try:
        found = json.loads(path.with_name(formats.stem(path) + ".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    meta: dict[str, Any] = {}
    for key, (ours, factor) in SIDECAR.items():
        value = found.get(key)
        if isinstance(value, (int, float)) and np.isfinite(value) and (value > 0 or ours == "TI"):
            meta[ours] = float(value) * factor
    if isinstance(found.get("SeriesDescription"), str):
        meta["series_description"] = found["SeriesDescription"]
    return meta


def encode(volume: Volume, compressed: bool) -> bytes:
    """A NIfTI-1 file's bytes; sform and qform both hold the affine, codes 1 (scanner)."""
    image = nibabel.Nifti1Image(volume.voxels, volume.affine)
    image.set_sform(volume.affine, code=1)
    image.set_qform(volume.affine, code=1)
    image.header.set_xyzt_units("mm")
    raw = image.to_bytes()
    return gzip.compress(raw, compresslevel=1, mtime=0) if compressed else raw
