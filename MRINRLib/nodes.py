"""Volume nodes and `mrinr.volume.Volume`: geometry always beside the voxels, both ways."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from mrinr.errors import InputError
from mrinr.volume import Volume
from MRINRLib import dicom

PREVIEW_ATTRIBUTE = "MRINR.preview"


def affineFromNode(node: Any) -> np.ndarray:
    """4x4, index (i, j, k) to RAS millimetres in the world: a linear parent transform is part of it.

    Raises InputError when a parent transform is not linear.
    """
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    affine = slicer.util.arrayFromVTKMatrix(matrix)
    requireLinear(node)
    transform = node.GetParentTransformNode()
    if transform is None:
        return affine
    toWorld = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(toWorld)
    return slicer.util.arrayFromVTKMatrix(toWorld) @ affine


def requireLinear(node: Any) -> None:
    """Raise InputError for a node under a transform that is not linear."""
    transform = node.GetParentTransformNode()
    if transform is not None and not transform.IsTransformToWorldLinear():
        raise InputError(
            _(
                "{volume} is under the non-linear transform {transform}; harden the transform (in the Data "
                "module) or take {volume} out of it."
            ).format(volume=node.GetName(), transform=transform.GetName())
        )


def inScene(node: Any) -> bool:
    """Whether a node that was found earlier is still there."""
    return node is not None and node.GetScene() is slicer.mrmlScene


def requireInScene(sources: Iterable[Any]) -> None:
    """Raise InputError when one of the nodes that a job was started with is gone."""
    for node in sources:
        if not inScene(node):
            raise InputError(
                _("{volume} was removed from the scene meanwhile, so its result is not shown.").format(
                    volume=node.GetName()
                )
            )


def hasVoxels(node: Any) -> bool:
    image = node.GetImageData()
    return image is not None and image.GetNumberOfPoints() > 0


def nameOf(node: Any) -> str:
    """What a message calls an argument that should have been a node."""
    return node.GetName() or node.GetID() if isinstance(node, slicer.vtkMRMLNode) else repr(node)


def _check(node: Any) -> None:
    if not isinstance(node, slicer.vtkMRMLScalarVolumeNode):
        raise InputError(_("{node} is not a volume; give volume nodes.").format(node=nameOf(node)))
    if not hasVoxels(node):
        raise InputError(
            _("{volume} holds no voxels; load it or choose another.").format(volume=node.GetName())
        )
    if node.GetImageData().GetNumberOfScalarComponents() != 1:
        raise InputError(
            _("{volume} has several values a voxel (colours or vectors); choose a scalar volume.").format(
                volume=node.GetName()
            )
        )


def volumeFromNode(node: Any, name: str | None = None) -> Volume:
    """The node's voxels as (i, j, k) float32 with its affine in the world, and what DICOM says of it.

    Raises InputError: no voxels, several components, a non-linear parent transform, a sheared geometry.
    """
    _check(node)
    voxels = slicer.util.arrayFromVolume(node).transpose(2, 1, 0).astype(np.float32)
    return Volume(voxels, affineFromNode(node), name or node.GetName(), dicom.metaFromNode(node))


def geometryFromNode(node: Any, name: str | None = None) -> Volume:
    """The same without voxels (all are zero and take no memory) and without DICOM. For estimates."""
    _check(node)
    voxels = np.broadcast_to(np.float32(0), node.GetImageData().GetDimensions())
    return Volume(voxels, affineFromNode(node), name or node.GetName())


def updateNode(node: Any, volume: Volume) -> None:
    """Put voxels and geometry into an existing node; no parent transform is left on it."""
    node.SetAndObserveTransformNodeID(None)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(volume.affine))
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(volume.voxels.transpose(2, 1, 0)))


def nodeFromVolume(volume: Volume, name: str, reference: Any, parentItem: int | None = None) -> Any:
    """A new volume node beside `reference` in the subject hierarchy, with its window and level.

    name : made unique in the scene
    parentItem : another subject hierarchy item to put it under
    """
    node = slicer.mrmlScene.AddNewNodeByClass(
        "vtkMRMLScalarVolumeNode", slicer.mrmlScene.GenerateUniqueName(name)
    )
    updateNode(node, volume)
    node.CreateDefaultDisplayNodes()
    copyWindowLevel(reference, node)
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    parent = parentItem or itemAbove(reference)
    item = hierarchy.GetItemByDataNode(node)
    if parent and item:
        hierarchy.SetItemParent(item, parent)
    return node


def itemAbove(node: Any) -> int:
    """The subject hierarchy item that a node lies under; 0 where it is not in the hierarchy."""
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(node)
    return hierarchy.GetItemParent(item) if item else 0


def copyWindowLevel(source: Any, target: Any) -> None:
    """Show `target` with the window, level and colours of `source`."""
    shown, display = source.GetDisplayNode(), target.GetDisplayNode()
    if shown is None or display is None:
        return
    display.SetAndObserveColorNodeID(shown.GetColorNodeID())
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(shown.GetWindow(), shown.GetLevel())


class Added:
    """What was added to the scene in a `with` block: nodes, and folders of the subject hierarchy."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._items: list[int] = []

    def __enter__(self) -> Added:
        self._before = set(_everything()), set(_items())
        return self

    def __exit__(self, *_exception: object) -> None:
        nodes, items = self._before
        del self._before
        self._nodes = [node for node in _everything() if node not in nodes]
        self._items = [item for item in _items() if item not in items]

    def remove(self) -> None:
        """Take it out again, what is still there."""
        hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
        for node in self._nodes:
            if inScene(node):
                slicer.mrmlScene.RemoveNode(node)
        for item in self._items:
            if item in _items():
                hierarchy.RemoveItem(item, False, False)
        self._nodes, self._items = [], []


def _everything() -> list[Any]:
    return [slicer.mrmlScene.GetNthNode(n) for n in range(slicer.mrmlScene.GetNumberOfNodes())]


def _items() -> list[int]:
    """All items of the subject hierarchy."""
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    found = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), found, True)
    return [found.GetId(n) for n in range(found.GetNumberOfIds())]


def folderBeside(reference: Any, name: str) -> int:
    """A new folder beside `reference` in the subject hierarchy; its item."""
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    return hierarchy.CreateFolderItem(itemAbove(reference) or hierarchy.GetSceneItemID(), name)
