"""MRINRSuperRes as a person uses it: its panel and .ui file, a real MRML scene, a real worker process."""

from __future__ import annotations

import json
import os
import signal
import sys
import unittest

import numpy as np
import psutil
import pytest
from phantoms import head_stack
from PIL import Image
from slicer_session import ROOT, screenshot, shown, slicer, wait_until

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def module():
    slicer.mrmlScene.Clear()
    yield slicer.loadModule(ROOT / "MRINRSuperRes" / "MRINRSuperRes.py")
    from MRINRLib import engine

    engine.closeShared()


@pytest.fixture
def panel(module):
    with shown(module, "MRINRSuperRes", 900) as widget:
        yield widget


def load(contrast: str, orientation: str, name: str | None = None, size: int = 32, seed: int = 0):
    """A volume node with a thick-slice stack of the head phantom."""
    volume = head_stack(contrast, orientation, shape=(size, size, size), seed=seed).volume
    node = slicer.util.addVolumeFromArray(
        np.ascontiguousarray(volume.voxels.transpose(2, 1, 0)),
        volume.affine,
        name or f"{contrast} {orientation}",
    )
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevel(240, 120)
    return node


def load_pair(size: int = 32):
    return load("T1", "axial", size=size), load("T2", "coronal", size=size)


def apply(panel, method: str = "tv") -> None:
    panel._parameterNode.method = method
    panel._parameterNode.register = False
    assert panel.ui.applyButton.enabled, panel.ui.applyButton.toolTip
    panel.ui.applyButton.click()


def is_idle(panel) -> bool:
    return panel._job is None


def is_error(panel) -> bool:
    return bool(panel.ui.messageLabel.text) and panel.ui.messageLabel.font.bold()


def picture(panel, name: str, tmp_path) -> None:
    slicer.app.processEvents()
    assert panel.parent.grab().save(screenshot(f"superres_{name}_panel", tmp_path))
    views = screenshot(f"superres_{name}_views", tmp_path)
    slicer.app.layoutManager().save(views)
    assert np.asarray(Image.open(views).convert("L")).std() > 5


def worker_pids() -> list[int]:
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "mrinr.engine.worker" in " ".join(child.cmdline()):
                found.append(child.pid)
        except psutil.Error:
            continue
    return found


def test_an_empty_scene_says_what_to_do_first(panel):
    assert not panel.ui.applyButton.enabled
    assert "Fill from study" in panel.ui.applyButton.toolTip
    panel.ui.fillButton.click()
    assert "load the stacks" in panel.ui.messageLabel.text


def test_fill_from_study_apply_and_compare(panel, tmp_path):
    t1, _t2 = load_pair(size=48)
    slicer.util.setSliceViewerLayers(background=t1, fit=True)
    panel.ui.fillButton.click()
    assert [row.contrast for row in panel._table.rows] == ["T1", "T2"]
    assert [row.orientation for row in panel._table.rows] == ["axial", "coronal"]
    assert "48 x 48 x 48" in panel.ui.estimateLabel.text
    picture(panel, "1_filled", tmp_path)

    previews = []
    apply(panel)
    assert panel.ui.applyButton.text == "Cancel" and panel.ui.progressBar.visible
    wait_until(
        lambda: panel._preview is None or panel._preview._node or is_idle(panel), "a preview or the end"
    )
    if not is_idle(panel):
        previews.append(panel._preview._node)
        picture(panel, "2_working", tmp_path)
    wait_until(lambda: is_idle(panel), "the result")
    assert not is_error(panel), panel.ui.messageLabel.text
    results = [slicer.util.getNode("T1 axial SR"), slicer.util.getNode("T2 coronal SR")]
    assert panel.ui.applyButton.text == "Apply" and panel.ui.applyButton.enabled
    assert "Self-check" in panel.ui.selfCheckLabel.text
    for node in previews:
        assert node.GetScene() is None  # nothing of the preview is left

    for node, contrast in zip(results, ("T1", "T2"), strict=True):
        assert node.GetImageData().GetDimensions() == (48, 48, 48)
        assert node.GetAttribute("MRINR.method") == "tv"
        assert node.GetAttribute("MRINR.contrast") == contrast
        assert json.loads(node.GetAttribute("MRINR.sourceNames")) == ["T1 axial", "T2 coronal"]
        assert node.GetDisplayNode().GetWindow() == 240 and node.GetDisplayNode().GetLevel() == 120
    shown = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert shown.GetBackgroundVolumeID() == results[0].GetID()
    picture(panel, "3_result", tmp_path)

    layout = slicer.app.layoutManager().layout
    panel.ui.compareButton.click()
    upper = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    lower = slicer.app.layoutManager().sliceWidget("Red+").mrmlSliceCompositeNode()
    assert upper.GetBackgroundVolumeID() == t1.GetID() and upper.GetForegroundOpacity() == 0
    assert lower.GetForegroundVolumeID() == results[0].GetID()
    assert not t1.GetDisplayNode().GetInterpolate()
    picture(panel, "4_compare", tmp_path)
    panel.ui.scannerButton.click()
    assert slicer.mrmlScene.GetNodeByID(upper.GetForegroundVolumeID()).GetName() == "T1 axial SR re-sliced"
    picture(panel, "5_scanner", tmp_path)
    panel.ui.compareButton.click()
    assert slicer.app.layoutManager().layout == layout
    assert t1.GetDisplayNode().GetInterpolate()


