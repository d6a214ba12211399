"""DICOM series by SimpleITK (GDCM), slices placed by their positions; names of people are never read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk

from mrinr.errors import InputError
from mrinr.formats import dicom_enhanced, dicom_slices
from mrinr.geometry import FLIP
from mrinr.itk import affine_of, voxels_of
from mrinr.volume import Volume

NUMBERS = {  # DICOM tag: our key; DICOM is in mm, ms and T already
    "0018|0050": "thickness",
    "0018|0088": "spacing_between_slices",
    "0018|0080": "TR",
    "0018|0081": "TE",
    "0018|0082": "TI",
    "0018|0087": "field_strength",
}
SERIES, DESCRIPTION, IMAGE_TYPE = "0020|000e", "0008|103e", "0008|0008"
POSITION, ORIENTATION, ECHO = "0020|0032", "0020|0037", "0018|0081"
CLASS, INSTANCE, FRAMES = "0008|0016", "0008|0018", "0028|0008"


def read(path: Path) -> Volume:
    """Read the one series in a folder, or the series that a file belongs to. See `mrinr.formats.read`."""
    folder = path if path.is_dir() else path.parent
    files, warnings = _series_files(path, folder)
    headers = [_header(file) for file in files]
    frames = [n for n, header in enumerate(headers) if _is_enhanced(header)]
    if any(_is_localizer(header) for header in headers):
        raise InputError(f"{path} is a localizer, not a volume; choose another series.")
    if frames:
        volume = dicom_enhanced.read(_one_file(path, [files[n] for n in frames]))
        volume = replace(volume, name=path.name)
    else:
        volume = _read_slices(path, files, headers, warnings)
    return replace(volume, meta={**volume.meta, **({"warnings": tuple(warnings)} if warnings else {})})


def _read_slices(path: Path, files: list[str], headers: list[dict[str, str]], warnings: list[str]) -> Volume:
    """A volume of one file a slice."""
    kept = _once(headers, warnings, path)
    if len(kept) > 1:
        positions, axes = _places(path, [headers[n] for n in kept])
        if path.is_file() and dicom_slices.is_repeated(positions, axes):
            kept = _same_echo(path, files, headers, kept)
            positions, axes = _places(path, [headers[n] for n in kept])
        order, step, origin = dicom_slices.sort(path, positions, axes)
        kept = [kept[n] for n in order]
    image = _pixels(path, [files[n] for n in kept])
    affine = affine_of(image)
    if len(kept) > 1:
        affine[:3, 2], affine[:3, 3] = FLIP[:3, :3] @ step, FLIP[:3, :3] @ origin
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            f"{path} holds colours; one number a voxel is needed (choose the scanner's own series)."
        )
    return Volume(voxels_of(image), affine, path.name, _meta(headers[kept[0]]))


def series(folder: Path) -> list[tuple[Path, str]]:
    """One file, and what the scanner called it, for each series in a folder that is no localizer."""
    found = []
    for name in sorted(sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))):
        file = min(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), name))
        header = _header(file)
        if not _is_localizer(header):
            found.append((Path(file), header.get(DESCRIPTION, "")))
    return found


def files(path: Path) -> list[Path]:
    """The files of the one series in a folder, or of a file's series. Raises InputError as `read`."""
    return sorted(map(Path, _series_files(path, path if path.is_dir() else path.parent)[0]))


def _series_files(path: Path, folder: Path) -> tuple[list[str], list[str]]:
    """The files of the series, in any order, and warnings about what was left out."""
    if path.is_file():
        header = _header(str(path))
        series = "" if _is_enhanced(header) else header.get(SERIES, "")
        files = list(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series)) if series else []
        return (files if path.name in {Path(file).name for file in files} else [str(path)]), []
    found = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if not found:
        raise InputError(f"{path} holds no DICOM series; name a folder of DICOM files or an image file.")
    groups = sorted(sorted(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), s)) for s in found)
    volumes = [group for group in groups if not _is_localizer(_header(group[0]))]
    if len(volumes) == 1 and len(groups) > 1:
        return volumes[0], [f"{path.name} also holds a localizer, which is left out."]
    groups = volumes or groups
    if len(groups) > 1:
        listed = ", ".join(
            f"{_header(group[0]).get(DESCRIPTION) or 'unnamed'} ({len(group)} images, {Path(group[0]).name})"
            for group in groups
        )
        raise InputError(
            f"{path} holds {len(groups)} series: {listed}; name one file of the series you want."
        )
    return groups[0], []


