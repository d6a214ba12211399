"""One subject of a batch, in a worker process: the command that a person would have typed for it."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import mrinr
from mrinr.commands.batch.cases import scans_in
from mrinr.commands.progress import ProgressLine
from mrinr.commands.session import Session
from mrinr.context import Context
from mrinr.engine.failures import sentence
from mrinr.errors import InputError
from mrinr.files import sha256
from mrinr.formats import is_dicom
from mrinr.formats.sidecar import path_of
from mrinr.volume import Volume

TASK = "mrinr.commands.batch.task:run"
REPORT = "report.json"


@dataclass(frozen=True)
class Outcome:
    """What became of a subject: 'made', 'kept' from an earlier run, or 'failed' with a sentence."""

    STATUSES: ClassVar = ("made", "kept", "failed")

    status: str
    text: str = ""
    input: bool = False  # whether the subject's files are at fault
    seconds: float = 0.0
    warnings: int = 0

    def row(self) -> dict[str, Any]:
        return dict(vars(self))


def run(
    volumes: dict[str, Volume], request: dict[str, Any], context: Context
) -> tuple[dict[str, Volume], dict[str, Any]]:
    """The engine's task."""
    return {}, attempt(request, context).row()


def attempt(request: Mapping[str, Any], context: Context | None = None) -> Outcome:
    """Do one subject. Anything but Cancel that goes wrong is an Outcome, too."""
    started = time.monotonic()
    context = Context() if context is None else context
    try:
        inputs = _chosen(request)
        fingerprint = _fingerprint(request, inputs)
        out = Path(request["out"])
        known = _report(out)
        kept = known.get("fingerprint") == fingerprint and all(
            (out / Path(file).name).is_file() for file in known["outputs"]
        )
        if not kept:
            known = _work(request, inputs, context, fingerprint)
        return Outcome(
            "kept" if kept else "made",
            known.get("self_check", {}).get("text", ""),
            seconds=round(time.monotonic() - started, 2),
            warnings=len(known["warnings"]),
        )
    except Exception as error:
        seconds = round(time.monotonic() - started, 2)
        return Outcome("failed", " ".join(sentence(error).split()), isinstance(error, InputError), seconds)


def _chosen(request: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """The scans that go in, with their contrasts. Raises InputError where there are none."""
    settings = request["settings"]
    scans = list(scans_in(Path(request["folder"])))
    wanted = settings.get("contrast") or settings.get("input")
    if wanted:
        scans = [(path, name) for path, name in scans if name.lower() in map(str.lower, wanted)]
    if request["kind"] != "superres":  # one scan of each, the one with the plainest name; never the target
        best: dict[str, Path] = {settings.get("target", ""): Path()}
        for path, name in sorted(scans, key=lambda scan: (len(scan[0].name), scan[0])):
            best.setdefault(name, path)
        scans = [(path, name) for path, name in scans if best[name] == path]
    if not scans:
        what = f"of {', '.join(wanted)}" if wanted else "whose names say their contrast"
        raise InputError(f"{request['folder']} holds no scans {what}; check it.")
    return scans


def _fingerprint(request: Mapping[str, Any], inputs: Sequence[tuple[Path, str]]) -> str:
    """Changes with whatever the result depends on: inputs and their sidecars, model, settings, version."""
    model = Path(request["settings"].get("model") or "") / "models"
    files = [
        (path.name, contrast, sha256(path.parent if is_dicom(path) else path), _hash(path_of(path)))
        for path, contrast in inputs
    ]
    known = [mrinr.__version__, request["kind"], request["settings"], files, _hash(model)]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def _hash(path: Path) -> str:
    return sha256(path) if path.exists() else ""


def _report(out: Path) -> dict[str, Any]:
    try:
        found = json.loads((out / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _work(
    request: Mapping[str, Any], inputs: Sequence[tuple[Path, str]], context: Context, fingerprint: str
) -> dict[str, Any]:
    """Run the command; its report."""
    command = import_module(f"mrinr.commands.{request['kind']}")
    session = Session(_arguments(request, inputs), ProgressLine(quiet=True))
    session.context = context
    try:
        command.run(session.args, session)
        session.facts = {**session.facts, "fingerprint": fingerprint}
        session.finish()
    finally:
        session.outputs.discard()
    return _report(Path(request["out"]))


def _arguments(request: Mapping[str, Any], inputs: Sequence[tuple[Path, str]]) -> argparse.Namespace:
    out, settings = Path(request["out"]), dict(request["settings"])
    shared = {"command": request["kind"], "device": request["device"], "threads": request["threads"]}
    if request["kind"] == "superres":
        thickness = settings.pop("thickness")
        own = {
            "stacks": [path for path, _ in inputs],
            "contrast": [contrast for _, contrast in inputs],
            "out": out,
            "like": None,
            "mask": None,
            "thickness": None if thickness is None else [thickness],
            "json": None,
        }
    else:
        named = request["kind"] == "synthesize"
        name = settings["target"] if named else "contrast"
        own = {
            "input": [f"{contrast}={path}" if named else str(path) for path, contrast in inputs],
            "out": out / f"{name}.nii.gz",
            "uncertainty": out / f"{name}_uncertainty.nii.gz",
            "json": out / REPORT,
        }
    return argparse.Namespace(**settings | own | shared | {"quiet": True})
