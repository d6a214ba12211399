"""A scan at any other TR, TE and TI, with an uncertainty map."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mrinr import provenance
from mrinr.commands.session import Session
from mrinr.contrast import MODEL, Synthesis, change_contrast
from mrinr.contrast.parameters import from_meta, parse, parse_input
from mrinr.errors import InputError
from mrinr.simulation.signal import Sequence as MRSequence
from mrinr.volume import Volume

HELP = "a scan at any other TR, TE and TI"
TYPE_THEM = "add them to the file, --input FILE:TR,TE,TI in milliseconds (TI 0 for none)"


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--input",
        action="append",
        default=[],
        metavar="FILE[:TR,TE,TI]",
        help="a scan and its times in ms, which DICOM or a BIDS sidecar may say: NIfTI, NRRD or DICOM; "
        "several of one head are better than one; the result gets the grid and the units of the first",
    )
    add("--out", type=Path, required=True, metavar="FILE")
    add("--uncertainty", type=Path, metavar="FILE", help="write the half-width of the 90 %% interval")
    options(parser)


def options(parser: argparse.ArgumentParser) -> None:
    """Those that mean the same for one subject and for many."""
    add = parser.add_argument
    add(
        "--to",
        required=True,
        metavar="TR,TE,TI|PRESET",
        help="times of the result in ms (TI 0 for none, null:CSF for the one that nulls it), or T1, "
        "T1-FLAIR, T2, FLAIR, PD, STIR, CRL1 to CRL9",
    )
    add("--model", default=MODEL, metavar="NAME|FOLDER", help=f"see 'mrinr models' (default: {MODEL})")
    add("--register", choices=("auto", "off"), default="auto", help="align the scans first (default: auto)")


def run(args: argparse.Namespace, session: Session) -> None:
    target = parse(args.to, "--to")
    given = _inputs(args.input)
    session.promise_result(args.out, args.uncertainty, [path for path, _ in given])
    sources = []
    for path, played in given:
        volume = session.read(path)
        sources.append((volume, played or from_meta(volume.meta, volume.name, TYPE_THEM)))
    result = change_contrast(
        sources,
        target,
        model=args.model,
        register=args.register,
        device=args.device,
        seed=args.seed,
        threads=args.threads,
        context=session.context,
    )
    session.facts = result.report
    _write(args, session, sources, result)


def _inputs(given: Sequence[str]) -> list[tuple[Path, MRSequence | None]]:
    """Files and their times, in the order given."""
    if not given:
        raise InputError("No input was given; name at least one, for example --input t2.nii.gz:5000,100.")
    found = [parse_input(text) for text in given]
    for n, (path, _) in enumerate(found):
        if any(path.resolve() == other.resolve() for other, _ in found[:n]):
            raise InputError(f"{path} was given twice; once is enough.")
    return found


def _write(
    args: argparse.Namespace,
    session: Session,
    sources: Sequence[tuple[Volume, MRSequence]],
    result: Synthesis,
) -> None:
    report = result.report
    settings = {**report["settings"], "seed": args.seed}
    files = session.sources(*(volume for volume, _ in sources))
    made: dict[str, Any] = provenance.describe("synthesis", report["method"], settings, files) | {
        "target": report["target"],
        "times": report["sources"],
        "model": report["model"],
        "weights_sha256": report["weights_sha256"],
        "warnings": report["warnings"],
    }
    session.write(result.volume, args.out, made | {"map": "result"})
    if args.uncertainty is not None:
        session.write(result.uncertainty, args.uncertainty, made | {"map": "uncertainty"})