def _one_file(path: Path, files: list[str]) -> Path:
    if len(files) > 1:
        names = ", ".join(sorted(Path(file).name for file in files))
        raise InputError(f"{path} holds {len(files)} files that are volumes each: {names}; name one of them.")
    return Path(files[0])


def _is_localizer(header: dict[str, str]) -> bool:
    return "LOCALIZER" in header.get(IMAGE_TYPE, "").upper()


def _is_enhanced(header: dict[str, str]) -> bool:
    """Many frames in one file, or the kind of file that is made for them."""
    return header.get(CLASS, "") in dicom_enhanced.CLASSES or header.get(FRAMES, "1") not in ("", "0", "1")


def _once(headers: list[dict[str, str]], warnings: list[str], path: Path) -> list[int]:
    """Which files to take: of files that are copies of one image only the first."""
    first: dict[str, int] = {}
    for n, header in enumerate(headers):
        first.setdefault(header.get(INSTANCE) or f"file {n}", n)
    copies = len(headers) - len(first)
    if copies:
        warnings.append(f"{path.name} holds {copies} images twice; their copies are left out.")
    return list(first.values())


def _same_echo(path: Path, files: list[str], headers: list[dict[str, str]], kept: list[int]) -> list[int]:
    """Of a series with several echoes those images that have the echo time of the named file."""
    echo = next(h.get(ECHO) for f, h in zip(files, headers, strict=True) if Path(f).name == path.name)
    return [n for n in kept if headers[n].get(ECHO) == echo]


def _header(file: str) -> dict[str, str]:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(file)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(
            f"{file} is truncated, damaged or no DICOM image; copy or export it again."
        ) from error
    wanted = (*NUMBERS, SERIES, DESCRIPTION, IMAGE_TYPE, POSITION, ORIENTATION, CLASS, INSTANCE, FRAMES)
    return {tag: reader.GetMetaData(tag).strip() for tag in wanted if reader.HasMetaDataKey(tag)}


def _pixels(path: Path, files: list[str]) -> sitk.Image:
    """Rescaled slices as one image; float, because each slice may have its own rescale slope."""
    try:
        if len(files) == 1:
            image = sitk.ReadImage(files[0], imageIO="GDCMImageIO")
            return image if image.GetNumberOfComponentsPerPixel() > 1 else sitk.Cast(image, sitk.sitkFloat32)
        reader = sitk.ImageSeriesReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileNames(files)
        reader.SetOutputPixelType(sitk.sitkFloat32)
        return reader.Execute()
    except RuntimeError as error:
        raise InputError(dicom_enhanced.unreadable(path, _transfer_syntax(files[0]))) from error


def _transfer_syntax(file: str) -> str:
    try:
        return str(pydicom.filereader.read_file_meta_info(file).get("TransferSyntaxUID", ""))
    except (OSError, EOFError, pydicom.errors.InvalidDicomError):
        return ""


def _places(path: Path, headers: list[dict[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Positions (slices, 3) in LPS mm and directions of rows and columns (slices, 6)."""
    try:
        positions = np.array([[float(x) for x in h[POSITION].split("\\")] for h in headers]).reshape(-1, 3)
        axes = np.array([[float(x) for x in h[ORIENTATION].split("\\")] for h in headers]).reshape(-1, 6)
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} has slices without a position; export the series again.") from error
    return positions, axes


def _meta(header: dict[str, str]) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    for tag, key in NUMBERS.items():
        try:
            value = float(header[tag].split("\\")[0])
        except (KeyError, ValueError):
            continue
        if np.isfinite(value) and (value > 0 or key == "TI"):
            meta[key] = value
    if header.get(DESCRIPTION):
        meta["series_description"] = header[DESCRIPTION]
    return meta
