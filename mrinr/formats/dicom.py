"""DICOM series by SimpleITK (GDCM), slices placed by their positions; names of people are never read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from mrinr.errors import InputError
from mrinr.itk import FLIP, affine_of, voxels_of
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
POSITION, ORIENTATION = "0020|0032", "0020|0037"


def read(path: Path) -> Volume:
    """Read the one series in a folder, or the series that a file belongs to. See `mrinr.formats.read`."""
    folder = path if path.is_dir() else path.parent
    files = _series_files(path, folder)
    headers = [_header(file) for file in files]
    first = headers[0]
    if "LOCALIZER" in first.get(IMAGE_TYPE, "").upper():
        raise InputError(f"{path} is a localizer, not a volume; choose another series.")
    if len(files) == 1:
        image = _pixels(path, files)
        affine = affine_of(image)
    else:
        order, step, origin = _sort(path, headers)
        image = _pixels(path, [files[n] for n in order])
        affine = affine_of(image)
        affine[:3, 2], affine[:3, 3] = FLIP[:3, :3] @ step, FLIP[:3, :3] @ origin
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            f"{path} holds colours; one number a voxel is needed (choose the scanner's own series)."
        )
    return Volume(voxels_of(image), affine, path.name, _meta(first))


def series(folder: Path) -> list[tuple[Path, str]]:
    """One file, and what the scanner called it, for each series in a folder that is no localizer."""
    found = []
    for name in sorted(sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))):
        file = min(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), name))
        header = _header(file)
        if "LOCALIZER" not in header.get(IMAGE_TYPE, "").upper():
            found.append((Path(file), header.get(DESCRIPTION, "")))
    return found


def files(path: Path) -> list[Path]:
    """The files of the one series in a folder, or of a file's series. Raises InputError as `read`."""
    return sorted(map(Path, _series_files(path, path if path.is_dir() else path.parent)))


def _series_files(path: Path, folder: Path) -> list[str]:
    """The files of the series, in any order."""
    if path.is_file():
        series = _header(str(path)).get(SERIES, "")
        files = list(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series)) if series else []
        return files if path.name in {Path(file).name for file in files} else [str(path)]
    found = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if not found:
        raise InputError(f"{path} holds no DICOM series; name a folder of DICOM files or an image file.")
    groups = sorted(sorted(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), s)) for s in found)
    if len(groups) > 1:
        listed = ", ".join(
            f"{_header(group[0]).get(DESCRIPTION) or 'unnamed'} ({len(group)} images, {Path(group[0]).name})"
            for group in groups
        )
        raise InputError(
            f"{path} holds {len(groups)} series: {listed}; name one file of the series you want."
        )
    return groups[0]


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
    wanted = (*NUMBERS, SERIES, DESCRIPTION, IMAGE_TYPE, POSITION, ORIENTATION)
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
        raise InputError(
            f"{path} is truncated or damaged, or its slices differ in size; export it again."
        ) from error


def _sort(path: Path, headers: list[dict[str, str]]) -> tuple[list[int], np.ndarray, np.ndarray]:
    """The order of the slices, the step from one to the next and the first one's position (LPS mm)."""
    try:
        positions = np.array([[float(x) for x in h[POSITION].split("\\")] for h in headers]).reshape(-1, 3)
        axes = np.array([[float(x) for x in h[ORIENTATION].split("\\")] for h in headers]).reshape(-1, 6)
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} has slices without a position; export the series again.") from error
    if np.abs(axes - axes[0]).max() > 1e-3:
        raise InputError(f"{path} has slices in several orientations (a localizer?); choose another series.")
    along = positions @ np.cross(axes[0, :3], axes[0, 3:])
    order = np.argsort(along, kind="stable")
    gaps = np.diff(along[order])
    usual = float(np.median(gaps))
    if gaps.min() < 1e-3:
        raise InputError(
            f"{path} has several images at one position (echoes or time points); "
            "export one volume as its own series."
        )
    if np.abs(gaps - usual).max() > max(0.02 * usual, 0.02):
        raise InputError(
            f"{path} has uneven slice distances ({gaps.min():.2f} to {gaps.max():.2f} mm): "
            "slices are missing, or it is no single volume; export the series again."
        )
    first, last = positions[order[0]], positions[order[-1]]
    return order.tolist(), (last - first) / (len(order) - 1), first


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
