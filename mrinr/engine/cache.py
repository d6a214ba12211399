"""What the worker keeps between jobs, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LIMIT = 2**30  # bytes


def size_of(value: Any, seen: set[int] | None = None) -> int:
    """Bytes of the arrays and tensors that a value holds, each counted once."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return 0
    seen.add(id(value))
    if isinstance(value, (bytes, bytearray)):
        return len(value)
    if hasattr(value, "nbytes"):
        return int(value.nbytes)
    if isinstance(value, Mapping):
        return sum(size_of(item, seen) for item in value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return sum(size_of(item, seen) for item in value)
    return size_of(vars(value), seen) if hasattr(value, "__dict__") else 0


def trim(cache: dict[str, Any], limit: int = LIMIT) -> None:
    """Drop the entries that were put in first until the rest fits into `limit` bytes."""
    sizes = {key: size_of(value) for key, value in cache.items()}
    total = sum(sizes.values())
    for key, size in sizes.items():
        if total <= limit:
            return
        del cache[key]
        total -= size
