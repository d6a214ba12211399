"""ContrastCRL as a person uses it: its panel and .ui file, a real MRML scene, a real worker process.

The model is small and knows one head of ellipsoids; what is checked is what happens around it.
"""

# ruff: noqa: F811  (fixtures that are imported)

from __future__ import annotations

import json
import unittest

import numpy as np
import pytest
from slicer_session import ROOT, run_in_a_fresh_slicer, slicer, wait_until

pytest.importorskip("torch")

import small_contrast
from contrast_panel import (  # noqa: F401  (fixtures)
    AFFINE,
    SHAPE,
    affine_of,
    composite,
    fill,
    fine,
    finish,
    fluid,
    is_error,
    live,
    load,
    logic,
    marked,
    module,
    panel,
    picture,
    said,
    shelf,
)
from small_contrast import FLAIR, T1, T2
from small_models import centred

from mrinr.contrast.parameters import times

# Scans and their times ------------------------------------------------------------------------------------


def test_an_empty_scene_says_what_to_do_first(panel):
    assert not panel.ui.applyButton.enabled and not panel.ui.liveButton.enabled
    assert "Fill from study" in panel.ui.applyButton.toolTip
    panel.ui.fillButton.click()
    assert is_error(panel) and "load the scans" in panel.ui.messageLabel.text
    assert panel.ui.trainedLabel.text == "Trained on: nothing"


def test_scans_with_known_times_fill_the_table_and_wrong_times_are_marked(panel):
    fill(panel)
    assert [row.times for row in panel._table.rows] == [(5000, 100, 0)]
    table = panel.ui.sourcesTable
    assert table.item(0, 4).text() == "✓" and panel.ui.applyButton.enabled
    for column, value, words in (
        (1, 0, "TR of T2 head is not known"),
        (1, 2.5, "looks like seconds"),
        (2, 6000, "longer than its TR"),
        (3, 6000, "longer than its TR"),
    ):
        before = table.cellWidget(0, column).value
        table.cellWidget(0, column).setValue(value)
        assert words in panel.ui.sourcesLabel.text and table.item(0, 4).text() == "✗", value
        assert words in table.item(0, 4).toolTip() and words in panel.ui.applyButton.toolTip
        assert not panel.ui.applyButton.enabled and not panel.ui.liveButton.enabled
        table.cellWidget(0, column).setValue(before)
    assert panel.ui.applyButton.enabled and not panel.ui.sourcesLabel.visible
    table.cellWidget(0, 1).setValue(20000)
    assert table.item(0, 4).text() == "!" and panel.ui.applyButton.enabled
    assert "TR 20000 ms of T2 head lies outside" in panel.ui.sourcesLabel.text


def test_typed_times_stay_with_the_volume(panel):
    from MRINRLib import contrast_sources

    node = load(T2, known=False)
    panel.ui.addSelector.setCurrentNode(node)
    panel.ui.addButton.click()
    assert "TR and TE of T2 head are not known" in panel.ui.sourcesLabel.text
    panel.ui.sourcesTable.cellWidget(0, 1).setValue(5000)
    assert "TE of T2 head is not known" in panel.ui.sourcesLabel.text
    panel.ui.sourcesTable.cellWidget(0, 2).setValue(100)
    assert panel.ui.applyButton.enabled
    assert contrast_sources.sourceFor(node).times == (5000, 100, 0)
    panel.ui.sourcesTable.cellWidget(0, 5).click()
    wait_until(lambda: panel.ui.sourcesTable.rowCount == 0, "the row to go")


class Database:
    """Answers like ctkDICOMDatabase for one instance."""

    def __init__(self, tags: dict[str, str]) -> None:
        self._tags = tags

    def instanceValue(self, uid: str, tag: str) -> str:  # noqa: N802  (CTK's name)
        return self._tags.get(tag, "")


