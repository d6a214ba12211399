"""ContrastCRL while its sliders are dragged: the live view in a real scene, with a real worker process."""

# ruff: noqa: F811  (fixtures that are imported)

from __future__ import annotations

import os
import re
import signal

import numpy as np
import psutil
import pytest
from slicer_session import slicer, wait_until

pytest.importorskip("torch")

from contrast_panel import (  # noqa: F401  (fixtures)
    affine_of,
    composite,
    fill,
    fluid,
    image_in,
    live,
    marked,
    module,
    panel,
    picture,
    settle,
    shelf,
)
from small_contrast import T2

from mrinr.contrast.parameters import times


def test_sliders_boxes_presets_and_nulls_say_the_same(panel):
    ui = panel.ui
    ui.contrastSection.findChild(type(ui.applyButton), "presetFLAIR").click()
    assert (ui.TRBox.value, ui.TEBox.value, ui.TIBox.value) == (9000, 120, 2350)
    ui.TISlider.setValue(0)
    assert ui.TIBox.value == 0 and panel._parameterNode.TI == 0
    ui.TRSlider.setValue(1000)
    assert ui.TRBox.value == 10000
    ui.TEBox.setValue(8)
    assert ui.TESlider.value == 0
    ui.nullBox.currentIndex = 1
    ui.nullBox.activated.emit(1)
    assert ui.TIBox.value == pytest.approx(4000 * np.log(2 / (1 + np.exp(-(10000 - 16) / 4000))), abs=1)
    ui.TIBox.setValue(9990)
    assert "do not fit into TR" in ui.boxLabel.text and not ui.applyButton.enabled
    ui.TIBox.setValue(0)
    ui.TEBox.setValue(400)
    assert "TE 400 ms of the target lies outside" in ui.boxLabel.text
    for position in range(0, 1001, 50):  # what a hand does comes back to where it is
        ui.TRSlider.setValue(position)
        assert abs(ui.TRSlider.value - position) <= 1


def test_dragging_a_slider_changes_what_the_views_show(panel, tmp_path):
    fill(panel)
    ui = panel.ui
    ui.contrastSection.findChild(type(ui.applyButton), "presetT2").click()
    live(panel)
    settle(panel)
    bright = fluid(image_in("Red"))
    assert all(marked(view) for view in ("Red", "Green", "Yellow"))
    assert composite("Red").GetForegroundVolumeID() != composite("Green").GetForegroundVolumeID()
    for name, value in (("TR", 9000), ("TE", 120)):
        getattr(ui, f"{name}Box").setValue(value)
    before = panel._live.shown
    for position in range(600, 905, 5):  # a hand that moves TI up to the null of fluid
        ui.TISlider.setValue(position)
        slicer.app.processEvents()
    ui.TIBox.setValue(2350)
    settle(panel)
    assert fluid(image_in("Red")) < 0.4 * bright
    assert fluid(image_in("Green")) < 0.4 * bright
    assert panel._live.shown - before < 64  # most moves were overtaken and never decoded
    assert ui.liveLabel.text == "TR 9000, TE 120, TI 2350 ms"
    picture(panel, "1_live", tmp_path)

    ui.fadeSlider.setValue(40)
    assert composite("Red").GetForegroundOpacity() == pytest.approx(0.4)
    shown = image_in("Red")
    ui.liveUncertaintyBox.click()
    assert composite("Red").GetBackgroundVolumeID() == shown.GetID() and marked("Red")
    assert composite("Red").GetForegroundOpacity() == pytest.approx(0.6)
    sure, unsure = np.percentile(slicer.util.arrayFromVolume(image_in("Red")), [5, 95])
    assert 0 <= sure < unsure and not ui.fadeSlider.enabled
    ui.TEBox.setValue(60)
    settle(panel)
    assert np.percentile(slicer.util.arrayFromVolume(image_in("Red")), 95) != unsure  # it follows the sliders
    picture(panel, "1_uncertainty", tmp_path)
    ui.liveUncertaintyBox.click()
    assert image_in("Red") is shown
    ui.besideBox.click()
    wait_until(lambda: image_in("Red+") is not None and panel._live._running is None, "the lower row")
    assert marked("Red+") and not marked("Red")
    assert composite("Red+").GetForegroundOpacity() == 1
    fields = [slicer.app.layoutManager().sliceWidget(view).mrmlSliceNode().GetFieldOfView()[:2]
              for view in ("Red", "Red+")]  # fmt: skip
    assert fields[0] == pytest.approx(fields[1])
    picture(panel, "2_beside", tmp_path)
    ui.besideBox.click()
    settle(panel)
    ui.liveButton.click()
    assert not panel._live.isOn and image_in("Red") is None and not marked("Red")
    names = [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")]
    assert names == ["T2 head"]


def test_the_value_under_the_mouse_is_that_of_the_live_image(panel):
    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode") or slicer.mrmlScene.AddNode(
        slicer.vtkMRMLCrosshairNode()
    )
    fill(panel)
    live(panel)
    settle(panel)
    image = image_in("Red")
    level = affine_of(image)[2, 3]  # the mouse is in the plane that the view shows
    crosshair.SetCursorPositionRAS([8, 0, level])
    value, half = (float(text) for text in re.findall(r"[\d.]+(?= [±(])", panel.ui.cursorLabel.text))
    i, j, _k, _one = np.rint(np.linalg.inv(affine_of(image)) @ (8, 0, level, 1)).astype(int)
    assert value == pytest.approx(slicer.util.arrayFromVolume(image)[0, j, i], rel=1e-3)
    assert half > 0
    crosshair.SetCursorPositionRAS([8, 0, 500])
    assert panel.ui.cursorLabel.text == "Under the mouse: no live image"
    crosshair.SetCursorPositionRAS([8, 0, level])
    panel.ui.liveButton.click()
    assert not panel.ui.cursorLabel.visible
    before = panel.ui.cursorLabel.text
    crosshair.SetCursorPositionRAS([9, 0, level])
    assert panel.ui.cursorLabel.text == before


