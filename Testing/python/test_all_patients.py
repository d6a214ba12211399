"""'Apply to all patients' of MRINRSuperRes: a real subject hierarchy, the panel's button, a real worker."""

from __future__ import annotations

import logging

import many
import numpy as np
import pytest
from slicer_session import slicer, wait_until
from test_superres_module import (  # noqa: F401  (fixtures)
    is_error,
    is_idle,
    load,
    module,
    panel,
    picture,
    worker_pids,
)


def patients(*names: str, size: int = 32) -> None:
    """T1 and T2 of each; then nothing is shown."""
    for name in names:
        many.patient(name, load("T1", "axial", size=size), load("T2", "coronal", size=size))


def fill(panel, method: str = "cubic") -> None:  # noqa: F811
    panel.ui.fillButton.click()
    panel._parameterNode.method = method
    panel._parameterNode.register = False


def table():
    return slicer.util.getNode("Super-resolution of all patients*")


def test_one_button_reconstructs_every_patient_beside_their_scans(panel, tmp_path):  # noqa: F811
    patients("Anna", "Bert", "Carla")
    fill(panel)
    assert len(panel._table.rows) == 2  # those of the first
    texts = []
    panel.ui.allPatientsButton.click()
    assert panel.ui.applyButton.text == "Cancel" and not panel.ui.allPatientsButton.enabled
    assert [row["status"] for row in many.rows(table())] == ["waiting"] * 3
    wait_until(lambda: texts.append(panel.ui.progressLabel.text) or is_idle(panel), "everybody")
    assert not is_error(panel)
    assert "3 patients: 3 made." in panel.ui.messageLabel.text
    assert any(text.startswith("Patient 2 of 3") for text in texts)
    made = many.rows(table())
    assert [(row["patient"], row["status"]) for row in made] == [
        (n, "made") for n in ("Anna", "Bert", "Carla")
    ]
    assert all(row["scans"] == "T1 axial, T2 coronal" for row in made)
    assert made[1]["results"] == "T1 axial SR_1, T2 coronal SR_1" and "Self-check" in made[0]["text"]
    results = panel._parameterNode.results
    assert len(results) == 6 and len({many.above(node) for node in results}) == 3
    for node in results:
        assert many.above(node) == many.above(node.GetNodeReference("MRINR.reference"))
    selection = slicer.app.applicationLogic().GetSelectionNode()
    assert selection.GetActiveTableID() == table().GetID()
    picture(panel, "7_all_patients", tmp_path)


def test_who_fails_stops_nobody_and_the_table_says_why(panel):  # noqa: F811
    patients("Anna")
    many.patient("Bert", load("T1", "axial", name="FLAIR axial"))
    bent = load("T1", "axial")
    bent.SetAndObserveTransformNodeID(
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode").GetID()
    )
    many.patient("Carla", bent)
    broken = load("T2", "coronal")
    slicer.util.updateVolumeFromArray(broken, np.full((32, 8, 32), np.nan))
    many.patient("Dora", broken)
    patients("Emil")
    fill(panel)
    panel.ui.allPatientsButton.click()
    wait_until(lambda: is_idle(panel), "everybody")
    found = {row["patient"]: (row["status"], row["text"]) for row in many.rows(table())}
    assert [status for status, _text in found.values()] == ["made", "failed", "failed", "failed", "made"]
    assert "None of the scans is T1 or T2" in found["Bert"][1]
    assert "under the non-linear transform" in found["Carla"][1]
    assert "T2 coronal" in found["Dora"][1]
    assert "5 patients: 2 made, 3 failed." in panel.ui.messageLabel.text
    assert "Bert: None" in panel.ui.messageLabel.text