def test_times_are_read_from_dicom_and_from_a_sidecar_in_seconds(logic, monkeypatch, tmp_path):
    from MRINRLib import contrast_sources

    tags = {"0018,0080": "9000", "0018,0081": "120", "0018,0082": "2350", "0018,0020": "SE\\IR"}
    monkeypatch.setattr(slicer, "dicomDatabase", Database(tags), raising=False)
    node = load(FLAIR, "series 5", known=False)
    node.SetAttribute("DICOM.instanceUIDs", "1.1")
    assert contrast_sources.sourceFor(node).times == (9000, 120, 2350)
    tags["0018,0020"] = "GR"
    assert "is no spin echo" in contrast_sources.sourceFor(node).warnings(None)[0]

    other = load(T2, "from a file", known=False)
    (tmp_path / "sub-01_T2w.json").write_text(json.dumps({"RepetitionTime": 5, "EchoTime": 0.1}))
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(tmp_path / "sub-01_T2w.nii.gz"))
    other.SetAndObserveStorageNodeID(storage.GetID())
    assert contrast_sources.sourceFor(other).times == (5000, 100, 0)
    assert [row.node for row in contrast_sources.fillFromStudy()] == [other]


# Volumes, sweeps, searches ---------------------------------------------------------------------------------


def test_make_volume_shows_a_result_that_says_what_it_is(panel, tmp_path):
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    node = load(T2)
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), study)
    panel.ui.fillButton.click()
    panel.ui.contrastSection.findChild(type(panel.ui.applyButton), "presetFLAIR").click()
    panel.ui.applyButton.click()
    assert panel.ui.applyButton.text == "Cancel"
    finish(panel)
    assert panel.ui.applyButton.text == "Make volume"
    result = slicer.util.getNode("T2 head as FLAIR (synthetic)")
    assert composite("Red").GetBackgroundVolumeID() == result.GetID() and marked("Red")
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(result)) == study
    attributes = said(result)
    assert attributes["kind"] == "synthesis" and attributes["target"] == "FLAIR"
    assert attributes["notice"].startswith("SYNTHETIC") and len(attributes["weightsSHA256"]) == 64
    parameters = json.loads(attributes["parameters"])
    assert parameters["sources"] == [[5000, 100, 0]] and parameters["target"] == [9000, 120, 2350]
    assert panel.ui.reasonLabel.text.startswith("SYNTHETIC: FLAIR predicted from T2 head by crl-compact")
    panel.ui.uncertaintyBox.click()
    uncertainty = slicer.util.getNode("T2 head as FLAIR (synthetic) uncertainty")
    assert composite("Red").GetForegroundVolumeID() == uncertainty.GetID()
    panel.ui.compareButton.click()
    assert composite("Red").GetBackgroundVolumeID() == node.GetID()
    assert composite("Red+").GetBackgroundVolumeID() == result.GetID()
    picture(panel, "3_volume", tmp_path)
    panel.ui.compareButton.click()
    panel.ui.fillButton.click()
    assert [row.node for row in panel._table.rows] == [node]  # results are no sources
    panel.ui.addSelector.setCurrentNode(result)
    panel.ui.addButton.click()
    assert is_error(panel) and "made by synthesis" in panel.ui.messageLabel.text


def test_cancel_leaves_nothing_behind_and_the_next_one_works(panel):
    fine()
    panel.ui.fillButton.click()
    before = slicer.mrmlScene.GetNumberOfNodes()
    panel.ui.applyButton.click()
    wait_until(lambda: panel.ui.progressBar.value > 0, "progress")
    panel.ui.applyButton.click()
    wait_until(lambda: panel._job is None, "the job to stop")
    assert "Cancelled" in panel.ui.messageLabel.text
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    slicer.mrmlScene.Clear()
    fill(panel)
    panel.ui.applyButton.click()
    finish(panel)
    assert slicer.util.getNode("T2 head as T1-FLAIR (synthetic)") is not None


def test_closing_the_scene_ends_the_live_view_and_the_job(panel):
    fine()
    panel.ui.fillButton.click()
    panel.ui.liveButton.click()
    wait_until(lambda: "%" in panel.ui.liveLabel.text, "the encoding")
    slicer.mrmlScene.Clear()
    assert not panel._live.isOn and not panel.ui.liveButton.checked
    fill(panel)
    live(panel)


