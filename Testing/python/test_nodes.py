"""Volume nodes become Volumes and come back where they were; VTK's own arithmetic is the judge."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import random_directions
from slicer_session import slicer
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from mrinr.errors import InputError
from mrinr.volume import Volume

SPACING = np.array([0.7, 1.3, 4.0])


@pytest.fixture(autouse=True)
def empty_scene():
    slicer.mrmlScene.Clear()
    yield
    slicer.mrmlScene.Clear()


@pytest.fixture(scope="module")
def nodes():
    from MRINRLib import nodes

    return nodes


def affine(seed: int) -> np.ndarray:
    """Oblique and anisotropic; left-handed for odd seeds."""
    directions = random_directions(np.random.default_rng(seed))
    if (np.linalg.det(directions) > 0) == bool(seed % 2):
        directions[:, 0] *= -1
    out = np.eye(4)
    out[:3, :3] = directions * SPACING
    out[:3, 3] = [11.0, -23.0, 37.0]
    return out


def make_node(matrix: np.ndarray, name: str = "scan"):
    voxels = np.random.default_rng(0).normal(100, 20, (5, 7, 9)).astype(np.float32)  # k, j, i
    node = slicer.util.addVolumeFromArray(voxels, matrix, name)
    node.CreateDefaultDisplayNodes()
    return node


def world(node, index) -> np.ndarray:
    """Where VTK and MRML say that a voxel is."""
    ijk_to_ras = vtkMatrix4x4()
    node.GetIJKToRASMatrix(ijk_to_ras)
    point = list(ijk_to_ras.MultiplyPoint([*index, 1.0])[:3])
    moved = [0.0, 0.0, 0.0]
    node.TransformPointToWorld(point, moved)
    return np.array(moved)


def under_transform(node, matrix: np.ndarray):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    slicer.util.updateTransformMatrixFromArray(transform, matrix)
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("moved", [False, True])
def test_every_voxel_is_where_the_node_says(nodes, seed, moved):
    node = make_node(affine(seed))
    if moved:
        rotation = np.eye(4)
        rotation[:3, :3] = random_directions(np.random.default_rng(99 + seed))
        rotation[:3, 3] = [5, 6, -7]
        under_transform(node, rotation)
    volume = nodes.volumeFromNode(node)
    assert volume.voxels.shape == (9, 7, 5) and volume.voxels.dtype == np.float32
    for index in [(0, 0, 0), (8, 0, 0), (0, 6, 0), (0, 0, 4), (3, 2, 1)]:
        np.testing.assert_allclose(volume.grid.world(np.array(index)), world(node, index), atol=1e-4)
        assert volume.voxels[index] == node.GetImageData().GetScalarComponentAsDouble(*index, 0)


@pytest.mark.parametrize("seed", range(4))
def test_there_and_back_again_changes_nothing(nodes, seed):
    node = make_node(affine(seed))
    volume = nodes.volumeFromNode(node)
    again = nodes.volumeFromNode(nodes.nodeFromVolume(volume, "copy", node))
    assert again.grid.same_as(volume.grid)
    np.testing.assert_array_equal(again.voxels, volume.voxels)


def test_a_linear_parent_transform_is_hardened_into_the_copy(nodes):
    node = make_node(affine(0))
    shift = np.eye(4)
    shift[:3, 3] = [10, 20, 30]
    transform = under_transform(node, shift)
    before = world(node, (1, 2, 3))
    copy = nodes.nodeFromVolume(nodes.volumeFromNode(node), "copy", node)
    assert copy.GetParentTransformNode() is None and node.GetParentTransformNode() is transform
    np.testing.assert_allclose(world(copy, (1, 2, 3)), before, atol=1e-4)


def test_a_non_linear_parent_transform_is_refused_by_name(nodes):
    node = make_node(affine(0), "brain")
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp")
    node.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(InputError, match=r"brain.*non-linear.*warp"):
        nodes.volumeFromNode(node)


def test_bad_nodes_are_refused_in_one_sentence(nodes):
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    with pytest.raises(InputError, match="empty holds no voxels"):
        nodes.volumeFromNode(empty)
    colours = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "colours")
    slicer.util.updateVolumeFromArray(colours, np.zeros((4, 4, 4, 3), np.uint8))
    with pytest.raises(InputError, match="colours has several values"):
        nodes.volumeFromNode(colours)


def test_geometry_alone_takes_no_memory(nodes):
    node = make_node(affine(1))
    geometry = nodes.geometryFromNode(node)
    assert geometry.grid.same_as(nodes.volumeFromNode(node).grid)
    assert geometry.voxels.strides == (0, 0, 0)


def test_the_copy_looks_like_its_reference_and_lies_beside_it(nodes):
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    node = make_node(affine(2))
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), study)
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevel(123, 45)
    volume = Volume(np.zeros((4, 4, 4)), np.eye(4))
    copy = nodes.nodeFromVolume(volume, "copy", node)
    assert (copy.GetDisplayNode().GetWindow(), copy.GetDisplayNode().GetLevel()) == (123, 45)
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(copy)) == study
    assert nodes.nodeFromVolume(volume, "copy", node).GetName() != "copy"  # names stay unique
