"""Results as a derived DICOM MR series (PS3.3 A.4, C.7.6.1, C.8.3.1), written by pydicom."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

import mrinr
from mrinr.errors import InputError
from mrinr.files import reason, write_bytes
from mrinr.geometry import FLIP
from mrinr.volume import Volume

# What is the same for a derived series: whose it is and of which study; and, in the same space, where it is.
PATIENT = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge",
    "PatientWeight", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription",
    "AccessionNumber", "ReferringPhysicianName", "BodyPartExamined",
)  # fmt: skip
PLACE = ("FrameOfReferenceUID", "PositionReferenceIndicator", "PatientPosition")
# How the contrast came about: kept where only the resolution was changed.
ACQUISITION = (
    "ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime",
    "InversionTime", "EchoTrainLength", "FlipAngle", "MagneticFieldStrength", "ContrastBolusAgent",
)  # fmt: skip
TYPE_2 = (  # must be there, may be empty
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator", "PatientPosition", "EchoTime",
    "EchoTrainLength", "ScanOptions", "RepetitionTime",
)  # fmt: skip
TIMES = {"TR": "RepetitionTime", "TE": "EchoTime", "TI": "InversionTime"}  # our key, in ms as in DICOM
LEVELS = 65535  # of 16 bits


def save(
    volume: Volume,
    folder: Path,
    made: Mapping[str, Any],
    sources: Sequence[Path] = (),
    same_space: bool = True,
) -> list[Path]:
    """Write a series into `folder`, complete or not at all, and return its files.

    volume : intensities become 16-bit integers with RescaleSlope and RescaleIntercept; `meta` may say the
        times TR, TE and TI in ms that a synthetic contrast has
    made : what `mrinr.provenance.describe` gives, and "description", or "contrast", "target" and "map"
    sources : DICOM files of what it was made from, first that of its own contrast or grid; patient, study
        and, in super-resolution, acquisition are copied from the first, and all are referenced
    same_space : False where the volume was moved out of the first source's frame of reference

    Raises InputError when the folder holds something already or cannot be written, or a source is no DICOM.
    """
    headers = [_header(path) for path in sources]
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InputError(f"{folder} is not empty; name a new folder for the series.")
        for number, slice_ in enumerate(datasets(volume, made, headers, same_space), 1):
            data = io.BytesIO()
            pydicom.dcmwrite(data, slice_, enforce_file_format=True)
            path = folder / f"IM{number:04d}.dcm"
            write_bytes(path, data.getvalue())
            written.append(path)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({reason(error)}); name another folder.") from error
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return written


def datasets(
    volume: Volume, made: Mapping[str, Any], headers: Sequence[Dataset], same_space: bool = True
) -> Iterator[FileDataset]:
    """The slices, in the order of their positions along the normal; see `save`."""
    lps = FLIP @ volume.affine
    spacing = volume.spacing
    axes = lps[:3, :3] / spacing
    order = list(range(volume.voxels.shape[2]))
    if np.linalg.det(axes) < 0:
        order.reverse()
    slope, intercept, stored = _integers(volume.voxels)
    shared = _shared(volume, made, headers, same_space)
    high = float(np.percentile(volume.voxels, 99.8))
    for number, k in enumerate(order, 1):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_ = FileDataset(None, shared, file_meta=meta, preamble=b"\0" * 128)  # type: ignore[arg-type]
        slice_.SOPClassUID, slice_.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        slice_.InstanceNumber = number
        slice_.ImagePositionPatient = [_ds(x) for x in (lps @ [0, 0, k, 1])[:3]]
        slice_.ImageOrientationPatient = [_ds(x) for x in (*axes[:, 0], *axes[:, 1])]
        slice_.PixelSpacing = [_ds(spacing[1]), _ds(spacing[0])]
        slice_.SliceThickness = _ds(volume.meta.get("thickness") or spacing[2])
        slice_.SpacingBetweenSlices = _ds(spacing[2])
        slice_.Columns, slice_.Rows = volume.voxels.shape[:2]
        slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 16, 15, 0
        slice_.RescaleSlope, slice_.RescaleIntercept, slice_.RescaleType = slope, intercept, "US"
        slice_.WindowCenter, slice_.WindowWidth = _ds(high / 2), _ds(max(high, 1e-6))
        slice_.PixelData = stored[:, :, k].T.astype("<u2").tobytes()
        yield slice_


def _header(path: Path) -> Dataset:
    try:
        return pydicom.dcmread(path, stop_before_pixels=True)
    except (OSError, pydicom.errors.InvalidDicomError) as error:
        raise InputError(f"{path} is no DICOM file; name files of the series that were used.") from error


def _integers(voxels: np.ndarray) -> tuple[str, str, np.ndarray]:
    """Slope and intercept as DICOM has them, in 16 characters, and the integers that go with just these."""
    low = min(float(voxels.min()), 0.0)
    span = float(voxels.max()) - low
    slope, intercept = _ds(span / LEVELS * 1.000001 if span > 0 else 1.0), _ds(low)
    stored = np.rint((voxels.astype(np.float64) - float(intercept)) / float(slope))
    return slope, intercept, np.clip(stored, 0, LEVELS)


def _shared(volume: Volume, made: Mapping[str, Any], headers: Sequence[Dataset], same_space: bool) -> Dataset:
    """What all slices say."""
    synthetic = made["kind"] != "super-resolution"
    now = datetime.now()
    out = Dataset()
    out.SpecificCharacterSet = "ISO_IR 192"
    for name in TYPE_2:
        setattr(out, name, None)
    out.StudyInstanceUID, out.FrameOfReferenceUID = generate_uid(), generate_uid()
    out.ScanningSequence, out.SequenceVariant, out.MRAcquisitionType = "RM", "NONE", "3D"
    copied = (*PATIENT, *(PLACE if same_space else ()), *(() if synthetic else ACQUISITION))
    for name in copied:
        if headers and name in headers[0]:
            setattr(out, name, headers[0].get(name))
    for key, name in TIMES.items():
        if volume.meta.get(key) is not None and (volume.meta[key] > 0 or key != "TI"):
            setattr(out, name, _ds(volume.meta[key]))
    out.Modality, out.SeriesInstanceUID = "MR", generate_uid()
    out.SeriesNumber = 9000 + max((int(header.get("SeriesNumber") or 0) for header in headers), default=1)
    out.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    out.SeriesDescription = _description(volume, made)[:64]
    out.DerivationDescription = _derivation(made)[:1024]
    out.ImageComments = made["notice"][:1024]
    out.Manufacturer, out.ManufacturerModelName = "MRINR", made["method"][:64]
    out.SoftwareVersions = mrinr.__version__
    out.BurnedInAnnotation = "NO"
    out.InstanceCreationDate = out.SeriesDate = out.ContentDate = now.strftime("%Y%m%d")
    out.InstanceCreationTime = out.SeriesTime = out.ContentTime = now.strftime("%H%M%S")
    out.SourceImageSequence = [_reference(header) for header in headers]
    return out


def _reference(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return item


def _description(volume: Volume, made: Mapping[str, Any]) -> str:
    if made.get("description"):
        return made["description"]
    target = made.get("target")
    what = made.get("contrast") or (target["name"] if isinstance(target, dict) else target) or volume.name
    kind = "SR" if made["kind"] == "super-resolution" else "(synthetic)"
    of = made.get("map", "result")
    return f"{what} {kind}" + ("" if of in ("result", "sr") else f" {of}")


def _derivation(made: Mapping[str, Any]) -> str:
    """How it was made, for people: DICOM has 1024 characters for that. Names of files stay out of it."""
    weights = made.get("weights_sha256")
    return " ".join(
        [
            made["notice"].replace("the sources below", "the referenced images"),
            f"Method: {made['method']}, mrinr {made['mrinr']}.",
            *([f"Model: {made.get('model')}, SHA-256 {weights}."] if weights else []),
        ]
    )


def _ds(number: float) -> str:
    """A decimal string of at most 16 characters."""
    number = float(number)
    for digits in range(15, 5, -1):
        text = f"{number:.{digits}g}"
        if len(text) <= 16:
            return text
    raise ValueError(f"{number} cannot be written")