def test_a_sweep_becomes_a_sequence_to_play(panel, tmp_path):
    fill(panel)
    ui = panel.ui
    ui.TRBox.setValue(9000), ui.TEBox.setValue(120)
    ui.sweepToBox.setValue(400)
    assert not ui.sweepButton.enabled and "shorter to a longer" in ui.sweepButton.toolTip
    ui.sweepFromBox.setValue(600), ui.sweepToBox.setValue(2350), ui.sweepStepsBox.setValue(3)
    ui.sweepButton.click()
    finish(panel)
    browser = slicer.modules.sequences.active
    sequence = browser.GetMasterSequenceNode()
    assert sequence.GetNumberOfDataNodes() == 3
    assert (sequence.GetIndexName(), sequence.GetIndexUnit()) == ("TI", "ms")
    assert [float(sequence.GetNthIndexValue(n)) for n in range(3)] == pytest.approx([600, 1187.4, 2350])
    shown = browser.GetProxyNode(sequence)
    assert composite("Red").GetBackgroundVolumeID() == shown.GetID() and marked("Red")
    browser.SetSelectedItemNumber(0)
    early = fluid(shown)
    browser.SetSelectedItemNumber(2)
    assert fluid(shown) < 0.5 * early
    assert said(shown)["kind"] == "synthesis" and said(sequence)["model"] == "crl-compact"


def segmentation(reference):
    """Two segments: the fluid at the right, and a ball of white matter."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Regions")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    affine, shape = affine_of(reference), reference.GetImageData().GetDimensions()
    world = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    for name, centre in (("fluid", (8, 0, 0)), ("white", (-8, 0, 0))):
        mask = (np.linalg.norm((world - centre) / (4, 8, 5), axis=-1) < 1).astype(np.uint8)
        identifier = node.GetSegmentation().AddEmptySegment(name, name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask.transpose(2, 1, 0), node, identifier, reference)
    return node


def choose(box, text: str) -> None:
    box.currentIndex = [box.itemText(index) for index in range(box.count)].index(text)
    box.activated.emit(box.currentIndex)


def test_the_search_finds_times_that_one_click_goes_to(panel, tmp_path):
    node = fill(panel)
    ui = panel.ui
    assert not ui.searchButton.enabled and "two regions" in ui.searchButton.toolTip
    ui.regionsSelector.setCurrentNode(segmentation(node))
    choose(ui.firstBox, "fluid")
    choose(ui.secondBox, "white")
    assert ui.searchButton.enabled, ui.searchButton.toolTip
    ui.highTRBox.setValue(8000)
    ui.searchButton.click()
    finish(panel)
    table = ui.searchTable
    names = [table.verticalHeaderItem(row).text() for row in range(table.rowCount)]
    assert names[0] == "optimum" and {"T1", "T2", "FLAIR", "CRL 9"} <= set(names)
    assert table.item(0, 2).text() == "100 %"
    TR, TE, TI = (float(text) for text in table.item(0, 0).text().split(" / "))
    assert 400 <= TR <= 8000 and 8 <= TE <= 200
    ui.goButton.click()
    assert (ui.TRBox.value, ui.TEBox.value) == (TR, TE)
    assert ui.TIBox.value == pytest.approx(TI, abs=0.5)
    chart = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode")
    series = [chart.GetNthPlotSeriesNode(n) for n in range(chart.GetNumberOfPlotSeriesNodes())]
    names = [each.GetName() for each in series]
    assert names[-3:] == ["89 to 100 % of the best", "conventional", "optimum"]
    points = {
        each.GetName(): [
            slicer.util.arrayFromTableColumn(each.GetTableNode(), column) for column in ("TI", "TR")
        ]
        for each in series
    }
    cells = np.concatenate([points[name] for name in names[:-2]], 1)
    assert len(np.unique(cells, axis=1).T) == cells.shape[1] > 80  # each playable TR and TI in one colour
    assert cells[1].max() == pytest.approx(8000) and 8 not in cells[1]
    near = np.abs(np.log(np.array(points[names[-3]]) / np.array(points["optimum"]))).max(0).min()
    assert near < 0.4  # the brightest squares lie around the optimum
    without = points["conventional"][0].min()
    assert without < cells[0][cells[0] > cells[0].min()].min()  # sequences without inversion: a column apart
    picture(panel, "4_search", tmp_path)


def test_label_maps_are_regions_too_and_empty_ones_are_refused(logic):
    source = load(T2)
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    voxels = small_contrast.tissues(AFFINE, SHAPE).astype(np.int16)
    slicer.util.updateVolumeFromArray(labels, voxels.transpose(2, 1, 0))
    labels.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(AFFINE))
    limits = {"TR": (400, 10000), "TE": (8, 200), "TI": None, "time_weight": 0.5}
    found = logic.search([source], [(labels, 2), (labels, 4)], limits, register="off", device="cpu")
    assert found["best"]["TI"] == 0 and found["contrast"] > 0
    with pytest.raises(ValueError, match="two different regions"):
        logic.search([source], [(labels, 2), (labels, 9)], limits)


# Scripts ---------------------------------------------------------------------------------------------------


def turned(rng: np.random.Generator) -> np.ndarray:
    q, r = np.linalg.qr(np.eye(3) + 0.1 * rng.normal(size=(3, 3)))
    return q * np.sign(np.diag(r))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_result_lies_where_its_scan_lies(logic, seed):
    """Oblique, left-handed, anisotropic, under a transform: the result has the scan's place to 1e-3 mm."""
    rng = np.random.default_rng(seed)
    directions = turned(rng)[:, rng.permutation(3)] * rng.choice([-1, 1], 3)
    if (np.linalg.det(directions) > 0) == (seed == 1):
        directions[:, 0] *= -1
    shape, spacing = (60, 52, 44), (1.4, 1.8, 2.1)
    node = load(T2, affine=centred(directions, spacing, shape), shape=shape)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turned(rng), (30, -20, 10)
    slicer.util.updateTransformMatrixFromArray(transform, matrix)
    node.SetAndObserveTransformNodeID(transform.GetID())
    result = logic.changeContrast([(node, times(T2))], target=times(T2), register="off", device="cpu")
    assert result.GetParentTransformNode() is None and node.GetParentTransformNode() is transform
    assert result.GetImageData().GetDimensions() == shape
    corners = np.array([[i, j, k, 1] for i in (0, 59) for j in (0, 51) for k in (0, 43)]).T
    np.testing.assert_allclose(affine_of(result) @ corners, affine_of(node) @ corners, atol=1e-3)
    head = np.linalg.inv(matrix) @ affine_of(result)  # the transform took the head along
    truth = small_contrast.scan(T2, head, shape, noise=0).voxels
    mirrored = small_contrast.scan(T2, np.diag([-1, 1, 1, 1]) @ head, shape, noise=0).voxels
    made = slicer.util.arrayFromVolume(result).transpose(2, 1, 0)
    right, wrong = (np.corrcoef(made.ravel(), other.ravel())[0, 1] for other in (truth, mirrored))
    assert right > 0.8 and right > wrong, (right, wrong)


