"""Weights as safetensors: written in half precision, read into a network that fits them or not at all."""

from __future__ import annotations

import hashlib
import inspect
import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrinr.bundles.metadata import ARCHITECTURES, WEIGHTS
from mrinr.errors import InputError
from mrinr.files import read_bytes

if TYPE_CHECKING:
    import torch

LONGEST_HEADER = 100_000_000  # bytes; the safetensors format's own limit
PICKLES = (b"PK\x03\x04", b"\x80")  # zip, as torch.save writes; pickle protocol 2 and later


def check_format(path: Path) -> None:
    """Raise InputError unless the file has a safetensors header. Needs no package and reads no weights.

    The format: 8 bytes with the header's length, little endian, the header in JSON, the tensors' bytes.
    """
    with path.open("rb") as stream:
        start = stream.read(8)
        length = int.from_bytes(start, "little")
        header = stream.read(length) if len(start) == 8 and length <= LONGEST_HEADER else b""
    try:
        fits = len(header) == length > 0 and isinstance(json.loads(header), dict)
    except (ValueError, RecursionError):
        fits = False
    if not fits and start.startswith(PICKLES):
        raise InputError(f"{path} is a pickle, which could run any program; MRINR loads safetensors only.")
    if not fits:
        raise InputError(f"{path} is no safetensors file; copy the model again.")


def encode(network: torch.nn.Module) -> bytes:
    """The state dict as a safetensors file, floating-point tensors in half precision.

    Raises InputError when a weight is not finite, or too large for half precision.
    """
    import torch
    from safetensors.torch import save

    tensors = {}
    for name, value in network.state_dict().items():
        kept = value.detach().to("cpu", torch.float16 if value.is_floating_point() else value.dtype)
        if not torch.isfinite(kept).all():
            raise InputError(f"The weights '{name}' are not finite numbers in half precision; train again.")
        tensors[name] = kept.contiguous().clone()  # safetensors takes no memory that two tensors share
    return save(tensors, metadata={"format": "pt"})


def network(folder: Path, metadata: dict[str, Any]) -> torch.nn.Module:
    """The network of a model folder, float32, on the CPU, in eval mode.

    Raises InputError when the class does not take the arguments, or the weights do not belong to it.
    """
    import torch

    tensors = _read(folder / WEIGHTS, metadata["files"][WEIGHTS])
    module, _, name = ARCHITECTURES[metadata["mrinr"]["architecture"]].partition(":")
    kind = getattr(import_module(module), name)
    arguments = metadata["mrinr"]["arguments"]
    where = f"The model {folder}"
    try:
        inspect.signature(kind).bind(**arguments)
        with torch.device("meta"):  # takes no memory, whatever sizes the arguments ask for
            expected = kind(**arguments).state_dict()
    except Exception as error:
        raise InputError(
            f"{where} has arguments that {name} does not take ({' '.join(str(error).split()).rstrip('.')}); "
            "copy the model again."
        ) from error
    problem = _misfit(expected, tensors)
    if problem:
        raise InputError(f"{where} has weights that do not fit {name}: {problem}; copy the model again.")
    made = kind(**arguments).float()
    for each in ("inputs", "targets"):
        says, has = metadata["mrinr"][each], getattr(made, each, None)
        if has is not None and not set(says) <= set(has):
            raise InputError(f"{where} says that its {each} are {', '.join(says)}, but has {', '.join(has)}.")
    made.load_state_dict(tensors)
    return made.eval()


def _read(path: Path, digest: str) -> dict[str, torch.Tensor]:
    """The tensors of a file, from the same bytes whose hash is checked."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    check_format(path)
    data = read_bytes(path)
    if hashlib.sha256(data).hexdigest() != digest:
        raise InputError(f"{path} does not have the SHA-256 that its metadata say; copy the model again.")
    try:
        tensors = load(data)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} is no valid safetensors file ({error}); copy the model again.") from error
    for name, value in tensors.items():
        if not torch.isfinite(value.float() if value.is_floating_point() else value).all():
            raise InputError(f"{path} holds weights that are not finite numbers ('{name}'); do not use it.")
    return tensors


def _misfit(expected: dict[str, torch.Tensor], tensors: dict[str, torch.Tensor]) -> str:
    """The first difference between what a network needs and what there is."""
    for name, wanted in expected.items():
        if name not in tensors:
            return f"'{name}' is missing"
        found = tensors[name]
        if found.shape != wanted.shape:
            return f"'{name}' has shape {tuple(found.shape)} instead of {tuple(wanted.shape)}"
        if found.is_floating_point() != wanted.is_floating_point():
            return f"'{name}' has numbers of type {found.dtype}"
    more = next((name for name in tensors if name not in expected), None)
    return f"'{more}' belongs to another network" if more else ""