def test_cancel_keeps_what_is_done_and_leaves_the_rest(panel):  # noqa: F811
    patients("Anna")
    for name in ("Bert", "Carla"):
        many.patient(name, load("T1", "axial", size=56))
    fill(panel, "tv")
    panel._parameterNode.spacingMode, panel._parameterNode.spacing = "custom", 0.8
    panel.ui.allPatientsButton.click()
    assert "results that are there stay" in panel.ui.applyButton.toolTip
    wait_until(lambda: panel.ui.progressLabel.text.startswith("Patient 2"), "the second patient")
    nodes = many.everything()
    panel.ui.applyButton.click()
    wait_until(lambda: is_idle(panel), "the end")
    assert many.everything() == nodes
    assert [row["status"] for row in many.rows(table())] == ["made", "cancelled", "cancelled"]
    assert "1 made, 2 cancelled" in panel.ui.messageLabel.text
    assert panel.ui.allPatientsButton.enabled and panel.ui.applyButton.enabled


def test_closing_the_scene_ends_all_patients(panel):  # noqa: F811
    patients("Anna", "Bert", size=48)
    fill(panel, "tv")
    panel._parameterNode.spacingMode, panel._parameterNode.spacing = "custom", 0.5
    panel.ui.allPatientsButton.click()
    job = panel._job
    wait_until(lambda: panel.ui.progressBar.value > 0, "progress")
    slicer.mrmlScene.Clear()
    empty = many.everything()
    assert is_idle(panel)
    wait_until(lambda: job.done, "the job")
    assert job.state == "cancelled" and many.everything() == empty


def test_leaving_the_module_lets_them_go_on(panel):  # noqa: F811
    patients("Anna", "Bert")
    fill(panel)
    panel.ui.allPatientsButton.click()
    panel.parent.exit()
    wait_until(lambda: is_idle(panel), "everybody")
    panel.parent.enter()
    assert len(panel._parameterNode.results) == 4


def test_a_patient_who_is_removed_meanwhile_fails_alone(panel):  # noqa: F811
    patients("Anna", "Bert")
    fill(panel)
    panel.ui.allPatientsButton.click()
    slicer.mrmlScene.RemoveNode(slicer.util.getNodes("T1 axial", useLists=True)["T1 axial"][1])
    wait_until(lambda: is_idle(panel), "everybody")
    made = many.rows(table())
    assert [row["status"] for row in made] == ["made", "failed"] and "removed" in made[1]["text"]


def test_settings_that_belong_to_one_patient_are_refused(panel):  # noqa: F811
    patients("Anna", "Bert")
    fill(panel)
    panel._parameterNode.spacingMode = "like volume"
    panel._parameterNode.likeVolume = panel._table.rows[0].node
    panel.ui.allPatientsButton.click()
    assert is_idle(panel) and "belong to one patient" in panel.ui.messageLabel.text


def test_volumes_that_belong_to_nobody_are_no_patient(panel):  # noqa: F811
    load("T1", "axial")
    fill(panel)
    nodes = many.everything()
    panel.ui.allPatientsButton.click()
    assert is_error(panel) and "No patient was found" in panel.ui.messageLabel.text
    assert many.everything() == nodes


def test_visits_folders_and_results_are_told_apart(panel):  # noqa: F811
    from MRINRLib import patients as known

    first, second, folded = (load("T1", "axial", name=name) for name in ("T1 a", "T1 b", "T1 c"))
    many.patient("Anna", first, study="2024")
    many.patient("Anna", second, study="2025")
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Volunteer")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(folded), folder)
    load("T1", "axial", name="T1 of nobody")
    fill(panel)
    panel.ui.allPatientsButton.click()
    wait_until(lambda: is_idle(panel), "everybody")
    expected = [("Anna, 2024", ["T1 a"]), ("Anna, 2025", ["T1 b"]), ("Volunteer", ["T1 c"])]
    assert [(each.name, [node.GetName() for node in each.images]) for each in known.loaded()] == expected