def test_the_console_changes_contrast_and_its_job_knows_the_rest(logic):
    first, second = load(T2), load(T1, "T1 head")
    finished: list = []
    job = logic.start([first, (second, (600, 10))], (9000, 120, 2350), onFinished=finished.append,
                      register="off")  # fmt: skip
    result = job.wait()
    assert finished == [result] and job.error is None
    assert job.uncertainty.GetName().endswith("uncertainty") and job.brain is not None
    assert [each["TE"] for each in job.report["sources"]] == [100, 10]
    assert "hidden and predicted" in result.GetAttribute("MRINR.selfCheck")
    browser = logic.sweep([first], (5000, 100, 0), "TE", 20, 160, steps=2, register="off")
    assert browser.GetMasterSequenceNode().GetNumberOfDataNodes() == 2


def test_the_console_gets_one_sentence_for_bad_input(logic):
    node = load(T2)
    blank = load(T2, "blank", known=False)
    for wrong, words in (
        (lambda: logic.changeContrast([], (600, 10, 0)), "Add a scan first"),
        (lambda: logic.changeContrast([blank], (600, 10, 0)), "TR and TE of blank are not known"),
        (lambda: logic.changeContrast([(node, (5, 0.1, 0))], (600, 10, 0)), "looks like seconds"),
        (lambda: logic.changeContrast([(node, (5000, 100, 0))], (0.6, 0.01, 0)), "looks like seconds"),
        (lambda: logic.changeContrast([(node, (5000, 100, 0))], (600, 700, 0)), "longer than its TR"),
        (lambda: logic.changeContrast([(node, (5000, 100, 0))], (600, 10, 700)), "longer than its TR"),
        (lambda: logic.changeContrast([(node, (5000, 100, 0))], (600, -1, 0)), "must be above 0"),
        (lambda: logic.changeContrast([(node, (5000, 100, 0))], "T1"), "must be .TR, TE, TI."),
        (lambda: logic.changeContrast([(node, "T2")], (600, 10, 0)), "must be .TR, TE, TI."),
        (lambda: logic.changeContrast([(node, (5000, 100, 0))] * 2, (600, 10, 0)), "given twice"),
        (lambda: logic.changeContrast([("head", (5000, 100, 0))], (600, 10, 0)), "is not a volume"),
        (lambda: logic.changeContrast([node], (600, 10, 0), model="nothing"), "no model 'nothing'"),
        (lambda: logic.changeContrast([node], (600, 10, 0), model="brain-compact"), "knows no TR, TE"),
        (lambda: logic.sweep([node], (600, 10, 0), "T2", 10, 20), "none of TR, TE and TI"),
    ):
        with pytest.raises(ValueError, match=words):
            wrong()