def test_the_live_view_follows_the_slice_views(panel):
    node = fill(panel)
    live(panel)
    settle(panel)
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    red.JumpSliceByOffsetting(0, 0, 10)
    settle(panel)
    assert affine_of(image_in("Red"))[2, 3] == pytest.approx(10, abs=0.01)
    tilted = np.eye(4)
    a = np.deg2rad(20)
    tilted[:3, :3] = [[-1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]
    red.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(tilted))
    red.UpdateMatrices()
    settle(panel)
    shown = affine_of(image_in("Red"))
    np.testing.assert_allclose(shown[:3, 2], tilted[:3, 2], atol=1e-6)
    assert slicer.util.arrayFromVolume(image_in("Red")).max() > 0
    slicer.mrmlScene.RemoveNode(node)
    assert not panel._live.isOn and not panel.ui.liveButton.checked


def test_other_scans_are_encoded_anew(panel):
    fill(panel)
    live(panel)
    settle(panel)
    key = panel._live._key
    panel.ui.sourcesTable.cellWidget(0, 2).setValue(90)
    settle(panel)
    assert panel._live.isOn and panel._live._key != key


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_worker_costs_another_encoding_and_nothing_else(panel):
    fill(panel)
    live(panel)
    settle(panel)
    for child in psutil.Process().children(recursive=True):
        if "mrinr.engine.worker" in " ".join(child.cmdline()):
            os.kill(child.pid, signal.SIGKILL)
    before = panel._live.shown
    panel.ui.TEBox.setValue(50)
    wait_until(lambda: panel._live.shown > before or not panel._live.isOn, "the picture")
    assert panel._live.isOn and panel.ui.liveLabel.text.startswith("TR 2000, TE 50")


def test_the_reference_says_which_scan_would_add_most(panel, monkeypatch):
    from MRINRLib import contrast_reference

    monkeypatch.setattr(contrast_reference, "REFERENCE", "small_contrast:reference")

    report = {"alone": 19.2, "adding": {"T1": 21.0, "T1-FLAIR": 27.4, "FLAIR": 22.0}}
    text = contrast_reference.sentence([times(T2)], (2479, 9.62, 1055), report)
    assert text == (
        "From T2 alone, voxel by voxel, CRL 1 is known to about 19 dB; adding a T1-FLAIR scan would give 27."
    )
    fill(panel)
    panel.ui.referenceButton.click()
    wait_until(lambda: "dB" in panel.ui.referenceLabel.text, "the reference")
    assert panel.ui.referenceLabel.text.startswith(
        "From T2 alone, voxel by voxel, T1-FLAIR is known to about"
    )
    panel.ui.TEBox.setValue(30)
    assert panel.ui.referenceLabel.text == ""
