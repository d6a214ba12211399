"""MRINRLib besides nodes: filling from a study, DICOM, provenance, installing, what an import may load."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_enhanced
from phantoms import head_stack
from slicer_session import ROOT, slicer

from mrinr.errors import InputError


@pytest.fixture(autouse=True)
def empty_scene():
    slicer.mrmlScene.Clear()
    yield
    slicer.mrmlScene.Clear()


def load(name: str, spacing=(1.0, 1.0, 4.0), shape=(32, 32, 12), uids: str = ""):
    affine = np.diag([*spacing, 1.0])
    voxels = np.random.default_rng(0).uniform(0, 100, shape[::-1]).astype(np.float32)
    node = slicer.util.addVolumeFromArray(voxels, affine, name)
    if uids:
        node.SetAttribute("DICOM.instanceUIDs", uids)
    return node


class Database:
    """Answers like ctkDICOMDatabase for the instances that it is given: {uid: {tag: value}}."""

    def __init__(self, instances: dict[str, dict[str, str]]) -> None:
        self._instances = instances

    def instanceValue(self, uid: str, tag: str) -> str:  # noqa: N802  (CTK's name)
        return self._instances.get(uid, {}).get(tag, "")


def filled() -> list[tuple]:
    from MRINRLib import study

    return [(c.node.GetName(), c.contrast, c.orientation, c.thickness) for c in study.fillFromStudy()]


def test_stacks_are_recognised_by_name_and_header():
    load("ax T1 se")
    load("cor T2 tse", spacing=(1.0, 5.0, 1.0), shape=(32, 12, 32))
    load("sag FLAIR", spacing=(3.0, 1.0, 1.0), shape=(12, 32, 32))
    assert filled() == [
        ("ax T1 se", "T1", "axial", 4.0),
        ("cor T2 tse", "T2", "coronal", 5.0),
        ("sag FLAIR", "FLAIR", "sagittal", 3.0),
    ]


def test_isotropic_volumes_come_last_and_only_as_guides():
    load("t1_mprage", spacing=(1, 1, 1), shape=(32, 32, 32))
    load("t2_3d", spacing=(1, 1, 1), shape=(32, 32, 32))
    load("ax T2")
    assert [name for name, *_ in filled()] == ["ax T2", "t1_mprage"]


def test_localizers_labels_and_own_results_are_left_out():
    from MRINRLib import provenance

    source = load("ax T1")
    load("3-plane localizer")
    load("T2 three slices", shape=(32, 32, 3))
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "T1 labels")
    slicer.util.updateVolumeFromArray(labels, np.zeros((12, 32, 32), np.int16))
    provenance.stamp(load("T1 SR"), "super-resolution", "tv", {}, [source])
    assert [name for name, *_ in filled()] == ["ax T1"]


def test_volumes_of_unknown_contrast_are_not_fused():
    load("one")
    load("two")
    assert [contrast for _name, contrast, *_ in filled()] == ["one", "two"]


def test_only_the_study_that_is_shown_is_filled_in():
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    for number in (1, 2):
        study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), f"Study {number}")
        node = load(f"T1 of study {number}")
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), study)
    assert [name for name, *_ in filled()] == ["T1 of study 1"]
    slicer.util.setSliceViewerLayers(background=node)
    assert [name for name, *_ in filled()] == ["T1 of study 2"]


def test_dicom_gives_thickness_contrast_and_localizers(monkeypatch):
    instances = {
        "1.1": {"0018,0050": "3.5", "0008,103e": "t2_tse_tra", "0018,0081": "90"},
        "1.2": {"0008,0008": "ORIGINAL\\PRIMARY\\LOCALIZER", "0008,103e": "survey"},
    }
    monkeypatch.setattr(slicer, "dicomDatabase", Database(instances), raising=False)
    from MRINRLib import dicom

    node = load("5: series", uids="1.1 1.1.2")
    load("6: series", uids="1.2")
    assert filled() == [("5: series", "T2", "axial", 3.5)]
    assert dicom.metaFromNode(node) == {"thickness": 3.5, "TE": 90.0}


def test_an_enhanced_file_gives_thickness_and_times_though_the_database_knows_none(tmp_path, monkeypatch):
    from MRINRLib import dicom

    said = {"TR": 9000.0, "TE": 120.0, "TI": 2500.0, "thickness": 3.5}
    path = write_enhanced(tmp_path / "e.dcm", [(np.ones((12, 10, 5), int), np.diag([1.0, 1, 4, 1]), said)])
    database = Database({"1.3": {"0008,0016": "1.2.840.10008.5.1.4.1.1.4.1", "0008,103e": "FLAIR tra"}})
    monkeypatch.setattr(database, "fileForInstance", lambda uid: str(path), raising=False)
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    node = load("7: series", uids="1.3")
    assert dicom.metaFromNode(node) == said
    assert filled() == [("7: series", "FLAIR", "axial", 3.5)]
    whole = path.read_bytes()
    path.write_bytes(whole[132:])  # without a preamble
    assert dicom.metaFromNode(node) == said
    for damaged in (whole[:400], b"", b"no DICOM at all", bytes(range(256)) * 4):
        path.write_bytes(damaged)
        assert dicom.metaFromNode(node) == {}


def test_without_a_dicom_database_nothing_is_missed():
    from MRINRLib import dicom

    assert dicom.metaFromNode(load("T1", uids="1.1")) == {}


def test_provenance_is_written_on_the_node_and_follows_the_sources():
    from MRINRLib import provenance

    sources = [load("Schädel T1"), load("T2")]
    node = load("result")
    provenance.stamp(node, "super-resolution", "tv", {"weight": 0.1}, sources, "Self-check: fine")
    assert node.GetAttribute("MRINR.method") == "tv"
    assert json.loads(node.GetAttribute("MRINR.parameters")) == {"weight": 0.1}
    assert json.loads(node.GetAttribute("MRINR.sourceNames")) == ["Schädel T1", "T2"]
    assert node.GetAttribute("MRINR.sourceIDs").split() == [source.GetID() for source in sources]
    assert node.GetNodeReference("MRINR.source") is sources[0]
    assert provenance.isOurs(node) and not provenance.isOurs(sources[0])


def test_a_region_of_interest_follows_its_transform():
    from MRINRLib import roi

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    with pytest.raises(InputError, match="box is not placed"):
        roi.bounds(node)
    with pytest.raises(InputError, match="not a region of interest"):
        roi.bounds("box")
    node.SetCenter([1, 2, 3])
    node.SetSize([10, 20, 30])
    np.testing.assert_allclose(roi.bounds(node), [-4, 6, -8, 12, -12, 18])
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[0, 3] = 100
    slicer.util.updateTransformMatrixFromArray(transform, matrix)
    node.SetAndObserveTransformNodeID(transform.GetID())
    np.testing.assert_allclose(roi.bounds(node), [96, 106, -8, 12, -12, 18])


def test_a_missing_pytorch_extension_is_explained(monkeypatch):
    from MRINRLib import install

    monkeypatch.setattr(install, "hasTorch", lambda: False)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)  # what Python keeps for a module that is not there
    with pytest.raises(InputError, match="install the extension 'PyTorch'"):
        install.ensure("MRINRSuperRes")


def test_nothing_is_asked_while_slicer_runs_its_tests(monkeypatch):
    from types import SimpleNamespace

    import slicer.packaging

    from MRINRLib import install

    assert slicer.app.testingEnabled()
    monkeypatch.setattr(
        slicer.packaging, "pip_ensure", lambda *_, **__: None
    )  # Slicer's own then does nothing
    with pytest.raises(InputError, match="no_such_package>=1 has to be installed first"):
        install.ensure("MRINRSuperRes", {"no_such_package": "no_such_package>=1"})
    monkeypatch.setattr(install, "hasTorch", lambda: False)
    monkeypatch.setitem(
        sys.modules, "PyTorchUtils", SimpleNamespace()
    )  # asking it would be an AttributeError
    with pytest.raises(InputError, match="PyTorch has to be installed first"):
        install.ensure("MRINRSuperRes")


def test_the_worker_gets_a_python_where_slicer_names_none(monkeypatch):
    from MRINRLib import engine

    monkeypatch.setenv("PATH", "")
    for executable in ("", "/opt/Slicer/bin/SlicerApp-real"):
        monkeypatch.setattr(sys, "executable", executable)
        python = engine.workerPython()
        version = subprocess.run(
            [python, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True
        )
        assert version.stdout.decode().strip() == str(tuple(sys.version_info[:2]))


def test_the_worker_finds_the_packages_that_slicer_finds(tmp_path, monkeypatch):
    from MRINRLib import engine

    (tmp_path / "only_on_the_path.py").write_text("def run(*_):\n    return {}, {'found': True}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    ours, events = engine.Engine(), []
    ours.wait(ours.submit("only_on_the_path:run", {}, {}, events.append))
    ours.close()
    assert events[-1].kind == "result", events[-1].data
    assert events[-1].data["report"] == {"found": True}


MODULE = ROOT / "MRINRSuperRes" / "MRINRSuperRes.py"


def run_in_a_fresh_slicer(script: str, first: str = "", module: Path = MODULE) -> None:
    """Run `script` with `slicer` and `panel`, without PYTHONPATH: the module finds its packages by itself."""
    lines = f"""
