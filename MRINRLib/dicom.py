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
CLASS = "0008,0016"
ENHANCED = (
    "1.2.840.10008.5.1.4.1.1.4.1",
    "1.2.840.10008.5.1.4.1.1.4.4",
)  # as in mrinr.formats.dicom_enhanced


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
    if not meta and value(node, CLASS) in ENHANCED:
        return _metaOfFrames(node)
    return meta


def _metaOfFrames(node: Any) -> dict[str, float]:
    """The same of an enhanced file, whose numbers stand with each frame, unseen by the database."""
    paths = files(node)
    try:
        import pydicom

        from mrinr.formats import dicom_enhanced

        # force: also without the preamble, which some archives leave out
        header = pydicom.dcmread(paths[0], stop_before_pixels=True, force=True) if paths else None
        found = {} if header is None else dicom_enhanced.meta(header)
    except Exception as error:  # pydicom raises many kinds; what cannot be read is unknown
        logging.warning("DICOM: the frames of an enhanced file could not be read (%s)", type(error).__name__)
        return {}
    return {key: found[key] for key in NUMBERS.values() if found.get(key, 0) > 0}


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
