"""One message, one line of JSON, in plain ASCII.

Client to worker: {"do": "run", "job", "task", "volumes", "parameters"} and {"do": "cancel", "job"}.
Worker to client: {"event", "job", "data", "volumes"}; `event` is an `Event.kind`.
`volumes` are the records of `transfer.put`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any


def encode(message: Mapping[str, Any]) -> bytes:
    """The line of a message. numpy and torch values become numbers and lists, tuples become lists.

    Raises TypeError for what JSON cannot say.
    """
    return json.dumps(message, default=_plain).encode("ascii") + b"\n"


def decode(line: bytes) -> dict[str, Any] | None:
    """The message of a line; None when it is none (a launcher may print to the same pipe)."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, PathLike):
        return fspath(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be sent to or from the worker process.")
