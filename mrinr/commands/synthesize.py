"""A missing sequence from the ones that are there, with an uncertainty map."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mrinr import provenance
from mrinr.commands.session import Session
from mrinr.errors import InputError
from mrinr.synthesis import INPUTS, Synthesis, synthesize
from mrinr.volume import Volume

HELP = "a missing sequence from the ones that are there"


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--input",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help=f"a scan and its sequence ({', '.join(INPUTS)}): NIfTI, NRRD or DICOM; once for each",
    )
    add("--out", type=Path, required=True, metavar="FILE")
    add("--uncertainty", type=Path, metavar="FILE", help="write the half-width of the 90 %% interval")
    options(parser)


def options(parser: argparse.ArgumentParser) -> None:
    """Those that mean the same for one subject and for many."""
    add = parser.add_argument
    add("--target", required=True, metavar="NAME", help="the sequence that is missing")
    add("--model", default="auto", metavar="NAME|FOLDER", help="see 'mrinr models' (default: auto)")
    add("--register", choices=("auto", "off"), default="auto", help="align the inputs first (default: auto)")
    add("--like", metavar="NAME", help="the input whose grid the result gets (default: the first)")


def run(args: argparse.Namespace, session: Session) -> None:
    target = sequence(args.target, "--target")
    paths = _inputs(args.input)
    if target in paths:
        raise InputError(
            f"{target} is both an input and the target; leave it out of the inputs to synthesize it."
        )
    like = None if args.like is None else sequence(args.like, "--like")
    if like is not None and like not in paths:
        raise InputError(f"--like names {like}, which is no input; name one of {', '.join(paths)}.")
    session.promise_result(args.out, args.uncertainty, paths.values())
    volumes = {name: session.read(path) for name, path in paths.items()}
    result = synthesize(
        volumes,
        target,
        model=args.model,
        like=like,
        register=args.register,
        device=args.device,
        seed=args.seed,
        threads=args.threads,
        context=session.context,
    )
    # "inputs" in the shell's report are the files
    session.facts = {**result.report, "sequences": {name: each.name for name, each in volumes.items()}}
    _write(args, session, volumes, target, result)


def _inputs(given: Sequence[str]) -> dict[str, Path]:
    """Files by sequence, in the order given."""
    if not given:
        raise InputError("No input was given; name at least one, for example --input T1=t1.nii.gz.")
    paths: dict[str, Path] = {}
    for text in given:
        name, equals, file = text.partition("=")
        if not (name and equals and file):
            raise InputError(f"--input must be NAME=FILE, for example T1={text.strip('=')}, not '{text}'.")
        role = sequence(name, "--input")
        if role in paths:
            raise InputError(f"Two inputs are called {role}: {paths[role]} and {file}; give one of them.")
        for other, path in paths.items():
            if path.resolve() == Path(file).resolve():
                raise InputError(f"{file} is given as {other} and as {role}; it can only be one of them.")
        paths[role] = Path(file)
    return paths


def sequence(name: str, option: str) -> str:
    """The sequence as it is spelled here; 't1CE' is understood."""
    for each in INPUTS:
        if each.lower() == name.lower():
            return each
    raise InputError(f"{option} names '{name}', which is no known sequence; use one of {', '.join(INPUTS)}.")


def _write(
    args: argparse.Namespace, session: Session, volumes: dict[str, Volume], target: str, result: Synthesis
) -> None:
    report = result.report
    settings = {**report["settings"], "seed": args.seed, "register": args.register, "like": report["like"]}
    sources = session.sources(*volumes.values())
    made = provenance.describe("synthesis", report["method"], settings, sources, target) | {
        "target": target,
        "inputs": dict(zip(volumes, (source["name"] for source in sources), strict=True)),
        "model": report["model"],
        "weights_sha256": report["weights_sha256"],
    }
    session.write(result.volume, args.out, made | {"map": "result"})
    if args.uncertainty is not None:
        session.write(result.uncertainty, args.uncertainty, made | {"map": "uncertainty"})
