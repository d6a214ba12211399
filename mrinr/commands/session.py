"""What every command shares: inputs with their hashes, promised files, progress and the report."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import mrinr
from mrinr import provenance
from mrinr.commands.outputs import Outputs
from mrinr.commands.progress import ProgressLine
from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.files import reason, sha256, write_bytes
from mrinr.formats import check_ending
from mrinr.formats.sidecar import path_of
from mrinr.memory import peak_bytes
from mrinr.volume import Volume, read, write

PACKAGES = ("numpy", "torch", "SimpleITK", "nibabel", "safetensors")


class Session:
    """One run of one command."""

    def __init__(self, args: argparse.Namespace, progress: ProgressLine) -> None:
        self.args = args
        self.context = Context(on_progress=progress.show)
        self.outputs = Outputs()
        self.facts: dict[str, Any] = {}  # the command's own part of the report
        self._inputs: dict[str, dict[str, Any]] = {}  # by name
        self._json: dict[Path, dict[str, Any]] = {}  # sidecars to write, by final path
        self._reports: list[Path] = []
        self._started = time.monotonic(), time.process_time()
        if args.json is not None:
            self.promise_report(args.json)

    def read(self, path: Path) -> Volume:
        """Read an input, remember its hash, pass on its warnings; names are unique within a run."""
        volume = read(path)
        name, folder = volume.name, path.absolute().parent
        while name in self._inputs and self._inputs[name]["path"] != str(path.absolute()):
            name, folder = f"{folder.name}/{name}", folder.parent
        try:
            digest = sha256(path)
        except OSError as error:
            raise InputError(f"{path} cannot be read ({reason(error)}); check the name.") from error
        self._inputs[name] = {"name": name, "path": str(path.absolute()), "sha256": digest}
        for warning in volume.meta.get("warnings", ()):
            self.context.warn(warning)
        return replace(volume, name=name)

    def sources(self, *volumes: Volume) -> list[dict[str, Any]]:
        """{name, path, sha256} of inputs that were read."""
        return [self._inputs[volume.name] for volume in volumes]

    def promise_volume(self, path: Path) -> None:
        """Raise InputError now, not after an hour's work, when a volume could not be written to `path`."""
        check_ending(path)
        self.outputs.file(path)

    def promise_result(self, out: Path, uncertainty: Path | None, inputs: Iterable[Path]) -> None:
        """`promise_volume` for a result and its map, neither of which may replace the other or an input."""
        outputs = [out] if uncertainty is None else [out, uncertainty]
        for path in outputs:
            self.promise_volume(path)
        sidecars = [path_of(path).resolve() for path in outputs]
        if len(set(sidecars)) < len(outputs):
            raise InputError("--out and --uncertainty have the same name; name two files.")
        for path in inputs:
            if path_of(path).resolve() in sidecars:
                raise InputError(
                    f"The result would replace {path} or what lies beside it; name another file."
                )

    def write(self, volume: Volume, path: Path, made: Mapping[str, Any]) -> None:
        """Write a volume and, beside it, the sidecar that says how it was made."""
        write(volume, self.outputs.file(path))
        self._json[path_of(path).expanduser().absolute()] = provenance.sidecar(volume, made)

    def promise_report(self, path: Path) -> None:
        """The report goes to `path` as well; raises InputError when it could not be written."""
        self.outputs.file(path)
        self._reports.append(path.expanduser().absolute())

    def finish(self) -> list[Path]:
        """Write the report, move everything into place and return the files."""
        report = self._report()
        for path in self._reports:  # which may be a sidecar's path too
            self._json[path] = {**self._json.get(path, {}), **report}
        for path, content in self._json.items():
            write_bytes(self.outputs.file(path), provenance.encode(content))
        return self.outputs.commit()

    def _report(self) -> dict[str, Any]:
        return {
            **self.facts,
            "command": self.args.command,
            "versions": versions(),
            "parameters": {key: _plain(value) for key, value in vars(self.args).items() if key != "command"},
            "inputs": list(self._inputs.values()),
            "outputs": [str(path) for path in self.outputs.files()],
            "seconds": {
                "wall": round(time.monotonic() - self._started[0], 2),
                "cpu": round(time.process_time() - self._started[1], 2),
            },
            "peak_memory_mb": round(peak_bytes() / 2**20),
            "warnings": list(self.context.warnings),
        }


def versions() -> dict[str, str]:
    found = {"mrinr": mrinr.__version__, "python": platform.python_version(), "system": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _plain(value: Any) -> Any:
    """Arguments as JSON has them."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
