"""MetaImage, in which BraTS 2015 is published: read by SimpleITK, not written."""

from __future__ import annotations

from pathlib import Path

from mrinr.formats import itk_file
from mrinr.volume import Volume


def read(path: Path) -> Volume:
    """Read a .mha or .mhd file. See `mrinr.formats.read`."""
    return itk_file.read(path, "MetaImageIO", "MetaImage")
