"""Transforms over whatever a module takes: linear ones count, non-linear ones are refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from slicer_session import ROOT, slicer

pytest.importorskip("torch")

from phantoms import head_stack

from mrinr.errors import InputError
from mrinr.volume import Volume

WARP = "non-linear transform warp"


@pytest.fixture(scope="module")
def logics():
    from MRINRLib import engine

    names = ("MRINRSuperRes", "MRINRSynthesis", "ContrastCRL")
    for name in names:
        slicer.loadModule(ROOT / name / f"{name}.py")
    yield {name: slicer.util.getModuleLogic(name) for name in names}
    engine.closeShared()


@pytest.fixture(autouse=True)
def empty_scene():
    slicer.mrmlScene.Clear()
    yield
    slicer.mrmlScene.Clear()


def load(contrast: str = "T1", size: int = 24):
    volume = head_stack(contrast, "axial", shape=(size, size, size)).volume
    node = slicer.util.addVolumeFromArray(
        np.ascontiguousarray(volume.voxels.transpose(2, 1, 0)), volume.affine, f"{contrast} scan"
    )
    node.CreateDefaultDisplayNodes()
    return node


def warped(node):
    warp = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp")
    node.SetAndObserveTransformNodeID(warp.GetID())
    return node


def shifted(node, *millimetres: float):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "shift")
    matrix = np.eye(4)
    matrix[:3, 3] = millimetres
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())
    return node


def box(*size: float):
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    roi.SetCenter([0.0, 0.0, 0.0])
    roi.SetSize(list(size))
    return roi


def segmentation(reference):
    """A cube of 8 mm in the middle, as a segment."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Regions")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    segment = node.GetSegmentation().AddEmptySegment("cube")
    array = np.zeros(slicer.util.arrayFromVolume(reference).shape, np.uint8)
    array[2:4, 8:16, 8:16] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, segment, reference)
    return node, segment


def centre(volume: Volume) -> np.ndarray:
    """Of the mask, in world millimetres."""
    index = np.argwhere(volume.voxels > 0).mean(axis=0)
    return (volume.affine @ [*index, 1.0])[:3]


def test_super_resolution_refuses_them_on_stacks_likes_and_regions(logics):
    logic = logics["MRINRSuperRes"]
    t1, like, roi = load(), warped(load("T2")), warped(box(10, 10, 10))
    with pytest.raises(ValueError, match=f"T2 scan is under the {WARP}"):
        logic.reconstruct([t1], method="cubic", like=like)
    with pytest.raises(ValueError, match=f"box is under the {WARP}"):
        logic.reconstruct([t1], method="cubic", roi=roi)
    with pytest.raises(ValueError, match=f"T1 scan is under the {WARP}"):
        logic.reconstruct([warped(t1)], method="cubic")


def test_synthesis_refuses_them_on_inputs_and_on_the_measured_volume(logics):
    from MRINRLib import provenance

    logic = logics["MRINRSynthesis"]
    result = load("T2")
    provenance.stamp(result, provenance.SYNTHESIS, "test", {}, [], target="T2")
    result.SetNodeReferenceID(provenance.PREFIX + "brain", result.GetID())
    with pytest.raises(ValueError, match=f"T1 scan is under the {WARP}"):
        logic.evaluate(result, warped(load()))
    with pytest.raises(ValueError, match=f"T1 scan is under the {WARP}"):
        logic.synthesize({"T1": warped(load())}, target="FLAIR")


def test_contrast_refuses_them_on_scans_and_regions(logics):
    from MRINRLib import regions

    logic = logics["ContrastCRL"]
    scan = load()
    with pytest.raises(ValueError, match=f"T1 scan is under the {WARP}"):
        logic.changeContrast([(warped(load()), (600, 10, 0))], target=(5000, 100, 0))
    segments, identifier = segmentation(scan)
    with pytest.raises(InputError, match=f"Regions is under the {WARP}"):
        regions.mask(warped(segments), identifier, scan)
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    slicer.util.updateVolumeFromArray(labels, np.ones((4, 4, 4), np.int16))
    with pytest.raises(InputError, match=f"labels is under the {WARP}"):
        regions.mask(warped(labels), "1", scan)


def test_a_region_under_a_linear_transform_limits_the_result_where_it_is_seen(logics):
    t1 = load(size=32)
    roi = shifted(box(12, 12, 12), 6, 0, -4)
    node = logics["MRINRSuperRes"].reconstruct([t1], method="cubic", register="off", roi=roi)[0]
    bounds = np.zeros(6)
    node.GetRASBounds(bounds)
    middle = (bounds[::2] + bounds[1::2]) / 2
    assert np.allclose(middle, [6, 0, -4], atol=1.0) and node.GetParentTransformNode() is None


def test_a_stack_and_its_like_under_linear_transforms_give_a_result_where_they_are_seen(logics):
    t1 = shifted(load(), 20, -10, 5)
    like = shifted(load("T2"), 20, -10, 5)
    node = logics["MRINRSuperRes"].reconstruct([t1], method="cubic", register="off", like=like)[0]
    seen, expected = np.zeros(6), np.zeros(6)
    node.GetRASBounds(seen)
    like.GetRASBounds(expected)
    assert np.allclose(seen, expected, atol=1e-3)


def test_segments_and_scans_under_linear_transforms_meet_where_they_are_seen(logics):
    from MRINRLib import regions

    scan = load()
    segments, identifier = segmentation(scan)
    still = centre(regions.mask(segments, identifier, scan))
    moved = centre(regions.mask(shifted(segments, 4, 0, 0), identifier, scan))
    assert np.allclose(moved - still, [4, 0, 0], atol=0.6)
    both = regions.mask(segments, identifier, shifted(scan, 4, 0, 0))
    assert np.allclose(centre(both) - still, [4, 0, 0], atol=0.6)
