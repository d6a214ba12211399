"""Volume sequences in MRINRSuperRes: every frame, one after another, into a sequence of the same browser."""

from __future__ import annotations

import errno

import many
import numpy as np
import pytest
from slicer_session import slicer, wait_until
from test_superres_module import is_error, is_idle, load, module, panel, picture  # noqa: F401  (fixtures)

from mrinr.engine import EngineError
from MRINRLib import frames

FACTORS = (1.0, 0.5, 2.0)


def moving():
    """T1 as a sequence of three frames of different brightness, T2 as one volume; browser and both."""
    browser, t1 = many.sequence(load("T1", "axial"), FACTORS)
    return browser, t1, load("T2", "coronal")


def fill(panel) -> None:  # noqa: F811
    panel.ui.fillButton.click()
    panel._parameterNode.method = "cubic"
    panel._parameterNode.register = False


def test_every_frame_is_reconstructed_into_the_same_browser(panel, tmp_path):  # noqa: F811
    browser, t1, _t2 = moving()
    browser.SetSelectedItemNumber(1)
    fill(panel)
    assert panel.ui.everyFrameBox.visible and panel.ui.everyFrameBox.checked
    assert panel.ui.everyFrameBox.text == "Every frame of the sequence (3)"
    picture(panel, "8_sequence", tmp_path)
    texts = []
    panel.ui.applyButton.click()
    wait_until(lambda: texts.append(panel.ui.progressLabel.text) or is_idle(panel), "every frame")
    assert not is_error(panel), panel.ui.messageLabel.text
    assert any(text.startswith("Frame 3 of 3") for text in texts)
    assert browser.GetSelectedItemNumber() == 1  # what the window shows has not moved
    result = slicer.util.getNode("T1 axial SR")
    made = many.frames(browser, result)
    assert list(made) == list(many.frames(browser, t1)) == ["0", "2.5", "5"]
    single = slicer.util.getModuleLogic("MRINRSuperRes").reconstruct([t1], method="cubic", register="off")
    for factor, voxels in zip(FACTORS, made.values(), strict=True):
        assert voxels.shape == (32, 32, 32)
        assert np.allclose(
            voxels, slicer.util.arrayFromVolume(single[0]) * factor / FACTORS[1], rtol=1e-3, atol=0.5
        )
    still = many.frames(browser, slicer.util.getNode("T2 coronal SR"))
    assert np.allclose(still["0"], still["5"], atol=1e-3)
    assert result.GetAttribute("MRINR.method") == "cubic" and result in list(panel._parameterNode.results)
    assert browser.GetSequenceNode(result).GetNthDataNode(2).GetAttribute("MRINR.selfCheck")
    browser.SetSelectedItemNumber(2)
    assert np.allclose(slicer.util.arrayFromVolume(result), made["5"])
    assert result.GetDisplayNode().GetWindow() == t1.GetDisplayNode().GetWindow()
    assert many.above(result) == many.above(t1)
    assert result.GetNodeReference("MRINR.reference") is t1
    panel.ui.scannerButton.click()  # what the scanner saw, of every frame, too
    upper = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    rescan = slicer.mrmlScene.GetNodeByID(upper.GetForegroundVolumeID())
    assert list(many.frames(browser, rescan)) == ["0", "2.5", "5"]
    picture(panel, "9_sequence_result", tmp_path)


def test_one_frame_is_reconstructed_where_that_is_chosen(panel):  # noqa: F811
    browser, _t1, _t2 = moving()
    fill(panel)
    panel.ui.everyFrameBox.checked = False
    panel.ui.applyButton.click()
    wait_until(lambda: is_idle(panel), "the result")
    assert browser.GetSequenceNode(slicer.util.getNode("T1 axial SR")) is None


def test_volumes_of_no_sequence_offer_no_frames(panel):  # noqa: F811
    load("T1", "axial")
    fill(panel)
    assert not panel.ui.everyFrameBox.visible


def test_a_frame_that_fails_is_named_and_nothing_is_left(panel):  # noqa: F811
    browser, t1, _t2 = moving()
    bad = browser.GetSequenceNode(t1).GetNthDataNode(1)
    slicer.util.updateVolumeFromArray(bad, np.full((8, 32, 32), np.nan))
    fill(panel)
    before = many.everything()
    panel.ui.applyButton.click()
    wait_until(lambda: is_idle(panel), "the failure")
    assert is_error(panel) and "Frame 2 of 3" in panel.ui.messageLabel.text
    assert many.everything() == before and browser.GetSelectedItemNumber() == 0


def test_cancel_and_closing_the_scene_leave_nothing_of_the_frames(panel):  # noqa: F811
    for end in ("cancel", "close"):
        slicer.mrmlScene.Clear()
        moving()
        fill(panel)
        before = many.everything()
        panel.ui.applyButton.click()
        job = panel._job
        wait_until(lambda: panel.ui.progressLabel.text.startswith("Frame 2"), "the second frame")
        if end == "cancel":
            panel.ui.applyButton.click()
            wait_until(lambda: is_idle(panel), "the end")
            assert "nothing was changed" in panel.ui.messageLabel.text
        else:
            slicer.mrmlScene.Clear()
            before = many.everything()
            wait_until(lambda job=job: job.done, "the end")
        assert many.everything() == before


