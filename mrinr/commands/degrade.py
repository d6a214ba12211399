"""Make a thick-slice stack from a volume, as a scanner would have acquired it."""

from __future__ import annotations

import argparse
from pathlib import Path

from mrinr import provenance
from mrinr.commands.session import Session
from mrinr.degrade import PROFILES, degrade

HELP = "make a thick-slice stack from a volume"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("volume", type=Path, metavar="HR", help="NIfTI, NRRD or DICOM series")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--axis", type=int, required=True, metavar="0|1|2", help="i, j or k of the file")
    parser.add_argument("--factor", type=float, required=True, metavar="K", help="above 1, need not be whole")
    parser.add_argument("--profile", choices=PROFILES, default="box", help="slice profile (default: box)")
    parser.add_argument(
        "--noise",
        type=float,
        default=0.0,
        metavar="SIGMA",
        help="Rician noise as a fraction of the brain's 99.9th percentile (default: 0)",
    )
    parser.add_argument(
        "--rotate", type=float, default=0.0, metavar="DEG", help="turn the slices about an oblique axis"
    )


def run(args: argparse.Namespace, session: Session) -> None:
    session.promise_volume(args.out)
    volume = session.read(args.volume)
    stack = degrade(volume, args.axis, args.factor, args.profile, args.noise, args.rotate, args.seed)
    settings = {key: getattr(args, key) for key in ("axis", "factor", "profile", "noise", "rotate", "seed")}
    made = provenance.describe("degraded", "degrade", settings, session.sources(volume))
    session.write(stack, args.out, made)
    session.facts = {
        "shape": list(stack.voxels.shape),
        "spacing": [round(float(s), 6) for s in stack.spacing],
        "thickness": stack.meta["thickness"],
    }
