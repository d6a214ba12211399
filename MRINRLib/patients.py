"""The patients in the subject hierarchy, and what can be used of their scans."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import slicer
from slicer.i18n import tr as _

from mrinr.errors import InputError
from MRINRLib import nodes, study

PATIENT, STUDY = "Patient", "Study"  # levels of the subject hierarchy


@dataclass(eq=False)
class Patient:
    """A patient, or one visit of a patient who has several.

    name : as the subject hierarchy has it; for the scene's table only, never for a log
    images : MR volume nodes, without localizers and without what MRINR has made
    """

    name: str
    images: list[Any] = field(default_factory=list)


def loaded() -> list[Patient]:
    """All patients, in the order of their first volumes.

    A visit is a study item; where there is none, a patient item, else the folder that holds the volumes.
    Volumes that lie in nothing belong to nobody and are left out.
    """
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    found: dict[int, Patient] = {}
    for node in study.allImages():
        item = _visitOf(hierarchy, hierarchy.GetItemByDataNode(node))
        if item:
            found.setdefault(item, Patient(hierarchy.GetItemName(item))).images.append(node)
    people = {item: hierarchy.GetItemAncestorAtLevel(item, PATIENT) for item in found}
    for item, patient in found.items():
        if people[item] and people[item] != item:
            several = list(people.values()).count(people[item]) > 1
            person = hierarchy.GetItemName(people[item])
            patient.name = f"{person}, {patient.name}" if several else person
    return list(found.values())


def _visitOf(hierarchy: Any, item: int) -> int:
    """The item that a volume's item belongs to; 0 for none."""
    if not item:
        return 0
    for level in (STUDY, PATIENT):
        above = hierarchy.GetItemAncestorAtLevel(item, level)
        if above:
            return above
    parent = hierarchy.GetItemParent(item)
    return 0 if parent == hierarchy.GetSceneItemID() else parent


def require() -> list[Patient]:
    """`loaded()`. Raises InputError where there is nobody."""
    found = loaded()
    if not found:
        raise InputError(
            _(
                "No patient was found: in the Data module, put the scans of each patient under a patient, "
                "study or folder of the subject hierarchy."
            )
        )
    return found


def noneOf(wanted: Iterable[str], images: Iterable[Any]) -> InputError:
    """What is wrong with a patient none of whose scans can be used."""
    for node in images:
        try:
            nodes.geometryFromNode(node)
        except InputError as error:  # under a non-linear transform, for example
            return error
    return InputError(
        _("None of the scans is {wanted}; rename them, or run this patient alone.").format(
            wanted=_(" or ").join(wanted) or _("an MR volume that can be used")
        )
    )
