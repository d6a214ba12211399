"""The shell command `mrinr`.

Exit status: 0 when every promised file is there, 2 for bad input, 130 after Ctrl-C, 1 for anything else.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

import mrinr
from mrinr.commands import (
    batch,
    benchmark,
    contrast,
    degrade,
    demo,
    dicom,
    evaluate,
    finetune,
    models,
    simulate,
    superres,
    synthesize,
    train,
)
from mrinr.commands.progress import ProgressLine
from mrinr.commands.session import Session
from mrinr.engine.failures import sentence
from mrinr.errors import Cancelled, InputError

COMMANDS = {
    "superres": superres,
    "synthesize": synthesize,
    "contrast": contrast,
    "batch": batch,
    "degrade": degrade,
    "evaluate": evaluate,
    "dicom": dicom,
    "simulate": simulate,
    "models": models,
    "train": train,
    "finetune": finetune,
    "benchmark": benchmark,
    "demo": demo,
}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, like everything else."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see '{self.prog} --help'.")


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="mrinr", description=mrinr.__doc__, allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"mrinr {mrinr.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        part = commands.add_parser(name, help=command.HELP, description=command.__doc__, allow_abbrev=False)
        for leaf in command.arguments(part) or [part]:  # a command may have parts of its own
            shared = leaf.add_argument_group("every command")
            shared.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
            shared.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
            shared.add_argument("--threads", type=int, help="processor cores to use (default: all)")
            shared.add_argument("--quiet", action="store_true", help="say nothing but what went wrong")
            shared.add_argument("--json", type=Path, metavar="FILE", help="write the report to FILE")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    # Idle threads that spin cost more than they save; this must be said before torch starts any.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    progress: ProgressLine | None = None
    session: Session | None = None
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("ignore")  # what people must know comes through the context
            args = parser().parse_args(argv)
            if args.threads is not None and args.threads < 1:
                raise InputError(f"--threads must be at least 1, not {args.threads}.")
            progress = ProgressLine(args.quiet)
            session = Session(args, progress)
            status = COMMANDS[args.command].run(args, session) or 0
            files = session.finish()
        progress.clear()
        if not args.quiet:
            for warning in session.context.warnings:
                print(f"Warning: {warning}", file=sys.stderr)
            for file in files:
                print(f"Wrote {file}", file=sys.stderr)
        return status
    except SystemExit as done:  # --help, --version
        return int(done.code or 0)
    except (KeyboardInterrupt, Cancelled) as stopped:
        # CPython notes an interrupt that passed through exec() (imports do) and would exit by the signal
        # although it was handled; evaluating anything clears that note.
        eval("0")
        return _stop(progress, str(stopped) or "cancelled, nothing was written", 130)
    except InputError as error:
        return _stop(progress, str(error), 2)
    except Exception as error:
        if "MRINR_DEBUG" in os.environ:
            raise
        return _stop(progress, f"{sentence(error)} (Set MRINR_DEBUG=1 to see where.)", 1)
    finally:
        if session is not None:
            session.outputs.discard()
        signal.signal(signal.SIGTERM, before)


def _stop(progress: ProgressLine | None, words: str, status: int) -> int:
    if progress is not None:
        progress.clear()
    print(f"mrinr: {' '.join(words.split())}", file=sys.stderr)
    return status


def _terminate(number: int, frame: FrameType | None) -> None:
    """A polite kill is answered like Ctrl-C."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
