"""Train a model on simulated or real subjects and save it as a folder that --model takes; resumable."""

from __future__ import annotations

import argparse
import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path

from mrinr import bundles
from mrinr.commands.session import Session
from mrinr.commands.synthesize import sequence
from mrinr.errors import InputError

HELP = "train a model"
KINDS = ("multimodal", "local-inr", "pix2pix", "brain", "recogniser", "intensities", "crl", "prior")
EXTRA = ("monai", "accelerate")  # what the extra "train" installs


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("kind", choices=KINDS)
    add(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="folders of label maps to simulate from, or of scans (BraTS, ISLES, IXI or a folder a subject)",
    )
    add("--out", type=Path, required=True, metavar="BUNDLE", help="the new model's folder")
    add(
        "--preset",
        choices=("compact", "attention", "paper"),
        default="compact",
        help="size (default: compact); attention: of crl",
    )
    add("--target", nargs="+", metavar="NAME", help="sequences to learn (default: the kind's)")
    add("--inputs", nargs="+", metavar="NAME", help="sequences to learn from (default: the kind's)")
    add("--steps", type=int, metavar="N", help="(default: the preset's)")
    add("--hours", type=float, metavar="H", help="stop after this time and save what was learned")
    add("--checkpoint", type=Path, metavar="DIR", help="where to keep what a later run continues from")
    add(
        "--average",
        type=Path,
        metavar="BUNDLE",
        help="mean of the weights with an earlier end of this training",
    )
    add("--held-out", nargs="+", default=[], metavar="NAME", help="subjects to judge and calibrate on")
    add("--licence", metavar="TEXT", help="of the data, for the model card")
    add("--exclude", nargs="+", default=[], metavar="NAME", help="subjects to leave alone")


def run(args: argparse.Namespace, session: Session) -> None:
    if any(importlib.util.find_spec(package) is None for package in EXTRA):
        raise InputError("Training needs the extra packages: pip install 'mrinr[train]'.")
    check_folders(args.data)
    check_steps(args.steps)
    if args.hours is not None and not (math.isfinite(args.hours) and args.hours > 0):
        raise InputError(f"--hours must be above 0, not {args.hours:g}.")
    inputs = args.inputs and [sequence(name, "--inputs") for name in args.inputs]
    targets = args.target and [sequence(name, "--target") for name in args.target]
    out = args.out.expanduser().absolute()
    bundles.check_free(out)
    from mrinr import training

    bundle = training.train(
        args.kind,
        args.data,
        out,
        preset=args.preset,
        inputs=inputs,
        targets=targets,
        steps=args.steps,
        hours=args.hours,
        work=args.checkpoint or out.with_name(f"{out.name}.checkpoint"),
        average=args.average,
        held_out=args.held_out,
        exclude=args.exclude,
        licence=args.licence,
        seed=args.seed,
        device=args.device,
        threads=args.threads,
        context=session.context,
    )
    session.facts = {"model": bundle.name, "weights_sha256": bundle.sha256, **bundle.facts}
    if not args.quiet:
        print(bundle.card)


def check_folders(folders: Sequence[Path]) -> None:
    for folder in folders:
        if not folder.is_dir():
            problem = "is a file, not a folder" if folder.exists() else "does not exist"
            raise InputError(f"{folder} {problem}; name the folder that holds the subjects.")


def check_steps(steps: int | None) -> None:
    if steps is not None and steps < 1:
        raise InputError(f"--steps must be at least 1, not {steps}.")
