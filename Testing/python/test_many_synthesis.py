"""All patients, and every frame of a sequence, in MRINRSynthesis."""

from __future__ import annotations

import many
import pytest
from slicer_session import slicer, wait_until
from test_synthesis_module import (  # noqa: F401  (fixtures)
    fill,
    finish,
    is_idle,
    load,
    logic,
    marked,
    module,
    panel,
    picture,
    shelf,
)


def test_every_patient_gets_the_sequence_from_the_scans_they_have(panel, tmp_path):  # noqa: F811
    many.patient("Anna", load("T1"), load("T2"))
    many.patient("Bert", load("T1"))
    many.patient("Carla", load("FLAIR"))
    panel.ui.fillButton.click()
    panel.ui.registerBox.checked = False
    panel._parameterNode.target = "FLAIR"
    panel.ui.allPatientsButton.click()
    wait_until(lambda: is_idle(panel), "everybody")
    made = {row["patient"]: row for row in many.rows(slicer.util.getNode("FLAIR of all patients"))}
    assert [row["status"] for row in made.values()] == ["made", "made", "failed"]
    assert made["Anna"]["scans"] == "T1 head, T2 head" and made["Bert"]["scans"] == "T1 head"
    assert "None of the scans is T1 or T2" in made["Carla"]["text"]
    assert "3 patients: 2 made, 1 failed" in panel.ui.messageLabel.text
    anna, bert = panel._parameterNode.results
    assert anna.GetAttribute("MRINR.inputs") == "T1 T2" and bert.GetAttribute("MRINR.inputs") == "T1"
    for node in (anna, bert):
        assert many.above(node) == many.above(node.GetNodeReference("MRINR.input_T1"))
    assert panel.ui.resultBox.count == 2 and marked("Red")
    picture(panel, "all_patients", tmp_path)


def test_the_console_makes_it_for_every_patient(logic):  # noqa: F811
    many.patient("Anna", load("T1"), load("T2"))
    many.patient("Bert", load("T2"))
    table = logic.synthesizeAll("FLAIR", inputs=["T1"], register="off")
    assert [(row["status"], row["scans"]) for row in many.rows(table)] == [
        ("made", "T1 head"),
        ("failed", ""),
    ]
    with pytest.raises(ValueError, match="No patient was found"):
        slicer.mrmlScene.Clear()
        logic.synthesizeAll("FLAIR")


def test_every_frame_becomes_a_frame_of_a_synthetic_sequence(panel, tmp_path):  # noqa: F811
    browser, t1 = many.sequence(load("T1"), (1.0, 3.0))
    fill(panel)
    assert panel.ui.everyFrameBox.visible
    panel.ui.applyButton.click()
    finish(panel)
    result = panel._parameterNode.results[0]
    made = many.frames(browser, result)
    assert list(made) == ["0", "2.5"]  # in the units of the scan, whose second frame is three times as bright
    assert made["2.5"].mean() == pytest.approx(3 * made["0"].mean(), rel=0.05)
    uncertainty = result.GetNodeReference("MRINR.uncertainty")
    assert list(many.frames(browser, uncertainty)) == ["0", "2.5"]
    assert result.GetAttribute("MRINR.kind") == "synthesis" and marked("Red")
    frame = browser.GetSequenceNode(result).GetNthDataNode(1)
    assert frame.GetAttribute("MRINR.kind") == "synthesis" and frame.GetAttribute("MRINR.weightsSHA256")
    assert result.GetNodeReference("MRINR.input_T1") is t1
    assert list(many.frames(browser, result.GetNodeReference("MRINR.brain"))) == ["0", "2.5"]
    picture(panel, "sequence", tmp_path)


def test_cancel_between_frames_leaves_nothing(panel):  # noqa: F811
    many.sequence(load("T1"), (1.0, 2.0, 3.0))
    fill(panel)
    before = many.everything()
    panel.ui.applyButton.click()
    wait_until(lambda: panel.ui.progressLabel.text.startswith("Frame 2"), "the second frame")
    panel.ui.applyButton.click()
    wait_until(lambda: is_idle(panel), "the end")
    assert many.everything() == before and "nothing was changed" in panel.ui.messageLabel.text
