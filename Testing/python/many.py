"""Patients in the subject hierarchy and volume sequences, as tests of all modules need them."""

from __future__ import annotations

from typing import Any

from slicer_session import slicer


def patient(name: str, *volumes: Any, study: str = "Study") -> int:
    """Put volumes under a study of a patient, as the DICOM module does; the study's item."""
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    person = hierarchy.GetItemChildWithName(hierarchy.GetSceneItemID(), name)
    person = person or hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), name)
    visit = hierarchy.CreateStudyItem(person, study)
    for node in volumes:
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), visit)
    return visit


def above(node: Any) -> int:
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    return hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))


def rows(table: Any) -> list[dict[str, str]]:
    """The cells of a table node by column."""
    names = [table.GetColumnName(n) for n in range(table.GetNumberOfColumns())]
    return [
        {name: table.GetCellText(row, column) for column, name in enumerate(names)}
        for row in range(table.GetNumberOfRows())
    ]


def sequence(node: Any, factors: tuple[float, ...], browser: Any = None) -> tuple[Any, Any]:
    """A sequence of a volume times these factors, at 0, 2.5, 5, ... s; its browser, and its volume.

    The volume itself is removed. `browser` : one that shows another sequence already
    """
    scene = slicer.mrmlScene
    made = scene.AddNewNodeByClass("vtkMRMLSequenceNode", node.GetName())
    made.SetIndexName("time")
    made.SetIndexUnit("s")
    voxels = slicer.util.arrayFromVolume(node).copy()
    for n, factor in enumerate(factors):
        slicer.util.updateVolumeFromArray(node, voxels * factor)
        made.SetDataNodeAtValue(node, f"{2.5 * n:g}")
    logic = slicer.modules.sequences.logic()
    if browser is None:
        browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
        browser.SetAndObserveMasterSequenceNodeID(made.GetID())
    else:
        logic.AddSynchronizedNode(made, None, browser)
    name, place = node.GetName(), above(node)
    scene.RemoveNode(node)
    logic.UpdateProxyNodesFromSequences(browser)
    shown = browser.GetProxyNode(made)
    shown.SetName(name)
    hierarchy = scene.GetSubjectHierarchyNode()
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(shown), place)
    return browser, shown


def frames(browser: Any, shown: Any) -> dict[str, Any]:
    """Arrays of the sequence that a browser shows as this volume, by index value."""
    made = browser.GetSequenceNode(shown)
    count = made.GetNumberOfDataNodes()
    return {
        made.GetNthIndexValue(n): slicer.util.arrayFromVolume(made.GetNthDataNode(n)) for n in range(count)
    }


def everything() -> tuple[int, int]:
    """How many nodes, and how many items of the subject hierarchy, there are."""
    from MRINRLib import nodes

    return slicer.mrmlScene.GetNumberOfNodes(), len(nodes._items())