def test_parameters_live_in_the_scene(panel, tmp_path):
    node = fill(panel)
    panel.ui.TEBox.setValue(77)
    panel.ui.fadeSlider.setValue(30)
    panel.ui.regionsSelector.setCurrentNode(segmentation(node))
    choose(panel.ui.firstBox, "fluid")
    path = str(tmp_path / "scene.mrml")
    slicer.mrmlScene.SetURL(path)
    slicer.mrmlScene.SetRootDirectory(str(tmp_path))
    storage = slicer.vtkMRMLNRRDStorageNode()
    slicer.mrmlScene.AddNode(storage)
    storage.SetFileName(str(tmp_path / "head.nrrd"))
    storage.WriteData(node)
    node.SetAndObserveStorageNodeID(storage.GetID())
    assert slicer.mrmlScene.Commit(path)
    slicer.mrmlScene.Clear()
    assert panel._table.rows == []
    slicer.mrmlScene.SetURL(path)
    assert slicer.mrmlScene.Import()
    assert [(row.node.GetName(), row.times) for row in panel._table.rows] == [("T2 head", (5000, 100, 0))]
    assert panel.ui.TEBox.value == 77 and panel.ui.fadeSlider.value == 30
    assert panel.ui.regionsSelector.currentNode().GetName() == "Regions"


def test_the_test_that_runs_inside_slicer_passes_here_too(module, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "ContrastCRL" / "Testing" / "Python"))
    suite = unittest.defaultTestLoader.loadTestsFromName("ContrastCRLPanelTest")
    result = unittest.TestResult()
    suite.run(result)
    assert result.testsRun == 3 and not result.failures + result.errors, result.failures + result.errors
    slicer.mrmlScene.Clear()


def test_the_module_loads_where_torch_and_safetensors_are_missing():
    run_in_a_fresh_slicer(
        "ContrastCRL",
        """
        assert "PyTorch is not installed" in panel.ui.deviceLabel.text
        node = own().averageHead()
        panel.ui.fillButton.click()
        panel.ui.applyButton.enabled = True
        panel.ui.applyButton.click()
        assert "has to be installed first" in panel.ui.messageLabel.text, panel.ui.messageLabel.text
        try:
            panel.logic.changeContrast([node], (600, 10, 0))
        except ValueError as error:
            assert "PyTorch, safetensors>=0.4 is needed" in str(error), error
        else:
            raise AssertionError("a script was not told")
        """,
        first="""
for name in ('torch', 'SimpleITK', 'nibabel', 'safetensors'): sys.modules[name] = None
import host.scripted
host.scripted._pip_ensure = lambda *a, **k: None  # Slicer's own does nothing while it runs tests
""",
    )


def test_reloading_the_module_loads_the_shared_packages_anew():
    run_in_a_fresh_slicer(
        "ContrastCRL",
        """
        old = sys.modules["MRINRLib.contrast_live"]
        panel.onReload()
        fresh = slicer.util.getModuleWidget("ContrastCRL")
        assert fresh is not panel and sys.modules["MRINRLib.contrast_live"] is not old
        fresh.enter()
        fresh.ui.fillButton.click()
        assert fresh.ui.messageLabel.text
        """,
    )


def test_the_modules_own_test_passes_with_the_models_that_ship():
    run_in_a_fresh_slicer("ContrastCRL", "own().runTest()")
