"""What made a volume, written on its node as attributes MRINR.*, so that a saved scene keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import mrinr

PREFIX = "MRINR."
TIMES = ("TR", "TE", "TI")  # in ms, of a measured volume
SYNTHESIS = "synthesis"  # the kind of a volume that no scanner has acquired in any form


def stamp(
    node: Any,
    kind: str,
    method: str,
    parameters: Mapping[str, Any],
    sources: Sequence[Any],
    selfCheck: str = "",
    **others: str,
) -> None:
    """Write kind, method, parameters (JSON), version, and IDs and names of the source nodes on `node`.

    others : further attributes, such as model and target
    """
    attributes = {
        "kind": kind,
        "method": method,
        "parameters": json.dumps(dict(parameters), sort_keys=True),
        "version": mrinr.__version__,
        "sourceIDs": " ".join(source.GetID() for source in sources),
        "sourceNames": json.dumps([source.GetName() for source in sources], ensure_ascii=False),
        "selfCheck": selfCheck,
        **others,
    }
    for name, text in attributes.items():
        if text:
            node.SetAttribute(PREFIX + name, text)
    for source in sources:  # IDs in text do not follow when a scene is merged into another; references do
        node.AddNodeReferenceID(PREFIX + "source", source.GetID())


def sources(node: Any) -> list[Any]:
    """The nodes that a result was made from, without those that are gone."""
    role = PREFIX + "source"
    found = [node.GetNthNodeReference(role, n) for n in range(node.GetNumberOfNodeReferences(role))]
    return [each for each in found if each is not None]


def parameters(node: Any) -> dict[str, Any]:
    """The parameters that `stamp` wrote; empty for a node that is not ours."""
    return json.loads(node.GetAttribute(PREFIX + "parameters") or "{}")


def get(node: Any, name: str) -> str:
    """The attribute MRINR.<name>; empty where it was not written."""
    return node.GetAttribute(PREFIX + name) or ""


def isSynthetic(node: Any) -> bool:
    """Whether a volume is a result of synthesis, or a map of one."""
    return get(node, "kind") == SYNTHESIS


def isOurs(node: Any) -> bool:
    """Whether MRINR made this node."""
    return bool(node.GetAttribute(PREFIX + "kind"))


def writeTimes(node: Any, times: Mapping[str, Any]) -> None:
    """Keep on a measured volume the times (ms) that it was acquired with, those that are given."""
    for name in TIMES:
        if times.get(name) is not None:
            node.SetAttribute(PREFIX + name, f"{times[name]:g}")


def readTimes(node: Any) -> dict[str, float]:
    """What `writeTimes` has kept."""
    found = {}
    for name in TIMES:
        try:
            found[name] = float(get(node, name))
        except ValueError:
            continue
    return found