def test_the_result_lies_beside_its_input_in_the_subject_hierarchy(panel):
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    for node in load_pair():
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), study)
    panel.ui.fillButton.click()
    apply(panel)
    wait_until(lambda: is_idle(panel), "the result")
    result = slicer.util.getNode("T1 axial SR")
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(result)) == study
    details = hierarchy.GetItemParent(
        hierarchy.GetItemByDataNode(slicer.util.getNode("T1 axial SR residual"))
    )
    assert hierarchy.GetItemParent(details) == study


def test_parameters_live_in_the_scene(panel, tmp_path):
    load_pair()
    panel.ui.fillButton.click()
    panel.ui.spacingModeBox.setCurrentIndex(1)
    panel.ui.spacingBox.value = 2.0
    panel.ui.stacksTable.cellWidget(1, 3).value = 3.0
    assert panel._parameterNode.spacing == 2.0
    path = str(tmp_path / "scene.mrb.mrml")
    slicer.mrmlScene.SetURL(path)
    slicer.mrmlScene.SetRootDirectory(str(tmp_path))
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        storage = slicer.vtkMRMLNRRDStorageNode()
        slicer.mrmlScene.AddNode(storage)
        storage.SetFileName(str(tmp_path / f"{node.GetID()}.nrrd"))
        storage.WriteData(node)
        node.SetAndObserveStorageNodeID(storage.GetID())
    assert slicer.mrmlScene.Commit(path)
    slicer.mrmlScene.Clear()
    assert panel._table.rows == []
    slicer.mrmlScene.SetURL(path)
    assert slicer.mrmlScene.Import()
    assert panel._parameterNode.spacing == 2.0 and panel.ui.spacingBox.value == 2.0
    rows = panel._table.rows
    assert [row.node.GetName() for row in rows] == ["T1 axial", "T2 coronal"]
    assert [row.thickness for row in rows] == [4.0, 3.0]


def test_a_removed_volume_leaves_the_table(panel):
    t1, _t2 = load_pair()
    panel.ui.fillButton.click()
    slicer.mrmlScene.RemoveNode(t1)
    assert [row.node.GetName() for row in panel._table.rows] == ["T2 coronal"]
    assert panel.ui.stacksTable.rowCount == 1


def test_rows_can_be_added_edited_and_removed(panel):
    t1, t2 = load_pair()
    for node in (t1, t2):
        panel.ui.addSelector.setCurrentNode(node)
        panel.ui.addButton.click()
    assert panel.ui.addSelector.currentNode() is None
    box = panel.ui.stacksTable.cellWidget(0, 1)
    box.lineEdit().setText("FLAIR")
    box.lineEdit().editingFinished.emit()
    assert list(panel._parameterNode.contrasts) == ["FLAIR", "T2"]
    panel.ui.stacksTable.cellWidget(1, 4).click()
    wait_until(lambda: panel.ui.stacksTable.rowCount == 1, "the row to go")
    assert list(panel._parameterNode.stacks) == [t1]