import sys
sys.path[:0] = [{str(ROOT / "Testing")!r}]
{first}
from host import start
slicer = start()
slicer.loadModule({str(module)!r})
panel = slicer.util.getModuleWidget("MRINRSuperRes")
panel.parent.enter()
{textwrap.dedent(script)}
"""
    done = subprocess.run(
        [sys.executable, "-c", lines],
        cwd=ROOT.parent,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_module_loads_where_torch_simpleitk_and_nibabel_are_missing():
    run_in_a_fresh_slicer(
        """
        assert "PyTorch is not installed" in panel.ui.deviceLabel.text
        panel.ui.applyButton.enabled = True
        panel.ui.applyButton.click()
        assert "install the extension 'PyTorch'" in panel.ui.messageLabel.text
        stack = sys.modules["MRINRSuperRes"].MRINRSuperResTest().phantom(2, "T1 axial")
        try:
            panel.logic.reconstruct([stack])
        except ValueError as error:
            assert "PyTorch is needed" in str(error)
        else:
            raise AssertionError("a script was not told")
        """,
        first="for name in ('torch', 'SimpleITK', 'nibabel', 'safetensors'): sys.modules[name] = None",
    )


def test_it_works_as_installed_in_one_folder_whose_name_is_not_ascii(tmp_path):
    folder = tmp_path / "Bibliothèque de Slicer" / "qt-scripted-modules"
    ignore = shutil.ignore_patterns("__pycache__")
    for package in ("mrinr", "MRINRLib"):
        shutil.copytree(ROOT / package, folder / package, ignore=ignore)
    shutil.copytree(ROOT / "MRINRSuperRes" / "Resources", folder / "Resources")
    shutil.copy(MODULE, folder)
    run_in_a_fresh_slicer(
        f"""
        import MRINRLib, mrinr
        assert mrinr.__file__.startswith({str(folder)!r}) and MRINRLib.__file__.startswith({str(folder)!r})
        stack = sys.modules["MRINRSuperRes"].MRINRSuperResTest().phantom(2, "T1 axial")
        found = panel.logic.reconstruct([stack], method="cubic")
        assert [node.GetName() for node in found] == ["T1 axial SR"]
        """,
        module=folder / "MRINRSuperRes.py",
    )


def test_reloading_the_module_loads_the_shared_packages_anew():
    run_in_a_fresh_slicer(
        """
        old = sys.modules["MRINRLib.study"]
        panel.onReload()
        fresh = slicer.util.getModuleWidget("MRINRSuperRes")
        assert fresh is not panel and sys.modules["MRINRLib.study"] is not old
        fresh.enter()
        fresh.ui.fillButton.click()
        assert fresh.ui.messageLabel.text
        """
    )


def test_a_duplicate_name_is_no_duplicate_stack():
    from MRINRLib import study
    from MRINRLib.superres_job import uniqueNames

    rows = [study.choiceFor(load("T1")), study.choiceFor(load("T1"))]
    assert uniqueNames(rows) == ["T1", "T1 (2)"]
    with pytest.raises(InputError, match="T1 was given twice"):
        uniqueNames([rows[0], rows[0]])


def test_a_handler_that_runs_an_event_loop_keeps_the_order_of_events():
    from MRINRLib import engine

    stack = head_stack("T1", "axial", shape=(32, 32, 32))
    seen = []

    def handler(event):
        seen.append(event.kind)
        engine.shared().poll()  # as a message box would, through the timer

    job = engine.shared().submit(
        "superres", {"stack0": stack.volume}, {"contrasts": ["T1"], "method": "cubic"}, handler
    )
    engine.shared().wait(job)
    assert seen[0] == "started" and seen[-1] == "result" and seen.count("result") == 1
    engine.closeShared()


def test_sample_data_are_simulated_and_fill_the_study():
    import SampleData

    slicer.loadModule(ROOT / "MRINRSuperRes" / "MRINRSuperRes.py")
    source = SampleData.SampleDataLogic.registered["MRINR"][-1]
    nodes = source["customDownloader"](source)
    assert [node.GetName() for node in nodes] == ["T1 axial (simulated)", "T2 coronal (simulated)"]
    assert filled() == [
        ("T1 axial (simulated)", "T1", "axial", 4.0),
        ("T2 coronal (simulated)", "T2", "coronal", 4.0),
    ]
    from MRINRLib import engine

    engine.closeShared()
