"""DICOM series written with pydicom, for tests: the independent side of what mrinr reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid


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


def write_enhanced(
    path: Path,
    parts: list[tuple[np.ndarray, np.ndarray, dict[str, object]]],
    per_frame: bool = True,
    **tags: object,
) -> Path:
    """One Enhanced MR file. A part is (columns, rows, slices) integers, index to LPS mm, and what frames say:
    stack, TE, TR, TI, b, time, slope, thickness. Frames of all parts are shuffled, as PS3.3 allows."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = EnhancedMRImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = EnhancedMRImageStorage, meta.MediaStorageSOPInstanceUID
    file.PatientName, file.PatientID, file.Modality = "Secret^Person", "4711", "MR"
    file.SeriesInstanceUID, file.StudyInstanceUID, file.FrameOfReferenceUID = generate_uid(), "1.2.3", "1.2.4"
    file.ImageType = ["ORIGINAL", "PRIMARY", "T2", "NONE"]
    file.MagneticFieldStrength = 3.0
    frames, pixels = [], []
    for voxels, affine, said in parts:
        for k in range(voxels.shape[2]):
            frames.append(_frame(affine, k, said))
            pixels.append(voxels[:, :, k].T.astype("<u2"))
    order = np.random.default_rng(0).permutation(len(frames))
    shared = Dataset()
    if not per_frame:  # what all frames have in common may stand once
        for name in ("PixelMeasuresSequence", "PlaneOrientationSequence", "MREchoSequence"):
            shared[name] = frames[0][name]
            for frame in frames:
                del frame[name]
    file.SharedFunctionalGroupsSequence = [shared]
    file.PerFrameFunctionalGroupsSequence = [frames[n] for n in order]
    file.NumberOfFrames = len(frames)
    file.Columns, file.Rows = parts[0][0].shape[:2]
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 0
    for key, value in tags.items():
        setattr(file, key, value)
    file.PixelData = b"".join(pixels[n].tobytes() for n in order)
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, file, enforce_file_format=True)
    return path


def _frame(affine: np.ndarray, k: int, said: dict[str, object]) -> Dataset:
    """The functional groups of one frame."""

    def group(**attributes: object) -> list[Dataset]:
        item = Dataset()
        for key, value in attributes.items():
            setattr(item, key, value)
        return [item]

    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    axes = affine[:3, :3] / spacing
    frame = Dataset()
    position = [f"{x:.9g}" for x in (affine @ [0, 0, k, 1])[:3]]
    frame.PlanePositionSequence = group(ImagePositionPatient=position)
    frame.PlaneOrientationSequence = group(
        ImageOrientationPatient=[f"{x:.12g}" for x in (*axes[:, 0], *axes[:, 1])]
    )
    frame.PixelMeasuresSequence = group(
        PixelSpacing=[float(spacing[1]), float(spacing[0])],
        SliceThickness=said.get("thickness", float(spacing[2])),
        SpacingBetweenSlices=float(spacing[2]),
    )
    frame.MRTimingAndRelatedParametersSequence = group(RepetitionTime=said.get("TR", 4000.0))
    frame.MREchoSequence = group(EffectiveEchoTime=said.get("TE", 90.0))
    if "TI" in said:
        frame.MRModifierSequence = group(InversionTimes=[said["TI"]])
    if "b" in said:
        frame.MRDiffusionSequence = group(DiffusionBValue=said["b"])
    frame.FrameContentSequence = group(
        StackID=str(said.get("stack", 1)),
        InStackPositionNumber=k + 1,
        TemporalPositionIndex=said.get("time", 1),
    )
    slope = said.get("slope", 1.0)
    frame.PixelValueTransformationSequence = group(
        RescaleSlope=slope(k) if callable(slope) else slope,
        RescaleIntercept=said.get("intercept", 0),
        RescaleType="US",
    )
    return frame


def compress(path: Path, codec: str) -> None:
    """Compress a file in place: "RLE" by pydicom, "JPEG" (lossless) and "JPEG2000" by SimpleITK's GDCM."""
    file = pydicom.dcmread(path)
    if codec == "RLE":
        file.compress(pydicom.uid.RLELossless)
    else:
        frames = file.pixel_array.reshape(-1, file.Rows, file.Columns)
        encoded = []
        for frame in frames:
            writer = sitk.ImageFileWriter()
            writer.SetImageIO("GDCMImageIO")
            writer.UseCompressionOn()
            writer.SetCompressor(codec)
            writer.SetFileName(str(path))
            writer.Execute(sitk.GetImageFromArray(frame))
            one = pydicom.dcmread(path)
            encoded += list(pydicom.encaps.generate_frames(one.PixelData, number_of_frames=1))
        file.PixelData = pydicom.encaps.encapsulate(encoded)
        file["PixelData"].VR, file["PixelData"].is_undefined_length = "OB", True
        file.file_meta.TransferSyntaxUID = one.file_meta.TransferSyntaxUID
    pydicom.dcmwrite(path, file, enforce_file_format=True)