def test_the_console_takes_every_frame_and_volumes_that_move_together(module):  # noqa: F811
    slicer.mrmlScene.Clear()
    browser, t1 = many.sequence(load("T1", "axial"), FACTORS)
    _browser, t2 = many.sequence(load("T2", "coronal"), FACTORS, browser)
    logic = slicer.util.getModuleLogic("MRINRSuperRes")
    first, second = logic.reconstruct([t1, t2], method="cubic", register="off", everyFrame=True)
    for node in (first, second):
        voxels = list(many.frames(browser, node).values())
        assert len(voxels) == 3
        for factor, each in zip(FACTORS, voxels, strict=True):
            assert each.mean() == pytest.approx(factor * voxels[0].mean(), rel=1e-3)
    slicer.mrmlScene.Clear()


def test_patients_with_sequences_get_sequences(panel):  # noqa: F811
    browser, t1 = many.sequence(load("T1", "axial"), FACTORS[:2])
    many.patient("Anna", t1)
    many.patient("Bert", load("T1", "axial"))
    fill(panel)
    panel.ui.allPatientsButton.click()
    wait_until(lambda: is_idle(panel), "everybody")
    anna, bert = panel._parameterNode.results
    assert len(many.frames(browser, anna)) == 2 and browser.GetSequenceNode(bert) is None
    assert many.above(anna) == many.above(t1)


def breaks(error: Exception):
    """The start of a job that cannot start for that reason."""

    def start(**_callbacks):
        raise error

    return start


def reconstruction(*inputs):
    """What starts a job for these volumes."""
    logic = slicer.util.getModuleLogic("MRINRSuperRes")
    return lambda **callbacks: logic.start(list(inputs), method="cubic", register="off", **callbacks)


def failed(job, before) -> str:
    """The one sentence with which every frame has failed; nothing is left."""
    wait_until(lambda: job.done, "the failure", 30)
    assert job.state == "failed" and job.results == [] and many.everything() == before
    with pytest.raises(EngineError) as error:
        job.wait()
    return str(error.value)


def test_a_frame_that_cannot_start_ends_every_frame_whatever_the_reason(panel, caplog):  # noqa: F811
    browser, t1, _t2 = moving()
    whole, short = reconstruction(t1), breaks(MemoryError())
    before, ended = many.everything(), []
    job = frames.FramesJob(
        browser,
        lambda **callbacks: (short if job.number else whole)(**callbacks),
        onFinished=ended.append,
    )
    assert "Frame 2 of 3: The computer ran out of memory" in failed(job, before)
    assert ended == [[]] and "Traceback" in caplog.text and browser.GetSelectedItemNumber() == 0


def test_frames_that_give_different_volumes_fail_and_nothing_is_left(panel):  # noqa: F811
    browser, t1, t2 = moving()
    before = many.everything()
    job = frames.FramesJob(
        browser, lambda **callbacks: reconstruction(*[t1, t2][: 1 + job.number])(**callbacks)
    )
    assert "Frame 2 of 3: An unexpected error stopped the work: ValueError" in failed(job, before)


def test_sequences_that_cannot_all_be_shown_are_taken_out_again(panel, monkeypatch):  # noqa: F811
    browser, t1, _t2 = moving()
    before = many.everything()

    def no_space(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    job = frames.FramesJob(browser, reconstruction(t1))
    monkeypatch.setattr(frames._Made, "refer", no_space)
    assert "No space is left on the disk" in failed(job, before)
    assert browser.GetNumberOfSynchronizedSequenceNodes(True) == 1
    browser.SetSelectedItemNumber(2)  # the browser still works
    assert slicer.util.arrayFromVolume(t1).max() > 0


def test_cancel_before_the_first_frame_ends_it_at_once(panel):  # noqa: F811
    browser, t1, _t2 = moving()
    before, ended = many.everything(), []
    job = frames.FramesJob(browser, reconstruction(t1), onFinished=ended.append)
    job.cancel()
    assert job.state == "cancelled" and ended == [[]]
    for _n in range(5):
        slicer.app.processEvents()
    assert ended == [[]] and many.everything() == before
    fill(panel)
    panel.ui.applyButton.click()
    panel.ui.applyButton.click()
    assert is_idle(panel) and panel.ui.applyButton.text == "Apply" and panel.ui.applyButton.enabled
    assert "nothing was changed" in panel.ui.messageLabel.text


def test_a_job_that_cannot_start_says_so_in_the_panel(panel):  # noqa: F811
    load("T1", "axial")
    panel._run(breaks(MemoryError()), lambda job: None)
    assert is_idle(panel) and is_error(panel)
    assert panel.ui.messageLabel.text.startswith("The computer ran out of memory")


def test_volumes_of_two_browsers_are_not_mixed(panel):  # noqa: F811
    many.sequence(load("T1", "axial"), FACTORS)
    many.sequence(load("T2", "coronal"), FACTORS)
    fill(panel)
    before = many.everything()
    panel.ui.applyButton.click()
    assert is_idle(panel) and is_error(panel) and many.everything() == before
    assert "put both into one sequence browser, or untick Every frame" in panel.ui.messageLabel.text
    panel.ui.everyFrameBox.checked = False
    panel.ui.applyButton.click()
    wait_until(lambda: is_idle(panel), "one frame of each")
    assert not is_error(panel) and slicer.util.getNode("T2 coronal SR")


def test_where_the_sequences_module_is_disabled_there_are_no_frames(panel, monkeypatch):  # noqa: F811
    monkeypatch.delattr(slicer.modules, "sequences")
    load("T1", "axial")
    fill(panel)
    assert not panel.ui.everyFrameBox.visible
    panel.ui.applyButton.click()
    wait_until(lambda: is_idle(panel), "the result")
    assert not is_error(panel) and slicer.util.getNode("T1 axial SR")
