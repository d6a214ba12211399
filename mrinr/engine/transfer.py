"""Volumes through .npy files, in a private folder that never outlives its owner."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from mrinr.volume import Volume

PREFIX = "mrinr-engine-"
LOCK = "owner.lock"


def put(volumes: Mapping[str, Volume], folder: Path, stem: str) -> dict[str, dict[str, Any]]:
    """Write the voxels to `folder` as <stem>-<n>.npy and return the rest: file, affine, name, meta by key."""
    records = {}
    for number, (key, volume) in enumerate(volumes.items()):
        path = folder / f"{stem}-{number}.npy"
        _save(path, volume.voxels)
        records[key] = {
            "file": path.name,
            "affine": volume.affine.tolist(),
            "name": volume.name,
            "meta": volume.meta,
        }
    return records


def take(records: Mapping[str, Mapping[str, Any]], folder: Path, mapped: bool = False) -> dict[str, Volume]:
    """The volumes of `put`. Mapped, their voxels are the files' until somebody writes to them."""
    return {
        key: Volume(
            np.load(folder / record["file"], mmap_mode="c" if mapped else None),
            np.array(record["affine"]),
            record["name"],
            record["meta"],
        )
        for key, record in records.items()
    }


def _save(path: Path, voxels: np.ndarray) -> None:
    try:
        np.save(path, voxels)
    except OSError as error:
        if error.errno is None:  # numpy's way to say that not everything could be written
            raise OSError(errno.ENOSPC, str(error), str(path)) from error
        raise


class PrivateFolder:
    """A temporary folder (mode 0700), held by a lock that the system lets go when its owner dies.

    Folders of dead owners are removed whenever a new one is made.
    """

    def __init__(self) -> None:
        remove_stale_folders(Path(tempfile.gettempdir()))
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock: IO[bytes] | None = open(self.path / LOCK, "wb")  # noqa: SIM115  (held until `remove`)
        try_lock(self._lock)

    def remove(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
            remove_tree(self.path)


def remove_tree(path: Path) -> None:
    """Remove a folder. Windows lets go of a killed worker's files a moment late, hence the second tries."""
    for _ in range(20):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(0.05)


def remove_stale_folders(parent: Path) -> None:
    for path in parent.glob(PREFIX + "*"):
        try:
            if not path.is_symlink() and _owned_by_me(path) and _is_abandoned(path / LOCK):
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue  # gone meanwhile, or somebody else's


def _owned_by_me(path: Path) -> bool:
    return sys.platform == "win32" or path.stat().st_uid == os.getuid()


def _is_abandoned(lock: Path) -> bool:
    if not lock.is_file():  # being made at this moment, or not ours
        return False
    if sys.platform == "win32":  # an open file cannot be removed there
        lock.unlink()
        return True
    with open(lock, "r+b") as file:
        return try_lock(file)


def try_lock(file: IO[bytes]) -> bool:
    """Lock an open file for this process, until it is closed or the process dies; False where another has."""
    if sys.platform == "win32":
        return True  # being open is the lock
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