def test_the_console_does_all_patients_and_no_name_is_logged(module, caplog):  # noqa: F811
    slicer.mrmlScene.Clear()
    patients("Anna Musterfrau", "Bert Mustermann")
    broken = load("T1", "axial", name="T1 Carla Beispiel")
    slicer.util.updateVolumeFromArray(broken, np.full((8, 32, 32), np.nan))
    many.patient("Carla Beispiel", broken)
    logic = slicer.util.getModuleLogic("MRINRSuperRes")
    with caplog.at_level(logging.DEBUG):
        job = logic.startAll(["T1"], method="cubic", register="off")
        made = job.wait()
    assert made is job.table and made.IsA("vtkMRMLTableNode")
    assert [row["status"] for row in many.rows(made)] == ["made", "made", "failed"]
    assert [row["scans"] for row in many.rows(made)][:2] == ["T1 axial", "T1 axial"]
    assert [node.GetAttribute("MRINR.contrast") for node in job.results] == ["T1", "T1"]
    assert not any(name in caplog.text for name in ("Anna", "Bert", "Carla"))
    again = logic.reconstructAll(["T1"], method="cubic", register="off")
    assert again is not made and len(many.rows(again)) == 3  # results are no scans
    with pytest.raises(ValueError, match="belong to one patient"):
        logic.startAll(like=broken)
    slicer.mrmlScene.Clear()
    with pytest.raises(ValueError, match="No patient was found"):
        logic.reconstructAll()


def test_another_job_is_queued_among_those_of_all_patients(module):  # noqa: F811
    slicer.mrmlScene.Clear()
    patients("Anna", "Bert")
    logic = slicer.util.getModuleLogic("MRINRSuperRes")
    everybody = logic.startAll(method="cubic", register="off")
    alone = logic.start([load("T1", "axial", name="T1 alone")], method="cubic", register="off")
    assert [node.GetName() for node in alone.wait()] == ["T1 alone SR"]
    assert [row["status"] for row in many.rows(everybody.wait())] == ["made", "made"]
    slicer.mrmlScene.Clear()


def test_closing_slicer_ends_all_patients_and_their_worker(module):  # noqa: F811
    from MRINRLib import engine

    slicer.mrmlScene.Clear()
    patients("Anna", "Bert")
    seen: list[float] = []
    logic = slicer.util.getModuleLogic("MRINRSuperRes")
    job = logic.startAll(method="tv", spacing=0.6, onProgress=lambda fraction, *_: seen.append(fraction))
    wait_until(lambda: any(seen), "progress")
    engine.closeShared()  # what Slicer does when it is about to quit
    wait_until(lambda: job.done, "the end")
    assert job.state == "cancelled" and job.results == [] and worker_pids() == []
    slicer.mrmlScene.Clear()


def test_who_takes_too_much_memory_fails_alone(module):  # noqa: F811
    from MRINRLib.patients_job import PatientsJob

    slicer.mrmlScene.Clear()
    patients("Anna", "Bert", "Carla")
    logic = slicer.util.getModuleLogic("MRINRSuperRes")

    def start(volumes, callbacks):
        if job.number == 1:
            raise MemoryError
        return logic.start(volumes, method="cubic", register="off", **callbacks)

    job = PatientsJob(lambda volumes: (volumes, lambda **callbacks: start(volumes, callbacks)), "Everybody")
    wait_until(lambda: job.done, "everybody", 60)
    made = many.rows(job.table)
    assert [row["status"] for row in made] == ["made", "failed", "made"]
    assert made[1]["text"].startswith("The computer ran out of memory")
    assert job.state == "finished" and len(job.results) == 4
    slicer.mrmlScene.Clear()


def test_results_that_are_deleted_meanwhile_are_none(panel):  # noqa: F811
    patients("Anna", "Bert")
    fill(panel)
    panel.ui.allPatientsButton.click()
    job = panel._job
    wait_until(lambda: len(job.results) == 2, "the first patient")
    for node in slicer.util.getNodes("T1 axial SR*").values():
        slicer.mrmlScene.RemoveNode(node)
    wait_until(lambda: is_idle(panel), "everybody")
    assert job.results[0].GetName() == "T2 coronal SR" and len(job.results) == 3
    assert all(node.GetScene() is slicer.mrmlScene for node in [*job.results, *job.others])
    assert len(job.others) == 3 and len(panel._parameterNode.results) == 3
