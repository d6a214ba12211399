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
    "synthesis": "SYNTHETIC: predicted by a model from the sources below, not acquired by a scanner.",
}
ENHANCEMENT = (
    "Contrast enhancement cannot be inferred from the inputs: what looks enhanced here is the model's guess, "
    "and what does not may enhance."
)


def notice(kind: str, target: str = "") -> str:
    """What every output says of itself; `target` is the sequence that was synthesised."""
    return f"{NOTICES[kind]} {ENHANCEMENT}" if target == "T1ce" else NOTICES[kind]


def describe(
    kind: str,
    method: str,
    parameters: Mapping[str, Any],
    sources: Sequence[Mapping[str, Any]],
    target: str = "",
) -> dict[str, Any]:
    """Provenance as a dict that JSON can carry.

    Parameters
    ----------
    kind : a key of `NOTICES`
    sources : {name, sha256} of each source
    target : the sequence that was synthesised, for kind "synthesis"
    """
    return {
        "kind": kind,
        "notice": notice(kind, target),
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
