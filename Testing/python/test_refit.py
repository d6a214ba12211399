"""A fitted representation stays with the scene: other voxels without fitting again, and "Refit needed"."""

from __future__ import annotations

import shutil

import many
import numpy as np
import pytest
from slicer_session import slicer, wait_until
from test_slicer_export import manage_data
from test_superres_module import is_error, is_idle, load, module, panel, picture  # noqa: F401  (fixtures)

from mrinr.superres import irem


@pytest.fixture
def fitted(panel):  # noqa: F811
    """T1 and T2, each with a result of a network: the panel's, after Apply."""
    load("T1", "axial", size=24), load("T2", "coronal", size=24)
    for row in panel.ui.addSelector._nodes[:2]:
        panel.ui.addSelector.setCurrentNode(row)
        panel.ui.addButton.click()
    panel._parameterNode.method = "irem"
    panel._parameterNode.register = False
    panel.ui.applyButton.click()
    wait_until(lambda: is_idle(panel), "the fit")
    assert not is_error(panel), panel.ui.messageLabel.text
    return panel


@pytest.fixture(autouse=True, scope="module")
def few_epochs(module):  # noqa: F811
    """The worker reads how long it fits from the request; a person cannot choose it."""
    from MRINRLib import superres_job

    changed = pytest.MonkeyPatch()
    real = superres_job.Request.parameters
    changed.setattr(
        superres_job.Request,
        "parameters",
        lambda self: {**real(self), "epochs": 3, "features": 32, "width": 24, "learning_rate": 1e-2},
    )
    yield
    changed.undo()
    assert irem.EPOCHS > 3


def resample(panel, spacing: float):  # noqa: F811
    panel.ui.resampleBox.value = spacing
    panel.ui.resampleButton.click()
    wait_until(lambda: is_idle(panel), "the other voxels")
    assert not is_error(panel), panel.ui.messageLabel.text
    return panel._parameterNode.results[-1]


def test_other_voxels_come_without_another_fit(fitted, tmp_path):
    assert fitted.ui.resampleButton.enabled and fitted.ui.resampleButton.text == "Resample"
    finer = resample(fitted, 0.8)
    source = slicer.util.getNode("T1 axial SR")
    assert finer.GetName() == "T1 axial SR 0.8 mm" and finer.GetSpacing() == pytest.approx((0.8,) * 3)
    assert source in [finer.GetNthNodeReference("MRINR.source", n) for n in range(3)]
    assert finer.GetAttribute("MRINR.method") == "irem" and many.above(finer) == many.above(source)
    same = resample(fitted, source.GetSpacing()[0])
    a, b = slicer.util.arrayFromVolume(same), slicer.util.arrayFromVolume(source)
    assert np.allclose(a, b, atol=1e-3 * b.max())
    fitted.ui.resultBox.currentIndex = 0
    fitted._results._onChosen()
    picture(fitted, "10_refit", tmp_path)


def test_it_comes_back_with_a_saved_scene(fitted, tmp_path):
    before = slicer.util.arrayFromVolume(resample(fitted, 0.8)).copy()
    path = str(tmp_path / "scene.mrb")
    assert slicer.mrmlScene.WriteToMRB(path)
    slicer.mrmlScene.Clear()
    manage_data(slicer.mrmlScene, tmp_path)
    assert slicer.mrmlScene.ReadFromMRB(path)
    fitted.setParameterNode(fitted.logic.getParameterNode())
    after = fitted.logic.resample(slicer.util.getNode("T1 axial SR"), 0.8)
    assert np.allclose(slicer.util.arrayFromVolume(after), before, atol=1e-3 * before.max())
    assert fitted.ui.resampleButton.enabled


def test_where_it_is_gone_a_refit_is_needed(fitted, tmp_path):
    slicer.mrmlScene.RemoveNode(slicer.util.getNode("*fitted representation"))
    assert not fitted.ui.resampleButton.enabled and fitted.ui.resampleButton.text == "Refit needed"
    assert "press Apply again" in fitted.ui.resampleButton.toolTip
    picture(fitted, "11_refit_needed", tmp_path)
    with pytest.raises(ValueError, match="Refit needed"):
        fitted.logic.resample(slicer.util.getNode("T1 axial SR"), 1.0)
    assert fitted.ui.applyButton.enabled


def test_where_its_file_was_lost_a_refit_is_needed(fitted, tmp_path):
    folder = tmp_path / "bundle"
    folder.mkdir()
    assert slicer.mrmlScene.SaveSceneToSlicerDataBundleDirectory(str(folder), None)
    lost = list(folder.rglob("*fitted representation*"))
    assert len(lost) == 1
    lost[0].unlink()
    slicer.mrmlScene.Clear()
    scene = next(folder.rglob("*.mrml"))
    slicer.mrmlScene.SetURL(str(scene))
    slicer.mrmlScene.Import()
    fitted.setParameterNode(fitted.logic.getParameterNode())
    assert fitted.ui.resampleButton.text == "Refit needed"
    shutil.rmtree(folder)


def test_text_that_somebody_changed_is_a_sentence_and_no_crash(fitted):
    slicer.util.getNode("*fitted representation").SetText("AAAA")
    fitted.ui.resampleButton.click()
    wait_until(lambda: is_idle(fitted), "the failure")
    assert is_error(fitted) and "Refit needed" in fitted.ui.messageLabel.text


def test_frames_do_not_offer_a_fit_that_is_gone(panel):  # noqa: F811
    browser, t1 = many.sequence(load("T1", "axial", size=24), (1.0, 2.0))
    logic = slicer.util.getModuleLogic("MRINRSuperRes")
    (result,) = logic.reconstruct([t1], method="irem", register="off", everyFrame=True)
    kept = browser.GetSequenceNode(result)
    browser.SetSelectedItemNumber(1)
    for node in (result, kept, kept.GetNthDataNode(0), kept.GetNthDataNode(1)):
        assert node.GetAttribute("MRINR.method") == "irem"
        assert node.GetAttribute("MRINR.continuous") is None
