"""DICOM series written with pydicom, for tests: the independent side of what mrinr reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid


def write_series(
    folder: Path,
    voxels: np.ndarray,  # (columns, rows, slices) integers
    affine: np.ndarray,  # index to LPS millimetres
    slope: float = 1.0,
    keep: list[int] | None = None,
    prefix: str = "im",
    **tags: object,
) -> list[Path]:
    """Write one file a slice, in a shuffled order of names; `keep` leaves out the other slices."""
    folder.mkdir(parents=True, exist_ok=True)
    series = generate_uid()
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    axes = affine[:3, :3] / spacing
    kept = list(range(voxels.shape[2])) if keep is None else keep
    names = np.random.default_rng(0).permutation(len(kept))
    paths = []
    for name, k in zip(names, kept, strict=True):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = MRImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_ = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        slice_.SOPClassUID, slice_.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        slice_.PatientName, slice_.PatientID, slice_.Modality = "Secret^Person", "4711", "MR"
        slice_.SeriesInstanceUID, slice_.StudyInstanceUID = series, "1.2.3"
        slice_.FrameOfReferenceUID = "1.2.4"
        slice_.ImageType = ["ORIGINAL", "PRIMARY"]
        slice_.InstanceNumber = int(name) + 1
        slice_.ImagePositionPatient = [f"{x:.9g}" for x in (affine @ [0, 0, k, 1])[:3]]
        slice_.ImageOrientationPatient = [f"{x:.12g}" for x in (*axes[:, 0], *axes[:, 1])]
        slice_.PixelSpacing = [float(spacing[1]), float(spacing[0])]
        slice_.SliceThickness = float(spacing[2])
        slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
        slice_.Columns, slice_.Rows = voxels.shape[:2]
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit = 16, 16, 15
        slice_.PixelRepresentation = 0
        slice_.RescaleSlope, slice_.RescaleIntercept = slope, 0
        for key, value in tags.items():
            setattr(slice_, key, value)
        slice_.PixelData = voxels[:, :, k].T.astype("<u2").tobytes()
        path = folder / f"{prefix}{name:03d}.dcm"
        pydicom.dcmwrite(path, slice_, enforce_file_format=True)
        paths.append(path)
    return paths
