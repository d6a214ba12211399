"""Compare a prediction with a reference, beside the floors that any method must beat; prints JSON."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mrinr.commands import lpips
from mrinr.commands.session import Session
from mrinr.metrics import PROTOCOLS, evaluate

HELP = "compare a prediction with a reference"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reference", type=Path, required=True, metavar="FILE")
    parser.add_argument("--prediction", type=Path, required=True, metavar="FILE")
    parser.add_argument("--mask", type=Path, metavar="FILE", help="brain, above 0 (default: estimated)")
    parser.add_argument("--lesions", type=Path, metavar="FILE", help="above 0 in lesions")
    parser.add_argument(
        "--input",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="what the prediction was made from, for the floors",
    )
    parser.add_argument("--protocol", choices=tuple(PROTOCOLS), default="honest")
    lpips.option(parser)


def run(args: argparse.Namespace, session: Session) -> None:
    reference, prediction = session.read(args.reference), session.read(args.prediction)
    mask = None if args.mask is None else session.read(args.mask)
    lesions = None if args.lesions is None else session.read(args.lesions)
    inputs = [session.read(path) for path in args.input]
    perceptual = None
    if args.lpips_weights:
        from mrinr.perceptual import Lpips

        perceptual = Lpips(*args.lpips_weights)
    session.facts = evaluate(reference, prediction, mask, lesions, inputs, args.protocol, perceptual)
    print(json.dumps(session.facts, indent=2, allow_nan=False))
