"""Enhanced MR: one DICOM file of many frames; places and times are in functional groups (PS3.3 A.36)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID

from mrinr.errors import InputError
from mrinr.formats import dicom_slices
from mrinr.geometry import FLIP
from mrinr.volume import Volume

CLASSES = ("1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4")  # Enhanced MR, the same from legacy
NUMBERS = {  # our key: functional group and attribute; mm and ms as in DICOM
    "thickness": ("PixelMeasuresSequence", "SliceThickness"),
    "spacing_between_slices": ("PixelMeasuresSequence", "SpacingBetweenSlices"),
    "TR": ("MRTimingAndRelatedParametersSequence", "RepetitionTime"),
    "TE": ("MREchoSequence", "EffectiveEchoTime"),
    "TI": ("MRModifierSequence", "InversionTimes"),
}
# What may tell volumes in one file apart: words for people, functional group and attribute.
PARTS = (
    ("stack", "FrameContentSequence", "StackID"),
    ("echo", "MREchoSequence", "EffectiveEchoTime"),
    ("inversion", "MRModifierSequence", "InversionTimes"),
    ("b", "MRDiffusionSequence", "DiffusionBValue"),
    ("time point", "FrameContentSequence", "TemporalPositionIndex"),
    ("image", "MRImageFrameTypeSequence", "ComplexImageComponent"),
)
GREY_FRAMES = UID("1.2.840.10008.5.1.4.1.1.7.3")  # Multi-frame Grayscale Word Secondary Capture
PIXELS = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
    "PhotometricInterpretation", "NumberOfFrames", "PixelData",
)  # fmt: skip


def read(path: Path) -> Volume:
    """The volume in a file. Raises InputError where there are several, or frames without a place."""
    try:
        header = pydicom.dcmread(path)
        frames = _frames(header)
        places = _numbers(frames, "PlanePositionSequence", "ImagePositionPatient", 3)
        axes = _numbers(frames, "PlaneOrientationSequence", "ImageOrientationPatient", 6)
        spacing = _numbers(frames, "PixelMeasuresSequence", "PixelSpacing", 2)
        facts = meta(header)
    except (
        OSError,
        EOFError,
        ValueError,
        AttributeError,
        TypeError,
        pydicom.errors.InvalidDicomError,
    ) as error:
        raise InputError(f"{path} is truncated or damaged; copy or export it again.") from error
    _refuse_several(path, frames)
    order, step, origin = dicom_slices.sort(path, places, axes)
    if len(order) == 1:
        step = step * (facts.get("spacing_between_slices") or facts.get("thickness") or 1.0)
    if np.ptp(spacing, axis=0).max() > 1e-4 or not (spacing > 0).all():
        raise InputError(f"{path} has frames of different pixel size; export one volume as its own series.")
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = axes[0, :3] * spacing[0, 1], axes[0, 3:] * spacing[0, 0]
    affine[:3, 2], affine[:3, 3] = step, origin
    slopes = [_get(f, "PixelValueTransformationSequence", "RescaleSlope", 1.0) for f in frames]
    intercepts = [_get(f, "PixelValueTransformationSequence", "RescaleIntercept", 0.0) for f in frames]
    stored = _stored(path, header)[order].astype(np.float32)
    gains, offsets = (np.array([float(x[n]) for n in order], np.float32) for x in (slopes, intercepts))
    voxels = stored * gains[:, None, None] + offsets[:, None, None]
    return Volume(voxels.transpose(2, 1, 0), FLIP @ affine, path.name, facts)


def meta(header: Dataset) -> dict[str, Any]:
    """thickness and spacing_between_slices in mm, TR, TE and TI in ms, of the first frame; field strength."""
    found: dict[str, Any] = {}
    first = _frames(header)[:1]
    for key, (group, name) in NUMBERS.items():
        for frame in first:
            number = _first(_get(frame, group, name, None))
            if math.isfinite(number) and (number > 0 or key == "TI"):
                found[key] = number
    if header.get("MagneticFieldStrength"):
        found["field_strength"] = float(header.MagneticFieldStrength)
    if header.get("SeriesDescription"):
        found["series_description"] = str(header.SeriesDescription)
    return found


def _frames(header: Dataset) -> list[tuple[Dataset, Dataset]]:
    """For each frame its own functional groups and those that all frames share."""
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    own = list(header.get("PerFrameFunctionalGroupsSequence") or [])
    return [(each, shared) for each in own] or [(Dataset(), shared)] * int(header.get("NumberOfFrames") or 1)


def _get(frame: Iterable[Dataset], group: str, name: str, otherwise: Any) -> Any:
    for groups in frame:
        for item in groups.get(group) or ():
            if item.get(name) is not None:
                return item.get(name)
    return otherwise


def _first(value: Any) -> float:
    try:
        return float(value[0] if isinstance(value, (list, pydicom.multival.MultiValue)) else value)
    except (TypeError, ValueError, IndexError):
        return math.nan


def _numbers(frames: list[tuple[Dataset, Dataset]], group: str, name: str, count: int) -> np.ndarray:
    """(frames, count); not a number where a frame has no such attribute."""
    return np.array([[float(x) for x in _get(f, group, name, [math.nan] * count)] for f in frames])


def _refuse_several(path: Path, frames: list[tuple[Dataset, Dataset]]) -> None:
    """Raise InputError, saying which, where the file holds several volumes."""
    keys = [tuple(str(_get(f, group, name, "")) for _word, group, name in PARTS) for f in frames]
    volumes = dict.fromkeys(keys)
    if len(volumes) < 2:
        return
    telling = [n for n in range(len(PARTS)) if len({key[n] for key in volumes}) > 1]
    said = [
        ", ".join(f"{PARTS[n][0]} {key[n] or '?'}" for n in telling) + f" ({keys.count(key)} slices)"
        for key in volumes
    ]
    more = f" and {len(said) - 6} more" if len(said) > 6 else ""
    raise InputError(
        f"{path} holds {len(volumes)} volumes: {'; '.join(said[:6])}{more}; "
        "export the one you want as its own series."
    )


def _stored(path: Path, header: Dataset) -> np.ndarray:
    """(frames, rows, columns) as stored, decoded by GDCM, which knows more compressions than pydicom alone.

    GDCM gets a copy without functional groups: it would apply the first frame's rescaling to all frames.
    """
    import SimpleITK as sitk

    file = FileMetaDataset()
    file.MediaStorageSOPClassUID, file.MediaStorageSOPInstanceUID = GREY_FRAMES, header.SOPInstanceUID
    file.TransferSyntaxUID = header.file_meta.TransferSyntaxUID
    plain = FileDataset(None, {}, file_meta=file, preamble=b"\0" * 128)  # type: ignore[arg-type]
    plain.SOPClassUID, plain.SOPInstanceUID = GREY_FRAMES, header.SOPInstanceUID
    try:
        for name in PIXELS:
            plain[name] = header[name]
        expected = (int(header.get("NumberOfFrames") or 1), int(header.Rows), int(header.Columns))
        needed = math.prod(expected) * header.BitsAllocated // 8
        if len(header.PixelData) < needed and not header.file_meta.TransferSyntaxUID.is_compressed:
            raise ValueError("fewer pixels than promised")
        with TemporaryDirectory(prefix="mrinr-") as folder:
            copy = Path(folder) / "frames.dcm"
            plain.save_as(copy, enforce_file_format=True)
            pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(copy), imageIO="GDCMImageIO"))
        return pixels.reshape(expected)
    except (KeyError, AttributeError, ValueError, RuntimeError) as error:
        raise InputError(unreadable(path, str(header.file_meta.TransferSyntaxUID))) from error


def unreadable(path: Path | str, syntax: str) -> str:
    """The sentence for pixels that cannot be decoded; syntax : DICOM's transfer syntax."""
    uid = UID(syntax)
    if uid.is_transfer_syntax and uid.is_compressed:
        return (
            f"{path} is compressed ({uid.name}), and it is damaged or no decoder for that is at hand; "
            "export the series again, uncompressed."
        )
    return f"{path} is truncated or damaged, or its slices differ in size; export it again."
