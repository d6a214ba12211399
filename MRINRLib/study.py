"""'Fill from study': which of the loaded volumes are stacks, and what each of them is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from mrinr import through_plane
from mrinr.contrasts import contrast_of
from mrinr.errors import InputError
from mrinr.volume import Stack
from MRINRLib import dicom, nodes, provenance

THICK = 1.5  # slice spacing over in-plane spacing from which a volume counts as thick slices
FEWEST = 8  # slices; fewer are localizers
LOCALIZER = re.compile(r"local|scout|survey|\bloc\b|3.?plane", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Choice:
    """One row of the table of stacks: a volume node and how it was acquired."""

    node: Any
    contrast: str
    sliceAxis: int
    thickness: float

    def stack(self, name: str | None = None, voxels: bool = True) -> Stack:
        """The backend's stack; without `voxels` only its geometry. Raises InputError for a bad node."""
        read = nodes.volumeFromNode if voxels else nodes.geometryFromNode
        return Stack(read(self.node, name), self.contrast, self.sliceAxis, self.thickness)

    @property
    def orientation(self) -> str:
        return self.stack(voxels=False).orientation


def choiceFor(node: Any, contrast: str | None = None) -> Choice:
    """What name, header and DICOM say about one volume. Raises InputError for a node that is no volume.

    A volume whose contrast nobody states keeps its own name as contrast, so that it is fused with no other.
    """
    geometry = nodes.geometryFromNode(node)
    refuseLabels(node)
    stack = Stack(geometry, thickness=dicom.metaFromNode(node).get("thickness"))
    assert stack.slice_axis is not None and stack.thickness is not None
    contrast = contrast or contrast_of(node.GetName(), *dicom.descriptions(node))
    return Choice(node, contrast or node.GetName(), stack.slice_axis, stack.thickness)


def fillFromStudy(among: Sequence[Any] | None = None) -> list[Choice]:
    """The stacks of the study that is shown, else of the first one; with `among`, of these volumes.

    Thick slices come first, then volumes of contrasts that have no thick slices, which guide the others.
    Localizers and MRINR's own results are left out.
    """
    choices = []
    for node in images() if among is None else among:
        try:
            choices.append(choiceFor(node))
        except InputError:
            continue  # geometry that no method takes; adding it by hand says why
    thick = [choice for choice in choices if _anisotropy(choice) >= THICK]
    known = {choice.contrast for choice in thick}
    return thick + [choice for choice in choices if choice not in thick and choice.contrast not in known]


def interpolated(choices: Sequence[Choice]) -> list[str]:
    """A sentence for each stack whose voxels say that it was interpolated across its slices."""
    return [text for text in (through_plane.warning(choice.stack()) for choice in choices) if text]


def refuseLabels(node: Any) -> None:
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise InputError(_("{volume} is a label map; choose an MR volume.").format(volume=nodes.nameOf(node)))


def images() -> list[Any]:
    """The MR volumes of the study that is shown, else of the first one; no localizers, nothing of MRINR's."""
    return _sameStudy(allImages())


def allImages() -> list[Any]:
    """The same of all studies."""
    return [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if _isImage(node)]


def _isImage(node: Any) -> bool:
    if node.IsA("vtkMRMLLabelMapVolumeNode") or node.GetHideFromEditors() or provenance.isOurs(node):
        return False
    if not nodes.hasVoxels(node) or min(node.GetImageData().GetDimensions()) < FEWEST:
        return False
    names = [node.GetName(), *dicom.descriptions(node)]
    return not dicom.isLocalizer(node) and not any(LOCALIZER.search(name) for name in names)


def _anisotropy(choice: Choice) -> float:
    spacing = np.array(choice.node.GetSpacing())
    return float(spacing[choice.sliceAxis] / np.delete(spacing, choice.sliceAxis).max())


def _sameStudy(found: Sequence[Any]) -> list[Any]:
    """Those under the same subject hierarchy parent as the volume in the slice views, else as the first."""
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    shown = [slicer.mrmlScene.GetNodeByID(c.GetBackgroundVolumeID() or "") for c in composites]
    first = next((node for node in shown if node in found), found[0] if found else None)
    return [node for node in found if nodes.itemAbove(node) == nodes.itemAbove(first)]
