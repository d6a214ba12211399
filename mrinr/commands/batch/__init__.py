"""All subjects of a folder or a BIDS data set; failures stop nothing, what is missing is done later."""

from __future__ import annotations

import argparse
import csv
import io
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mrinr.commands import contrast, superres, synthesize
from mrinr.commands.batch import cluster, local
from mrinr.commands.batch.cases import find_cases
from mrinr.commands.batch.task import Outcome
from mrinr.commands.session import Session
from mrinr.engine.transfer import try_lock
from mrinr.errors import InputError
from mrinr.files import reason, write_bytes

HELP = "many subjects: a folder or a BIDS data set, resumable"
KINDS = {"superres": superres, "synthesize": synthesize, "contrast": contrast}
COLUMNS = ("subject", "status", "seconds", "warnings", "text")
LOCK = ".mrinr-batch.lock"
SHARED = ("command", "kind", "folder", "out", "jobs", "scheduler", "device", "threads", "quiet", "json")


def arguments(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="|".join(KINDS))
    parts = []
    for name, command in KINDS.items():
        part = kinds.add_parser(name, help=command.HELP, description=__doc__, allow_abbrev=False)
        add = part.add_argument
        add("folder", type=Path, metavar="IN", help="a folder for each subject, or a BIDS data set")
        add("out", type=Path, metavar="OUT", help="gets a folder for each subject, batch.csv and batch.json")
        add("--jobs", type=int, default=1, metavar="N", help="subjects at a time (default: 1)")
        add("--scheduler", metavar="ADDRESS", help="of a Dask cluster, for example tcp://head-node:8786")
        if name == "superres":
            add("--contrast", nargs="+", default=[], metavar="NAME", help="use these only (default: all)")
            add("--thickness", type=float, metavar="MM", help="of the slices (default: as the files say)")
        else:
            add("--input", nargs="+", default=[], metavar="NAME", help="sequences to use (default: all)")
        command.options(part)
        parts.append(part)
    return parts


def run(args: argparse.Namespace, session: Session) -> int:
    if args.jobs < 1:
        raise InputError(f"--jobs must be at least 1, not {args.jobs}.")
    cases = find_cases(args.folder, args.out)
    settings = {key: value for key, value in vars(args).items() if key not in SHARED}
    model = Path(settings.get("model") or "")
    if model.name and model.is_dir():
        settings["model"] = str(model.absolute())  # workers have working folders of their own
    threads = max(1, (args.threads or cores()) // args.jobs)
    requests = [
        {
            "kind": args.kind,
            "settings": settings,
            "device": args.device,
            "threads": threads,
            "name": name,
            "folder": str(folder),
            "out": str(args.out.expanduser().absolute() / name),
        }
        for name, folder in cases.items()
    ]
    rows: list[dict[str, Any]] = [{"subject": name} for name in cases]
    with only_one(args.out):
        working = (
            local.run(requests, args.jobs, threads)
            if args.scheduler is None
            else cluster.run(requests, args.scheduler)
        )
        done = 0
        try:
            for number, outcome in working:
                done += 1
                rows[number] |= outcome.row()
                if outcome.status == "failed":
                    session.context.warn(f"{rows[number]['subject']}: {outcome.text}")
                session.context.progress(done / len(cases), f"{done} of {len(cases)} subjects")
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"cancelled; {done} of {len(cases)} subjects are done, the same command goes on with the rest"
            ) from None
        finally:
            working.close()
        write_bytes(args.out / "batch.csv", _csv(rows).encode())
    session.promise_report(args.out / "batch.json")
    session.facts = {"subjects": rows}
    if not args.quiet:
        print(_table(rows))
    failed = [row for row in rows if row["status"] == "failed"]
    return 0 if not failed else 2 if all(row["input"] for row in failed) else 1


def cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


@contextmanager
def only_one(out: Path) -> Iterator[None]:
    """Hold OUT, and clear away what a batch that was killed there had begun."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = open(out / LOCK, "ab")  # noqa: SIM115  (held to the end)
    except OSError as error:
        raise InputError(f"{out} cannot be written ({reason(error)}); name another folder.") from error
    with lock:
        if not try_lock(lock):
            raise InputError(f"Another 'mrinr batch' writes to {out}; wait for it, or name another folder.")
        _clear(out)
        try:
            yield
        finally:
            _clear(out)  # of workers that died
            (out / LOCK).unlink(missing_ok=True)


def _clear(out: Path) -> None:
    for begun in [path for path in out.rglob(".mrinr-*") if path.is_dir()]:
        shutil.rmtree(begun, ignore_errors=True)


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """One line a subject, and how many there are of each status."""
    width = max(len(row["subject"]) for row in rows)
    lines = [
        f"{row['subject']:{width}}  {row['status']:7}  {row['seconds']:7.1f} s  {row['text']}".rstrip()
        for row in rows
    ]
    counts = Counter(row["status"] for row in rows)
    return "\n".join([*lines, ", ".join(f"{counts[status]} {status}" for status in Outcome.STATUSES)])
