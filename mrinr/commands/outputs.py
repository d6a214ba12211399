"""Promised files: made in hidden folders beside where they belong, moved when all are there."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from mrinr.errors import InputError
from mrinr.files import reason


class Outputs:
    """Places to write to. Nothing appears under its own name before `commit`; `discard` leaves no trace."""

    def __init__(self) -> None:
        self._staged: dict[Path, Path] = {}  # final folder: its hidden one

    def folder(self, final: Path) -> Path:
        """Where to write what belongs in the folder `final`, which need not exist.

        Raises InputError when it is a file or cannot be written.
        """
        final = final.expanduser().absolute()
        if final not in self._staged:
            there = final
            while not there.exists() and there != there.parent:
                there = there.parent
            if not there.is_dir():
                raise InputError(f"{there} is a file, not a folder; name another folder.")
            try:
                self._staged[final] = Path(tempfile.mkdtemp(prefix=".mrinr-", dir=there))
            except OSError as error:
                raise InputError(
                    f"{final} cannot be written ({reason(error)}); name another folder."
                ) from error
        return self._staged[final]

    def file(self, final: Path) -> Path:
        """Where to write the file `final`. Raises InputError when it is a folder or cannot be written."""
        if final.expanduser().is_dir():
            raise InputError(f"{final} is a folder; name a file.")
        return self.folder(final.expanduser().parent) / final.name

    def files(self) -> dict[Path, Path]:
        """Where each file belongs that has been written so far: its place now."""
        return {
            final / source.relative_to(staged): source
            for final, staged in self._staged.items()
            for source in sorted(staged.rglob("*"))
            if source.is_file()
        }

    def commit(self) -> list[Path]:
        """Move everything to where it belongs and return the files, or raise InputError and leave none."""
        moved: list[Path] = []
        try:
            for target, source in self.files().items():
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(source, target)
                moved.append(target)
        except OSError as error:
            for path in moved:
                path.unlink(missing_ok=True)
            raise InputError(f"{target} cannot be written ({reason(error)}); name another place.") from error
        finally:
            self.discard()
        return moved

    def discard(self) -> None:
        """Remove what was not committed."""
        for staged in self._staged.values():
            shutil.rmtree(staged, ignore_errors=True)
        self._staged.clear()
