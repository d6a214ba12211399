"""What DICOM knows of a loaded volume, where the DICOM module and its database exist."""

from __future__ import annotations

import logging
import os
from typing import Any

import slicer

NUMBERS = {  # tag: our key, as in mrinr.formats.dicom
    "0018,0050": "thickness",
    "0018,0080": "TR",
    "0018,0081": "TE",
    "0018,0082": "TI",
}
DESCRIPTION, PROTOCOL, IMAGE_TYPE = "0008,103e", "0018,1030", "0008,0008"
AGENT, SCANNING = "0018,0010", "0018,0020"


def files(node: Any) -> list[str]:
    """The DICOM files that a volume was loaded from, those that the database still has."""
    identifiers = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    if database is None:
        return []
    try:
        paths = [str(database.fileForInstance(identifier) or "") for identifier in identifiers]
    except (RuntimeError, AttributeError) as error:  # closed
        logging.warning("DICOM database: files could not be looked up (%s)", error)
        return []
    return [path for path in paths if os.path.isfile(path)]


def value(node: Any, tag: str) -> str:
    """The value of a tag in the first image that the volume was loaded from; "" where that is not known."""
    identifiers = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    if not identifiers or database is None:
        return ""
    try:
        return str(database.instanceValue(identifiers[0], tag) or "")
    except (RuntimeError, AttributeError) as error:  # closed, or files gone
        logging.warning("DICOM database: %s could not be read (%s)", tag, error)
        return ""


def metaFromNode(node: Any) -> dict[str, float]:
    """thickness in mm, TR, TE, TI in ms: those that DICOM states as a positive number."""
    meta = {}
    for tag, key in NUMBERS.items():
        try:
            number = float(value(node, tag))
        except ValueError:
            continue
        if number > 0:
            meta[key] = number
    return meta


def descriptions(node: Any) -> list[str]:
    """What the scanner called the series: description and protocol, those that exist."""
    return [text for text in (value(node, DESCRIPTION), value(node, PROTOCOL)) if text]


def isLocalizer(node: Any) -> bool:
    return "LOCALIZER" in value(node, IMAGE_TYPE).upper()


def hasContrastAgent(node: Any) -> bool:
    """Whether DICOM names a contrast agent."""
    return value(node, AGENT).strip().lower() not in ("", "no", "none", "n")


def scanningSequence(node: Any) -> str:
    """DICOM's Scanning Sequence: SE, IR, GR, EP, ... separated by backslashes; empty where not known."""
    return value(node, SCANNING).upper()
