"""A result as a derived DICOM series, with what made it and references to the images it was made from."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from mrinr.commands.session import Session
from mrinr.errors import InputError
from mrinr.formats import sidecar
from mrinr.volume import Volume

HELP = "a result as a derived DICOM series"


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("result", type=Path, metavar="RESULT", help="a volume written by mrinr, its sidecar beside it")
    add("--out", type=Path, required=True, metavar="DIR", help="a new folder for the series")
    add(
        "--source",
        type=Path,
        nargs="+",
        default=[],
        metavar="SERIES",
        help="DICOM series that it was made from, the one of its own contrast or grid first; patient and "
        "study are those of the first (default: none, a study of its own)",
    )


def run(args: argparse.Namespace, session: Session) -> None:
    from mrinr.formats import dicom, dicom_export

    volume = session.read(args.result)
    made = _made(args.result)
    files = [file for source in args.source for file in dicom.files(source)]
    if args.out.is_dir() and any(args.out.iterdir()):
        raise InputError(f"{args.out} is not empty; name a new folder for the series.")
    written = dicom_export.save(_with_times(volume, made), session.outputs.folder(args.out), made, files)
    session.facts = {"slices": len(written), "sources": len(files)}


def _made(path: Path) -> dict:
    """What the sidecar says of the result. Raises InputError for a volume that mrinr did not make."""
    try:
        return json.loads(sidecar.path_of(path).read_text(encoding="utf-8"))["MRINR"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} has no sidecar that says how mrinr made it; name a result with its .json beside it."
        ) from error


def _with_times(volume: Volume, made: dict) -> Volume:
    """The times in ms that a synthetic contrast was asked for, where it was asked for by times."""
    target = made.get("target")
    if not isinstance(target, dict):
        return volume
    return replace(volume, meta={**volume.meta, **{key: target.get(key) for key in ("TR", "TE", "TI")}})
