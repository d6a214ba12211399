"""Files that are complete or not there at all."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from mrinr.errors import InputError


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` through a temporary file in the same folder, so that nobody sees half a file.

    Raises InputError when the folder is missing, read-only or full.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            temporary.write_bytes(data)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({reason(error)}); choose another folder.") from error


def read_bytes(path: Path) -> bytes:
    """The content of `path`; raises InputError when it is missing, empty or not readable."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({reason(error)}); check the name.") from error
    if not data:
        raise InputError(f"{path} is empty; copy or export it again.")
    return data


def sha256(path: Path) -> str:
    """SHA-256 of a file; of a folder, that of its files' names and digests in order."""
    digest = hashlib.sha256()
    if path.is_dir():
        for part in sorted(p for p in path.iterdir() if p.is_file()):
            digest.update(f"{part.name} {sha256(part)}\n".encode())
        return digest.hexdigest()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def reason(error: OSError) -> str:
    """'no such file or directory', without the number and the path that `str(error)` repeats."""
    return (error.strerror or str(error)).lower()
