"""Where the data that ship with MRINR lie."""

from __future__ import annotations

from pathlib import Path

from mrinr.errors import InputError

PACKAGE = Path(__file__).resolve().parent


def resource(*parts: str) -> Path:
    """The shipped file or folder Resources/<parts>.

    `Resources` lies beside this package in a checkout, an editable install and Slicer's module folder; the
    wheel carries it inside the package, as `_resources`. Raises InputError when it is in neither place.
    """
    for folder in (PACKAGE.parent / "Resources", PACKAGE / "_resources"):
        path = folder.joinpath(*parts)
        if path.exists():
            return path
    raise InputError(f"MRINR's own file {'/'.join(parts)} is missing; install MRINR again.")
