"""A result in the scene as a derived DICOM series, of the study that its sources were loaded from."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from mrinr import provenance as facts
from mrinr.errors import InputError
from MRINRLib import dicom, nodes, provenance

SOURCE, REFERENCE = provenance.PREFIX + "source", provenance.PREFIX + "reference"


def export(node: Any, folder: str) -> list[str]:
    """Write a result node as a series into a new or empty folder; returns the files.

    The source that has the result's own contrast or grid comes first; what the DICOM database does not hold
    (any more) is not referenced. Raises InputError: the node is no result, or the folder cannot be taken.
    """
    try:
        from mrinr.formats import dicom_export
    except ModuleNotFoundError as error:
        raise InputError(
            _("DICOM cannot be written here: the Python package {package} is missing.").format(
                package=error.name
            )
        ) from error
    if not provenance.isOurs(node):
        raise InputError(_("{volume} is no result of MRINR; choose one.").format(volume=node.GetName()))
    sources = list(_sources(node))
    files = [Path(file) for source in sources for file in dicom.files(source)]
    moved = any(each.GetParentTransformNode() is not None for each in (node, *sources))
    volume = nodes.volumeFromNode(node)
    times = provenance.parameters(node).get("target")
    if isinstance(times, list):  # TR, TE, TI that a contrast was made for
        volume = replace(volume, meta={**volume.meta, **dict(zip(provenance.TIMES, times, strict=True))})
    written = dicom_export.save(volume, Path(folder), _made(node), files, same_space=not moved)
    logging.info("MRINR: %d DICOM files were written", len(written))
    return [str(path) for path in written]


def newFolder(parent: str) -> str:
    """`parent`, or a folder in it that is not there yet where it holds something; named without a patient."""
    if not os.listdir(parent):
        return parent
    number = 1
    while os.path.exists(path := os.path.join(parent, f"MRINR-{number}")):
        number += 1
    return path


def _made(node: Any) -> dict[str, Any]:
    kind, target = provenance.get(node, "kind"), provenance.get(node, "target")
    return {
        "kind": kind,
        "notice": facts.notice(kind, target),
        "method": provenance.get(node, "method"),
        "mrinr": provenance.get(node, "version"),
        "description": node.GetName(),
        "model": provenance.get(node, "model"),
        "weights_sha256": provenance.get(node, "weightsSHA256"),
        "parameters": provenance.parameters(node),
    }


def _sources(node: Any) -> Iterator[Any]:
    first = node.GetNodeReference(REFERENCE)
    found = [node.GetNthNodeReference(SOURCE, n) for n in range(node.GetNumberOfNodeReferences(SOURCE))]
    seen: list[Any] = []
    for each in (first, *found):
        if each is not None and each not in seen:
            seen.append(each)
            yield each
