"""The files of LPIPS's weights, which no package carries."""

from __future__ import annotations

import argparse
from pathlib import Path


def option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lpips-weights",
        type=Path,
        nargs=2,
        default=[],
        metavar=("ALEXNET", "LINEAR"),
        help="compute LPIPS (evaluate, benchmark multi-contrast) with torchvision's alexnet-owt-7be5be79.pth "
        "and LPIPS's v0.1/alex.pth",
    )
