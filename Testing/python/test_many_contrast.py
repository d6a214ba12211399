"""All patients, and every frame of a sequence, in ContrastCRL."""

from __future__ import annotations

import many
import pytest
from contrast_panel import (  # noqa: F401  (fixtures)
    finish,
    load,
    logic,
    module,
    panel,
    shelf,
)
from slicer_session import slicer, wait_until
from small_contrast import T1, T2


def test_every_patient_gets_the_contrast_from_spin_echoes_with_known_times(panel):  # noqa: F811
    many.patient("Anna", load(T2))
    many.patient("Bert", load(T2), load(T1, "T1 head"))
    many.patient("Carla", load(T2, known=False))
    panel.ui.fillButton.click()
    panel.ui.allPatientsButton.click()
    wait_until(lambda: panel._job is None, "everybody")
    made = {row["patient"]: row for row in many.rows(slicer.util.getNode("New contrast of all patients"))}
    assert [row["status"] for row in made.values()] == ["made", "made", "failed"]
    assert made["Bert"]["scans"] == "T2 head"  # as in the panel
    assert "TR" in made["Carla"]["text"]
    assert len(panel._parameterNode.results) == 2
    for node in panel._parameterNode.results:
        assert many.above(node) == many.above(node.GetNodeReference("MRINR.source"))


def test_the_console_changes_the_contrast_of_every_patient(logic):  # noqa: F811
    many.patient("Anna", load(T2))
    many.patient("Bert", load(T2))
    table = logic.changeContrastAll((600, 10, 0))
    assert [row["status"] for row in many.rows(table)] == ["made", "made"]
    slicer.mrmlScene.Clear()
    with pytest.raises(ValueError, match="No patient was found"):
        logic.changeContrastAll((600, 10, 0))


def test_every_frame_of_a_scan_changes_its_contrast(panel):  # noqa: F811
    browser, shown = many.sequence(load(T2), (1.0, 2.0))
    panel.ui.fillButton.click()
    assert panel.ui.everyFrameBox.visible
    panel.ui.applyButton.click()
    finish(panel)
    result = panel._parameterNode.results[0]
    made = many.frames(browser, result)
    assert list(made) == ["0", "2.5"]
    assert made["2.5"].max() == pytest.approx(2 * made["0"].max(), rel=0.1)
    assert result.GetNodeReference("MRINR.source") is shown
    assert list(many.frames(browser, result.GetNodeReference("MRINR.uncertainty"))) == ["0", "2.5"]
