"""What made a volume: a dict, and the JSON sidecar beside a written file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import mrinr
from mrinr.volume import Volume

NOTICES = {
    "super-resolution": "Super-resolution: computed from the sources below, not acquired at this resolution.",
    "degraded": "Simulated acquisition: computed from the source below, not acquired by a scanner.",
}


def describe(
    kind: str, method: str, parameters: Mapping[str, Any], sources: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Provenance as a dict that JSON can carry.

    Parameters
    ----------
    kind : a key of `NOTICES`
    sources : {name, sha256} of each source
    """
    return {
        "kind": kind,
        "notice": NOTICES[kind],
        "method": method,
        "parameters": dict(parameters),
        "mrinr": mrinr.__version__,
        "sources": [{key: source[key] for key in ("name", "sha256")} for source in sources],
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def sidecar(volume: Volume, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Content of the sidecar: BIDS keys for what `mrinr.volume.read` wants to know again, and provenance."""
    thickness = volume.meta.get("thickness")
    known = {} if thickness is None else {"SliceThickness": thickness}
    return {**known, "Description": provenance["notice"], "MRINR": dict(provenance)}


def encode(content: Mapping[str, Any]) -> bytes:
    """JSON for files: indented, no NaN, one final newline."""
    return (json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()
