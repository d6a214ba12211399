"""Super-resolution on a subject that comes along: two simulated thick-slice scans, ending with a picture."""

from __future__ import annotations

import argparse
from pathlib import Path

from mrinr.commands.session import Session

HELP = "show the main job on an embedded subject, in under two minutes"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, default=Path("mrinr-demo"), metavar="DIR", help="(default: mrinr-demo)"
    )


def run(args: argparse.Namespace, session: Session) -> None:
    folder = session.outputs.folder(args.out)
    from mrinr import demo

    found = demo.run(folder, session.context, args.device, args.threads, seed=args.seed)
    session.facts = {key: found[key] for key in ("method", "reason", "psnr")}
    session.facts["picture"] = str(args.out / Path(found["picture"]).name)
