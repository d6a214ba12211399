"""Model folders in the MONAI Bundle layout: save, load, verify, list.

    configs/metadata.json       MONAI's keys, ours under "mrinr", and the SHA-256 of every other file
    models/model.safetensors    weights in half precision; nothing is ever unpickled
    docs/README.md              the card, for people
    LICENSE

Neither torch nor safetensors is imported until a network is loaded or saved: panels list models without them.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrinr import provenance
from mrinr.bundles import metadata as meta
from mrinr.bundles.metadata import ARCHITECTURES, CARD, LICENSE, LOOKERS, METADATA, RESTORERS, TIMED, WEIGHTS
from mrinr.errors import InputError
from mrinr.files import reason, sha256
from mrinr.resources import resource

if TYPE_CHECKING:
    import torch

__all__ = [
    "ARCHITECTURES",
    "LOOKERS",
    "RESTORERS",
    "TIMED",
    "Bundle",
    "check_free",
    "find",
    "save",
    "shipped",
    "ships",
]


@dataclass(frozen=True, eq=False)
class Bundle:
    """A model folder whose metadata were read and checked."""

    folder: Path
    metadata: dict[str, Any]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def facts(self) -> dict[str, Any]:
        """What `save` was given as facts, with format, architecture and arguments."""
        return self.metadata["mrinr"]

    @property
    def architecture(self) -> str:
        return self.facts["architecture"]

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(self.facts["inputs"])

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(self.facts["targets"])

    @property
    def sha256(self) -> str:
        """Of the weights."""
        return self.metadata["files"][WEIGHTS]

    @property
    def size(self) -> int:
        """Bytes of all files that the metadata list."""
        paths = [self.folder / name for name in self.metadata["files"]]
        return sum(path.stat().st_size for path in paths if path.is_file())

    @property
    def card(self) -> str:
        """Markdown for people."""
        return (self.folder / CARD).read_text(encoding="utf-8", errors="replace")

    def verify(self) -> None:
        """Raise InputError unless every listed file is there and has its hash; no network is loaded."""
        for name, digest in self.metadata["files"].items():
            path = self.folder / name
            if not path.is_file():
                raise InputError(f"The model {self.folder} is incomplete: {name} is missing; copy it again.")
            if name == WEIGHTS:
                from mrinr.bundles import weights

                weights.check_format(path)
            if sha256(path) != digest:
                raise InputError(
                    f"The model {self.folder} is damaged: {name} does not have the SHA-256 that its metadata "
                    "say; copy it again."
                )

    def network(self, device: torch.device | str = "cpu") -> torch.nn.Module:
        """The network in float32 and eval mode. Raises InputError when the weights do not belong to it."""
        from mrinr.bundles import weights

        return weights.network(self.folder, self.metadata).to(device)


def shipped() -> list[Bundle]:
    """The models that come with MRINR, by name; their hashes are checked by `find`, not here."""
    return [_read(folder) for folder in sorted(_shipped_folders().values())]


def ships(name: str) -> bool:
    """Whether a model of that name comes with MRINR; it may still be damaged."""
    return name in _shipped_folders()


def find(name_or_folder: str | Path) -> Bundle:
    """The model of that name that comes with MRINR, or the one in a folder; its hashes are checked.

    Raises InputError, one sentence, when it is not there or anything about it is wrong.
    """
    try:
        bundle = _read(_folder(name_or_folder))
        bundle.verify()
    except OSError as error:
        raise InputError(f"The model {name_or_folder} cannot be read ({reason(error)}).") from error
    return bundle


def save(
    folder: str | Path,
    network: torch.nn.Module,
    architecture: str,
    arguments: Mapping[str, Any],
    facts: Mapping[str, Any],
    card: str,
) -> Bundle:
    """Write a model folder, complete or not at all, and return what `find` then finds.

    Parameters
    ----------
    folder : must not exist or be empty
    network : its state dict is what is saved, floating-point tensors in half precision
    architecture : a key of `ARCHITECTURES`
    arguments : of its class, as JSON can carry them
    facts : what FACTS and TRAINING in `mrinr.bundles.metadata` list, of the types given there; more is kept
    card : Markdown for people

    Raises InputError when the folder is taken or cannot be written, or when it could not be loaded again.
    """
    from mrinr.bundles import weights

    folder = Path(folder).expanduser().absolute()
    check_free(folder)
    staged = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staged.mkdir()
        content = {
            WEIGHTS: weights.encode(network),
            CARD: card.encode(),
            LICENSE: resource("bundles", "LICENSE").read_bytes(),
        }
        for name, data in content.items():
            (staged / name).parent.mkdir(exist_ok=True)
            (staged / name).write_bytes(data)
        files = {name: sha256(staged / name) for name in content}
        described = meta.compose(architecture, arguments, facts, files)
        (staged / METADATA).parent.mkdir()
        (staged / METADATA).write_bytes(provenance.encode(described))
        _read(staged).network()
        if folder.exists():
            folder.rmdir()
        os.replace(staged, folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({reason(error)}); choose another place.") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return find(folder)


def check_free(folder: Path) -> None:
    """Raise InputError now, not after hours of training, when a model could not be saved in `folder`."""
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty; remove it or name another folder for the model.")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder for the model.")
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    try:
        tempfile.TemporaryDirectory(prefix=".mrinr-", dir=there).cleanup()
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({reason(error)}); name another folder.") from error


def _folder(name_or_folder: str | Path) -> Path:
    shipped = _shipped_folders()
    folder = shipped.get(str(name_or_folder)) or Path(name_or_folder).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise InputError(f"{folder} is a file; a model is a folder, so name that.")
    known = f"MRINR has {', '.join(sorted(shipped))}" if shipped else "none comes with MRINR"
    raise InputError(f"There is no model '{name_or_folder}' ({known}); give such a name or a model's folder.")


def _shipped_folders() -> dict[str, Path]:
    return {
        path.name: path for path in resource("bundles").iterdir() if path.is_dir() and path.name[0] != "."
    }


def _read(folder: Path) -> Bundle:
    return Bundle(folder.absolute(), meta.read(folder))
