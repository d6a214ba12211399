"""What a person chose in MRINRSynthesis: between its parameter node and what the rest of the code works with.

`parameters` is a MRINRSynthesisParameterNode everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from mrinr.errors import InputError
from MRINRLib.inputs import Input, used
from MRINRLib.models import Models
from MRINRLib.nodes import inScene
from MRINRLib.synthesis_job import Request


def rowsOf(parameters: Any) -> list[Input]:
    """The rows of the table of inputs; those of volumes that were removed from the scene are left out."""
    rows = zip(parameters.inputs, parameters.roles)  # noqa: B905
    return [Input(node, role) for node, role in rows if inScene(node)]


def setRows(parameters: Any, rows: Sequence[Input]) -> None:
    with slicer.util.NodeModify(parameters):
        parameters.inputs = [row.node for row in rows]
        parameters.roles = [row.role for row in rows]


def casesOf(parameters: Any) -> list[dict[str, Any]]:
    """Volumes by sequence for each case; those that were removed from the scene are left out."""
    cases: dict[int, dict[str, Any]] = {}
    entries = zip(parameters.caseVolumes, parameters.caseRoles, parameters.caseNumbers)  # noqa: B905
    for node, role, number in entries:
        if inScene(node):
            cases.setdefault(number, {})[role] = node
    return list(cases.values())


def setCases(parameters: Any, cases: Sequence[Mapping[str, Any]]) -> None:
    entries = [(node, role, number) for number, case in enumerate(cases) for role, node in case.items()]
    with slicer.util.NodeModify(parameters):
        parameters.caseVolumes = [node for node, _role, _number in entries]
        parameters.caseRoles = [role for _node, role, _number in entries]
        parameters.caseNumbers = [number for _node, _role, number in entries]


def requestFrom(parameters: Any, models: Models) -> Request:
    """What Apply would run. Raises InputError where a choice is missing."""
    given = used(rowsOf(parameters))
    if not given:
        raise InputError(
            _("Add volumes first: press Fill from study, or choose a volume, press Add and say what it is.")
        )
    targets = models.targets(parameters.model, list(given))
    if not targets:
        raise InputError(models.needs(parameters.model))
    return Request(
        inputs=given,
        target=parameters.target if parameters.target in targets else targets[0],
        model=parameters.model,
        like=parameters.like if parameters.like in given else next(iter(given)),
        register="auto" if parameters.register else "off",
        device=parameters.device,
    )
