"""Reproduce the tables of a paper."""

from __future__ import annotations

import argparse
from pathlib import Path

from mrinr.commands import lpips
from mrinr.commands.session import Session

HELP = "reproduce the tables of a paper"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=("irem", "multi-contrast", "multimodal", "local-inr", "crl"))
    parser.add_argument("--data", type=Path, metavar="DIR", help="scans or label maps (default: simulated)")
    parser.add_argument("--small", action="store_true", help="a small part of the head: about 10 CPU-minutes")
    parser.add_argument(
        "--subjects",
        nargs="+",
        default=[],
        metavar="NAME",
        help="people in --data (default: all)",
    )
    parser.add_argument(
        "--dedicated", action="store_true", help="multimodal: train a model for each subset, too"
    )
    parser.add_argument(
        "--models", nargs="+", default=[], metavar="NAME|FOLDER", help="crl, multi-contrast: models"
    )
    lpips.option(parser)
    parser.add_argument("--out", type=Path, default=Path("mrinr-benchmark"), metavar="DIR")


def run(args: argparse.Namespace, session: Session) -> None:
    folder = session.outputs.folder(args.out)
    from mrinr import benchmark

    session.facts = benchmark.run(
        args.name,
        args.data,
        args.small,
        folder,
        session.context,
        args.subjects,
        args.dedicated,
        args.models,
        args.lpips_weights,
        args.threads,
    )
