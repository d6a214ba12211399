"""Isotropic volumes from thick-slice stacks, with a data-consistency map."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from pathlib import Path

from mrinr import formats, provenance
from mrinr.commands.session import Session
from mrinr.contrasts import contrast_of
from mrinr.errors import InputError
from mrinr.files import write_bytes
from mrinr.superres import METHODS, Reconstruction, reconstruct
from mrinr.volume import Stack, Volume

HELP = "isotropic volumes from thick-slice stacks"


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("stacks", type=Path, nargs="+", metavar="STACK", help="NIfTI, NRRD or DICOM series (folder or file)")
    add("--out", type=Path, required=True, metavar="DIR")
    add(
        "--contrast",
        nargs="+",
        metavar="NAME",
        help="of each stack; equal names are fused (default: from the file name or DICOM)",
    )
    add("--like", type=Path, metavar="FILE", help="take the grid of this volume, instead of --spacing")
    add("--mask", type=Path, metavar="FILE", help="where to judge the result, above 0 (default: estimated)")
    add("--thickness", type=float, nargs="+", metavar="MM", help="of the slices, one or one for each stack")
    options(parser)


def options(parser: argparse.ArgumentParser) -> None:
    """Those that mean the same for one subject and for many."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "methods:\n" + "\n".join(f"  {name:12} {words}" for name, words in METHODS.items())
    add = parser.add_argument
    add(
        "--method", choices=tuple(METHODS), default="auto", metavar="METHOD", help="see below (default: auto)"
    )
    add(
        "--spacing", default="auto", metavar="MM", help="of the result (default: the finest in-plane spacing)"
    )
    add("--profile", choices=("auto", "box", "gaussian", "point"), default="auto", help="slice profile")
    add("--register", choices=("auto", "off"), default="auto", help="align the stacks first (default: auto)")
    add("--no-prior", action="store_true", help="use nothing that was learned from other people")
    add("--report", action="store_true", help="write report.html with pictures")


def run(args: argparse.Namespace, session: Session) -> None:
    if args.like is not None and args.spacing != "auto":
        raise InputError("--spacing and --like both say which grid to use; give one of them.")
    count = len(args.stacks)
    if args.contrast is not None and len(args.contrast) != count:
        raise InputError(
            f"--contrast names {len(args.contrast)} contrasts for {count} stacks; name one for each."
        )
    if args.thickness is not None and len(args.thickness) not in (1, count):
        raise InputError(
            f"--thickness gives {len(args.thickness)} values for {count} stacks; give one or one each."
        )
    for thickness in args.thickness or ():
        if not (math.isfinite(thickness) and thickness > 0):
            raise InputError(f"--thickness must be above 0 mm, not {thickness:g}.")
    session.outputs.folder(args.out)
    session.promise_report(args.out / "report.json")
    volumes = [session.read(path) for path in args.stacks]
    contrasts = args.contrast or [_contrast(p, v, count) for p, v in zip(args.stacks, volumes, strict=True)]
    thicknesses: list[float | None] = list(args.thickness or [None])
    if len(thicknesses) == 1:
        thicknesses *= count
    stacks = [
        Stack(volume, contrast, thickness=thickness)
        for volume, contrast, thickness in zip(volumes, contrasts, thicknesses, strict=True)
    ]
    _file_names(contrasts)
    result = reconstruct(
        stacks,
        method=args.method,
        spacing=args.spacing,
        like=None if args.like is None else session.read(args.like),
        profile=args.profile,
        register=args.register,
        mask=None if args.mask is None else session.read(args.mask),
        device=args.device,
        seed=args.seed,
        threads=args.threads,
        prior=not args.no_prior,
        context=session.context,
    )
    session.facts = result.report
    _write(args, session, stacks, result)


def _contrast(path: Path, volume: Volume, stacks: int) -> str:
    description = volume.meta.get("series_description")
    names = (
        (description, formats.stem(path))
        if path.is_dir() or formats.is_dicom(path)
        else (formats.stem(path), description)
    )
    found = contrast_of(*names)
    if found is None and stacks > 1:
        raise InputError(
            f"The name of {path} does not say its contrast; name one for each stack with --contrast."
        )
    return found or "MR"


def _file_names(contrasts: Sequence[str]) -> dict[str, str]:
    """File names by contrast. Raises InputError when two contrasts would share one."""
    names: dict[str, str] = {}
    for contrast in dict.fromkeys(contrasts):
        name = re.sub(r"[^\w.+-]+", "_", contrast)
        if not name.strip("._") or name.lower() in (other.lower() for other in names.values()):
            raise InputError(f"The contrast '{contrast}' gives no file name of its own; name it differently.")
        names[contrast] = name
    return names


def _write(
    args: argparse.Namespace, session: Session, stacks: Sequence[Stack], result: Reconstruction
) -> None:
    report = result.report
    settings = {key: report[key] for key in ("settings", "profile", "seed")} | {"register": args.register}
    if "prior" in report["notes"]:
        settings["prior"] = report["notes"]["prior"]
    for contrast, name in _file_names([stack.contrast for stack in stacks]).items():
        sources = session.sources(*(stack.volume for stack in stacks))
        made = provenance.describe("super-resolution", report["method"], settings, sources)
        for kind, volumes in (
            ("sr", result.volumes),
            ("residual", result.residuals),
            ("coverage", result.coverage),
            ("prior", result.moved),
        ):
            if contrast in volumes:
                session.write(
                    volumes[contrast],
                    args.out / f"{name}_{kind}.nii.gz",
                    made | {"contrast": contrast, "map": kind},
                )
    if args.report:
        from mrinr import report as pages

        page = pages.html(stacks, result, session.sources(*(stack.volume for stack in stacks)))
        write_bytes(session.outputs.file(args.out / "report.html"), page.encode())
