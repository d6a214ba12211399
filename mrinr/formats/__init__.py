"""Reading and writing image files, one file a format. Inside, geometry is RAS millimetres."""

from __future__ import annotations

from pathlib import Path

from mrinr.errors import InputError
from mrinr.files import write_bytes
from mrinr.volume import Volume

NIFTI = (".nii", ".nii.gz")
NRRD = (".nrrd", ".nhdr")
METAIMAGE = (".mha", ".mhd")


def read(path: Path) -> Volume:
    """Read one 3D volume: NIfTI, NRRD, MetaImage, a DICOM series (its folder or one of its files).

    Returns a Volume named after the file; `meta` holds what is known of `thickness`, `spacing_between_slices`
    (mm), `TR`, `TE`, `TI` (ms), `field_strength` (T), `series_description`, and `warnings` (sentences).
    Raises InputError, one sentence, for anything else.
    """
    name = path.name.lower()
    if not path.exists():
        raise InputError(f"{path} does not exist; check the name.")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path} is empty; copy or export it again.")
    if path.is_dir() or is_dicom(path):
        from mrinr.formats import dicom

        return dicom.read(path)
    if name.endswith(NIFTI):
        from mrinr.formats import nifti

        return nifti.read(path)
    if name.endswith(NRRD):
        from mrinr.formats import nrrd

        return nrrd.read(path)
    if name.endswith(METAIMAGE):
        from mrinr.formats import metaimage

        return metaimage.read(path)
    raise InputError(f"{path} is no image that can be read here; use .nii, .nii.gz, .nrrd, .mha or DICOM.")


def write(volume: Volume, path: Path) -> None:
    """Write .nii, .nii.gz or .nrrd: complete or not at all, the same bytes for the same volume.

    Raises InputError for another ending or a folder that cannot be written.
    """
    check_ending(path)
    if path.name.lower().endswith(NIFTI):
        from mrinr.formats import nifti

        data = nifti.encode(volume, compressed=path.name.lower().endswith(".gz"))
    else:
        from mrinr.formats import nrrd

        data = nrrd.encode(volume)
    write_bytes(path, data)


def check_ending(path: Path) -> None:
    """Raise InputError unless `write` knows the ending, for callers that have long work to do before it."""
    if not path.name.lower().endswith((*NIFTI, ".nrrd")):
        raise InputError(f"{path} has an ending that cannot be written; use .nii, .nii.gz or .nrrd.")


def stem(path: Path) -> str:
    """The file's name without its image ending."""
    for ending in (".nii.gz", *NIFTI, *NRRD, *METAIMAGE):
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.stem if path.is_file() else path.name


def images_in(folder: Path, deep: bool = True) -> list[Path]:
    """Image files but DICOM, in the order of their paths, hidden ones left out."""
    paths = folder.rglob("*") if deep else folder.iterdir()
    endings = (*NIFTI, *NRRD, *METAIMAGE)
    return sorted(p for p in paths if p.name.lower().endswith(endings) and p.name[0] != "." and p.is_file())


def is_dicom(path: Path) -> bool:
    """True for a file with DICOM's mark after its preamble, whatever its name."""
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False
