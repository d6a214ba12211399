"""Markups ROI nodes as boxes in RAS millimetres."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from mrinr.errors import InputError
from MRINRLib import nodes


def bounds(node: Any) -> list[float]:
    """[R min, R max, A min, A max, S min, S max] in mm of a Markups ROI, transforms included.

    Raises InputError while the ROI is not placed, or under a transform that is not linear.
    """
    if not isinstance(node, slicer.vtkMRMLMarkupsROINode):
        raise InputError(
            _("{node} is not a region of interest; give a Markups ROI node.").format(node=nodes.nameOf(node))
        )
    nodes.requireLinear(node)
    box = np.zeros(6)
    node.GetRASBounds(box)
    if not (np.isfinite(box).all() and (box[1::2] > box[::2]).all()):
        raise InputError(
            _("The region of interest {name} is not placed yet; draw it, or choose none.").format(
                name=node.GetName()
            )
        )
    return [float(value) for value in box]


def fitTo(node: Any, volumeNode: Any) -> None:
    """Make the ROI the box around a volume, drawn in the views with handles, not filled.

    A node that a selector made has no display nodes: without them nobody would see it.
    """
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    if display is not None:
        display.SetFillVisibility(False)  # it would hide the images
        display.SetHandlesInteractive(True)
    box = np.zeros(6)
    volumeNode.GetRASBounds(box)
    node.SetCenter([float(value) for value in (box[::2] + box[1::2]) / 2])
    node.SetSize([float(value) for value in box[1::2] - box[::2]])
