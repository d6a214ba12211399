"""Teach a model one to three subjects of your own scanner and compare it with what it was before."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mrinr import bundles
from mrinr.commands.session import Session
from mrinr.commands.synthesize import sequence
from mrinr.commands.train import check_folders, check_steps

HELP = "adapt a model to your own scans"
ROWS = {"before": "before", "after": "after", "linear": "linear fit"}


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("bundle", metavar="BUNDLE", help="a model's name or folder; it stays as it is")
    add("--data", type=Path, required=True, metavar="DIR", help="a folder of subjects with inputs and target")
    add("--out", type=Path, required=True, metavar="BUNDLE", help="the new model's folder")
    add("--target", metavar="NAME", help="sequence to learn (default: the model's, where it has one)")
    add("--steps", type=int, metavar="N", help="(default: as many as take about two minutes on two cores)")


def run(args: argparse.Namespace, session: Session) -> None:
    check_folders([args.data])
    check_steps(args.steps)
    target = args.target and sequence(args.target, "--target")
    bundles.check_free(args.out)
    before = bundles.find(args.bundle)
    from mrinr import training

    cases, target = training.from_folder(before, args.data, target)
    bundle, report = training.finetune(
        before,
        cases,
        args.out,
        target=target,
        steps=args.steps,
        seed=args.seed,
        device=args.device,
        threads=args.threads,
        context=session.context,
    )
    session.facts = {**report, "weights_sha256": bundle.sha256, "from_sha256": before.sha256}
    if not args.quiet:
        print(table(report))


def table(report: Mapping[str, Any]) -> str:
    """PSNR and SSIM in the brain before and after, beside the linear fit of the inputs."""
    lines = [f"{'':12}{'PSNR':>8}{'SSIM':>8}"]
    for key, words in ROWS.items():
        if report.get(key):
            lines.append(f"{words:12}{report[key]['psnr']:8.2f}{report[key]['ssim']:8.3f}")
    return "\n".join(lines)