def test_apply_says_why_it_cannot_work(panel):
    t1, _t2 = load_pair()
    panel.ui.addSelector.setCurrentNode(t1)
    panel.ui.addButton.click()
    panel._parameterNode.spacingMode = "like volume"
    assert not panel.ui.applyButton.enabled
    assert "whose voxels" in panel.ui.applyButton.toolTip
    panel._parameterNode.spacingMode = "custom"
    panel._parameterNode.spacing = 0.05
    assert "GB" in panel.ui.applyButton.toolTip and not panel.ui.applyButton.enabled
    panel._parameterNode.spacingMode = "auto"
    assert panel.ui.applyButton.enabled
    panel.ui.addSelector.setCurrentNode(t1)
    panel.ui.addButton.click()
    assert "twice" in panel.ui.applyButton.toolTip
    setattr(panel._parameterNode, "stacks", [t1])  # noqa: B010
    assert panel.ui.applyButton.enabled


def test_learned_priors_can_be_kept_out(panel):
    load_pair()
    panel.ui.fillButton.click()
    assert panel.ui.priorBox.checked
    panel._parameterNode.method = "prior"
    assert panel.ui.applyButton.enabled
    panel.ui.priorBox.checked = False
    assert not panel.ui.applyButton.enabled and "learned" in panel.ui.applyButton.toolTip
    panel._parameterNode.method = "auto"
    assert panel.ui.applyButton.enabled


def test_a_result_says_which_prior_took_part_and_what_it_moved(module):
    from MRINRLib import provenance

    slicer.mrmlScene.Clear()
    t1, _t2 = load_pair()
    logic = slicer.util.getModuleLogic("MRINRSuperRes")
    job = logic.start([t1], method="prior", register="off")
    (learned,) = job.wait()
    assert provenance.parameters(learned)["prior"]["model"] == "sr-prior"
    moved = job.moved["T1"]
    assert moved.GetName() == "T1 axial SR moved by the prior"
    assert np.abs(slicer.util.arrayFromVolume(moved)).max() > 0
    (alone,) = logic.reconstruct([t1], method="tv", register="off")
    assert provenance.parameters(alone)["prior"] == "none"


def test_a_region_of_interest_starts_around_the_stack_and_limits_the_result(panel):
    load_pair()
    panel.ui.fillButton.click()
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    panel._parameterNode.roi = roi
    panel._onRoiAdded(roi)
    assert roi.GetDisplayNode().GetVisibility() and not roi.GetDisplayNode().GetFillVisibility()
    assert "32 x 32 x 32" in panel.ui.estimateLabel.text
    roi.SetSize(16, 16, 32)
    assert "16 x 16 x 32" in panel.ui.estimateLabel.text
    apply(panel)
    wait_until(lambda: is_idle(panel), "the result")
    assert slicer.util.getNode("T1 axial SR").GetImageData().GetDimensions() == (16, 16, 32)


def test_cancel_leaves_nothing_behind_and_the_next_apply_works(panel):
    load_pair(size=64)
    panel.ui.fillButton.click()
    before = slicer.mrmlScene.GetNumberOfNodes()
    panel._parameterNode.spacingMode = "custom"
    panel._parameterNode.spacing = 0.5
    apply(panel)
    wait_until(lambda: panel.ui.progressBar.value > 0, "progress")
    panel.ui.applyButton.click()
    wait_until(lambda: is_idle(panel), "the job to stop")
    assert "Cancelled" in panel.ui.messageLabel.text
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    panel._parameterNode.spacing = 2.0
    apply(panel)
    wait_until(lambda: is_idle(panel), "the result")
    assert slicer.util.getNode("T1 axial SR") is not None


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_worker_is_reported_in_a_sentence_and_the_next_apply_works(panel, tmp_path):
    load_pair(size=64)
    panel.ui.fillButton.click()
    panel._parameterNode.spacingMode = "custom"
    panel._parameterNode.spacing = 0.5
    apply(panel)
    wait_until(lambda: panel.ui.progressBar.value > 0, "progress")
    for pid in worker_pids():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: is_idle(panel), "the failure")
    assert is_error(panel) and "stopped unexpectedly" in panel.ui.messageLabel.text
    assert panel.ui.applyButton.enabled and panel.ui.applyButton.text == "Apply"
    assert panel.parent.grab().save(screenshot("superres_6_killed_panel", tmp_path))
    panel._parameterNode.spacing = 2.0
    apply(panel)
    wait_until(lambda: is_idle(panel), "the result")
    assert slicer.util.getNode("T1 axial SR") is not None
    assert not is_error(panel), panel.ui.messageLabel.text


