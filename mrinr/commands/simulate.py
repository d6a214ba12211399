"""Simulate subjects with known truth: anatomy, tissue, signal, lesions."""

from __future__ import annotations

import argparse
from pathlib import Path

from mrinr.commands.session import Session
from mrinr.errors import InputError

HELP = "simulate subjects with known truth"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--anatomy", default="icbm", metavar="icbm|LABELMAP", help="(default: icbm)")
    parser.add_argument("--subjects", type=int, default=1, metavar="N")
    parser.add_argument(
        "--sequences",
        nargs="+",
        default=["clinical"],
        metavar="NAME",
        help="names, clinical or crl (default: clinical)",
    )
    parser.add_argument("--lesions", choices=("ms", "tumour", "stroke", "none"), default="none")


def run(args: argparse.Namespace, session: Session) -> None:
    if args.subjects < 1:
        raise InputError(f"--subjects must be at least 1, not {args.subjects}.")
    folder = session.outputs.folder(args.out)
    anatomy = args.anatomy if args.anatomy == "icbm" else session.read(Path(args.anatomy))
    from mrinr.simulation import simulate

    simulate(
        folder,
        anatomy,
        args.subjects,
        args.sequences,
        args.lesions,
        args.seed,
        context=session.context,
    )
