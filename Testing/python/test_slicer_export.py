"""Results leave Slicer with what made them: in a saved scene, and as a DICOM series."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from dicom_files import write_series
from slicer_session import slicer

from mrinr.errors import InputError
from mrinr.volume import read


@pytest.fixture(autouse=True)
def empty_scene():
    slicer.mrmlScene.Clear()
    yield
    slicer.mrmlScene.Clear()


class Database:
    """Answers like ctkDICOMDatabase for files of a series."""

    def __init__(self, files) -> None:
        self.files = {pydicom.dcmread(path).SOPInstanceUID: str(path) for path in files}

    def fileForInstance(self, uid: str) -> str:  # noqa: N802  (CTK's name)
        return self.files.get(uid, "")

    def instanceValue(self, uid: str, tag: str) -> str:  # noqa: N802
        return ""


def result(source, kind: str = "super-resolution", **more: str):
    from mrinr.volume import Volume
    from MRINRLib import nodes, provenance

    axes, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes * (1.0, 1.5, 2.0), (10, -20, 30)
    voxels = np.random.default_rng(2).gamma(2, 100, (10, 9, 8)).astype(np.float32)
    node = nodes.nodeFromVolume(Volume(voxels, affine), "T1 ax SR", source)
    provenance.stamp(node, kind, "tv", {"weight": 0.1, "target": [2000, 10, 800]}, [source], "Fine", **more)
    return node


def manage_data(scene, folder) -> None:
    """What the application gives its scene, and bundles need."""
    manager, cache = slicer.vtkDataIOManager(), slicer.vtkCacheManager()
    (folder / "cache").mkdir()
    cache.SetRemoteCacheDirectory(str(folder / "cache"))
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)


def source_node(uids: str = ""):
    node = slicer.util.addVolumeFromArray(np.ones((4, 12, 12), np.float32), np.eye(4), "T1 ax")
    if uids:
        node.SetAttribute("DICOM.instanceUIDs", uids)
    return node


@pytest.mark.parametrize("ending", ["mrml", "mrb"])
def test_what_made_a_result_survives_saving_and_loading_the_scene(tmp_path, ending):
    from MRINRLib import provenance

    node = result(source_node(), model="multimodal-compact", weightsSHA256="ab" * 32, notice="Schädel & <T1>")
    names = [name for name in node.GetAttributeNames() if name.startswith(provenance.PREFIX)]
    before = {name: node.GetAttribute(name) for name in names}
    voxels = slicer.util.arrayFromVolume(node).copy()
    assert len(before) >= 9
    path = str(tmp_path / f"Szene.{ending}")
    scene = slicer.mrmlScene
    if ending == "mrb":
        assert scene.WriteToMRB(path)
    else:
        for each in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
            each.AddDefaultStorageNode()
            each.GetStorageNode().SetFileName(str(tmp_path / f"{each.GetID()}.nrrd"))
            assert each.GetStorageNode().WriteData(each)
        scene.SetURL(path)
        assert scene.Commit(path)
    scene.Clear()
    if ending == "mrb":
        manage_data(scene, tmp_path)
        assert scene.ReadFromMRB(path)
    else:
        scene.SetURL(path)
        assert scene.Import()
    loaded = slicer.util.getNode("T1 ax SR")
    assert {name: loaded.GetAttribute(name) for name in names} == before
    assert loaded.GetNodeReference("MRINR.source").GetName() == "T1 ax"
    assert provenance.isOurs(loaded) and provenance.parameters(loaded)["weight"] == 0.1
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(loaded), voxels)


def test_a_result_becomes_a_series_of_its_sources_study(tmp_path, monkeypatch):
    from MRINRLib import dicom_export

    voxels = np.random.default_rng(0).integers(1, 900, (12, 12, 4))
    files = write_series(tmp_path / "in", voxels, np.diag([1.0, 1, 4, 1]), EchoTime=12.0)
    database = Database(files)
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    node = result(source_node(" ".join(database.files)))
    written = dicom_export.export(node, str(tmp_path / "out"))
    first = pydicom.dcmread(written[0])
    assert first.StudyInstanceUID == "1.2.3" and first.FrameOfReferenceUID == "1.2.4"
    assert first.SeriesDescription == "T1 ax SR" and list(first.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    assert {item.ReferencedSOPInstanceUID for item in first.SourceImageSequence} == set(database.files)
    back = read(tmp_path / "out")
    ours = slicer.util.arrayFromVolume(node).transpose(2, 1, 0)
    assert np.abs(np.sort(back.voxels, None) - np.sort(ours, None)).max() <= float(first.RescaleSlope)

    moved = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.GetNodeReference("MRINR.source").SetAndObserveTransformNodeID(moved.GetID())
    other = pydicom.dcmread(dicom_export.export(node, str(tmp_path / "moved"))[0])
    assert other.FrameOfReferenceUID != "1.2.4"  # a moved head lies in no scanner's space


def test_a_made_contrast_has_its_times_and_needs_no_database(tmp_path):
    from MRINRLib import dicom_export

    node = result(source_node("1.2.9"), "synthesis", target="T1-FLAIR")
    first = pydicom.dcmread(dicom_export.export(node, dicom_export.newFolder(str(tmp_path)))[0])
    assert (first.RepetitionTime, first.EchoTime, first.InversionTime) == (2000, 10, 800)
    assert "SYNTHETIC" in first.DerivationDescription and "Person" not in str(first.PatientName)
    assert dicom_export.newFolder(str(tmp_path)).endswith("MRINR-1")  # that one is full now


def test_a_measured_volume_is_not_exported_as_ours(tmp_path):
    from MRINRLib import dicom_export

    with pytest.raises(InputError, match="no result of MRINR"):
        dicom_export.export(source_node(), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