def test_closing_the_scene_stops_the_job(panel):
    load_pair(size=64)
    panel.ui.fillButton.click()
    panel._parameterNode.spacingMode = "custom"
    panel._parameterNode.spacing = 0.5
    apply(panel)
    wait_until(lambda: panel.ui.progressBar.value > 0, "progress")
    slicer.mrmlScene.Clear()
    assert is_idle(panel) and panel.ui.applyButton.text == "Apply"
    assert not panel.ui.applyButton.enabled
    load_pair()  # while the first job is still being cancelled
    panel.ui.fillButton.click()
    apply(panel)
    wait_until(lambda: is_idle(panel), "the result of the second job")
    assert slicer.util.getNode("T1 axial SR") is not None


def test_the_console_reconstructs_and_returns_nodes(module):
    slicer.mrmlScene.Clear()
    t1, t2 = load_pair()
    logic = slicer.util.getModuleLogic("MRINRSuperRes")
    seen = []
    nodes = logic.reconstruct([t1, t2], method="tv", register="off", onProgress=lambda *a: seen.append(a))
    assert [node.GetName() for node in nodes] == ["T1 axial SR", "T2 coronal SR"]
    assert seen and 0 <= seen[0][0] <= 1


def test_the_console_starts_and_cancels(module):
    slicer.mrmlScene.Clear()
    t1, t2 = load_pair(size=64)
    logic = slicer.util.getModuleLogic("MRINRSuperRes")
    finished = []
    job = logic.start([t1, t2], method="tv", spacing=0.5, onFinished=finished.append)
    wait_until(lambda: job.state == "running", "the start")
    job.cancel()
    wait_until(lambda: finished, "the end")
    assert finished == [[]] and job.state == "cancelled" and job.error is None


def test_the_console_gets_one_sentence_for_bad_input(module):
    slicer.mrmlScene.Clear()
    t1, _t2 = load_pair()
    logic = slicer.util.getModuleLogic("MRINRSuperRes")
    with pytest.raises(ValueError, match="at least one"):
        logic.reconstruct([])
    with pytest.raises(ValueError, match="twice"):
        logic.reconstruct([t1, t1])
    with pytest.raises(ValueError, match="holds no voxels"):
        logic.reconstruct([slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")])
    with pytest.raises(ValueError, match="nonsense"):
        logic.reconstruct([t1], method="nonsense")
    for wrong in (None, "T1 axial", 3, slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")):
        with pytest.raises(ValueError, match="is not a volume"):
            logic.reconstruct([wrong])
    with pytest.raises(ValueError, match="as a list"):
        logic.reconstruct(t1)
    with pytest.raises(ValueError, match="label map"):
        labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
        slicer.util.updateVolumeFromArray(labels, np.zeros((12, 32, 32), np.int16))
        logic.reconstruct([labels])
    with pytest.raises(ValueError, match="not a region of interest"):
        logic.reconstruct([t1], roi=t1)


def test_the_job_keeps_residuals_coverage_and_report(module):
    slicer.mrmlScene.Clear()
    t1, t2 = load_pair()
    logic = slicer.util.getModuleLogic("MRINRSuperRes")
    job = logic.start([t1, t2], method="cubic", register="off")
    assert [node.GetName() for node in job.wait()] == ["T1 axial SR", "T2 coronal SR"]
    assert {name: node.GetName() for name, node in job.residuals.items()} == {
        "T1": "T1 axial SR residual",
        "T2": "T2 coronal SR residual",
    }
    shown = job.coverage["T1"].GetDisplayNode()
    assert job.coverage["T1"].GetName() == "T1 axial SR coverage" and shown.GetWindow() > 0
    assert len(job.rescans) == 2 and job.report["method"] == "cubic" and job.error is None


def test_the_modules_own_test_passes(module):
    sys.modules["MRINRSuperRes"].MRINRSuperResTest().runTest()
    slicer.mrmlScene.Clear()


def test_the_test_that_runs_inside_slicer_passes_here_too(module, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "MRINRSuperRes" / "Testing" / "Python"))
    suite = unittest.defaultTestLoader.loadTestsFromName("MRINRSuperResPanelTest")
    result = unittest.TestResult()
    suite.run(result)
    assert result.testsRun == 4 and not result.failures + result.errors, result.failures + result.errors
    slicer.mrmlScene.Clear()
