"""The fitted representation behind a result: a text node, which Slicer saves beside the scene's volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from MRINRLib import nodes, provenance

ROLE = provenance.PREFIX + "fitted"
CONTINUOUS = provenance.PREFIX + "continuous"  # "1" on results of a fitted representation


def keep(text: str, results: Sequence[Any], folder: int) -> None:
    """Keep what `mrinr.superres.fitted` has packed with the results that it belongs to."""
    name = _("{name} fitted representation").format(name=results[0].GetName())
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", slicer.mrmlScene.GenerateUniqueName(name))
    node.SetText(text)
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(folder, node)
    hierarchy.SetItemParent(item, folder)
    for result in results:
        result.SetAttribute(CONTINUOUS, "1")
        result.SetNodeReferenceID(ROLE, node.GetID())


def isContinuous(result: Any) -> bool:
    """Whether a result comes from a representation that can be evaluated anywhere."""
    return result.GetAttribute(CONTINUOUS) == "1"


def find(result: Any) -> str:
    """What `keep` has kept for a result; empty where it is gone."""
    node = result.GetNodeReference(ROLE)
    return node.GetText() or "" if nodes.inScene(node) else ""
