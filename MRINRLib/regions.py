"""Segments and label values as masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from mrinr.errors import InputError
from mrinr.volume import Volume
from MRINRLib import nodes


def names(node: Any) -> dict[str, str]:
    """What can be chosen in a segmentation or a label map: names for people by identifier."""
    if node is None:
        return {}
    if node.IsA("vtkMRMLSegmentationNode"):
        found = node.GetSegmentation()
        ids = [found.GetNthSegmentID(n) for n in range(found.GetNumberOfSegments())]
        return {each: found.GetSegment(each).GetName() for each in ids}
    if not nodes.hasVoxels(node):
        return {}
    values = [int(value) for value in np.unique(slicer.util.arrayFromVolume(node)) if value]
    return {str(value): _labelName(node, value) for value in values}


def _labelName(node: Any, value: int) -> str:
    display = node.GetDisplayNode()
    colours = display.GetColorNode() if display is not None else None
    name = colours.GetColorName(value) if colours is not None else ""
    return f"{value}: {name}" if name and name != str(value) else _("label {value}").format(value=value)


def mask(node: Any, identifier: str, reference: Any) -> Volume:
    """1 in the region, else 0; a segment is sampled on the grid of the volume `reference`.

    Raises InputError where there is no such region, or a transform that is not linear.
    """
    known = names(node)
    if identifier not in known:
        raise twoRegions()
    nodes.requireLinear(node)
    if node.IsA("vtkMRMLSegmentationNode"):
        array = slicer.util.arrayFromSegmentBinaryLabelmap(node, identifier, reference)
        affine = nodes.affineFromNode(reference)
    else:
        array = slicer.util.arrayFromVolume(node) == int(identifier)
        affine = nodes.affineFromNode(node)
    voxels = (np.asarray(array) > 0).transpose(2, 1, 0).astype(np.float32)
    if not voxels.any():
        raise InputError(
            _("{region} is empty in {volume}; draw it there.").format(
                region=known[identifier], volume=reference.GetName()
            )
        )
    return Volume(voxels, affine, known[identifier])


def twoRegions() -> InputError:
    """What to do where there are not two different regions."""
    return InputError(
        _("Choose two different regions: segments of a segmentation, or values of a label map.")
    )
