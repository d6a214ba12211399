"""What a person chose in ContrastCRL: between its parameter node and what the rest of the code works with.

`parameters` is a ContrastCRLParameterNode everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

from MRINRLib import regions
from MRINRLib.contrast_job import Request, Sweep, checkTarget
from MRINRLib.contrast_models import ContrastModels
from MRINRLib.contrast_sources import Source, Times
from MRINRLib.nodes import inScene


def rowsOf(parameters: Any) -> list[Source]:
    """The rows of the table of sources; those of volumes that were removed from the scene are left out."""
    rows = zip(parameters.sources, parameters.TRs, parameters.TEs, parameters.TIs)  # noqa: B905
    return [Source(node, TR, TE, TI) for node, TR, TE, TI in rows if inScene(node)]


def setRows(parameters: Any, rows: Sequence[Source]) -> None:
    with slicer.util.NodeModify(parameters):
        parameters.sources = [row.node for row in rows]
        parameters.TRs = [row.TR for row in rows]
        parameters.TEs = [row.TE for row in rows]
        parameters.TIs = [row.TI for row in rows]


def timesOf(parameters: Any) -> Times:
    return parameters.TR, parameters.TE, parameters.TI


def setTimes(parameters: Any, times: Times) -> None:
    with slicer.util.NodeModify(parameters):
        parameters.TR, parameters.TE, parameters.TI = times


def requestFrom(parameters: Any, models: ContrastModels) -> Request:
    """The scans and how to work on them. Raises InputError where a choice is missing or wrong."""
    request = Request(
        rowsOf(parameters),
        parameters.model,
        "auto" if parameters.register else "off",
        parameters.device,
    )
    request.check()
    models.bundle(parameters.model)
    return request


def targetOf(parameters: Any) -> Times:
    """Raises InputError for times that cannot be played."""
    return checkTarget(timesOf(parameters))


def sweepOf(parameters: Any) -> Sweep:
    """Raises InputError where the sweep makes no sense."""
    return Sweep(
        timesOf(parameters),
        parameters.sweepName,
        parameters.sweepFrom,
        parameters.sweepTo,
        parameters.sweepSteps,
    )


def limitsOf(parameters: Any) -> dict[str, Any]:
    """As `mrinr.contrast.search.Limits` has them."""
    return {
        "TR": [parameters.lowTR, parameters.highTR],
        "TE": [parameters.lowTE, parameters.highTE],
        "TI": [parameters.lowTI, parameters.highTI] if parameters.inversion else None,
        "time_weight": parameters.timeWeight,
    }


def regionsOf(parameters: Any, first: Any) -> list[Any]:
    """The two regions as volumes, segments on the grid of `first`. Raises InputError where one is missing."""
    node = parameters.regions if inScene(parameters.regions) else None
    known = regions.names(node)
    chosen = [parameters.firstRegion, parameters.secondRegion]
    if node is None or chosen[0] == chosen[1] or not set(chosen) <= set(known):
        raise regions.twoRegions()
    return [regions.mask(node, identifier, first) for identifier in chosen]
