"""Export to DICOM… as a person does it: the button, the folder dialog, a series that others can read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_files import write_series
from slicer_session import ROOT, slicer

pytest.importorskip("torch")

import qt
from PySide6 import QtWidgets

from mrinr.volume import Volume, read

MODULES = ("MRINRSuperRes", "MRINRSynthesis", "ContrastCRL")
OBLIQUE = np.array([[0.6, -0.8, 0, -31], [0.8, 0.6, 0, 17], [0, 0, 1.2, -20], [0, 0, 0, 1]])


class Database:
    """Answers like ctkDICOMDatabase for files of a series."""

    def __init__(self, files: list[Path]) -> None:
        self.files = {pydicom.dcmread(path).SOPInstanceUID: str(path) for path in files}

    def fileForInstance(self, uid: str) -> str:  # noqa: N802  (CTK's name)
        return self.files.get(uid, "")

    def instanceValue(self, uid: str, tag: str) -> str:  # noqa: N802
        return ""


@pytest.fixture(params=MODULES)
def panel(request, tmp_path, monkeypatch):
    """A panel that shows a result whose source came from DICOM."""
    slicer.mrmlScene.Clear()
    module = slicer.loadModule(ROOT / request.param / f"{request.param}.py")
    parent = module.widgetRepresentation()
    parent.show()
    parent.enter()
    panel = slicer.util.getModuleWidget(request.param)
    from MRINRLib import nodes, provenance

    files = write_series(tmp_path / "in", np.full((12, 12, 4), 7), np.diag([1.0, 1, 4, 1]), SeriesNumber=3)
    monkeypatch.setattr(slicer, "dicomDatabase", Database(files), raising=False)
    source = slicer.util.addVolumeFromArray(np.ones((4, 12, 12), np.float32), np.eye(4), "T1 ax")
    source.SetAttribute("DICOM.instanceUIDs", " ".join(slicer.dicomDatabase.files))
    voxels = np.random.default_rng(0).gamma(2, 100, (10, 9, 8)).astype(np.float32)
    kind = "super-resolution" if request.param == "MRINRSuperRes" else "synthesis"
    results = []
    for name in ("first", "second"):
        node = nodes.nodeFromVolume(Volume(voxels, OBLIQUE), name, source)
        provenance.stamp(node, kind, "tv", {"target": [2000, 10, 800]}, [source], "", target="T1-FLAIR")
        results.append(node)
    panel._results.show(results, []) if request.param == "MRINRSuperRes" else panel._results.show(results)
    yield panel
    parent.exit()
    slicer.mrmlScene.Clear()


def press_and_choose(panel, folder: Path | None) -> None:
    """Click the button; in the dialog that opens choose `folder`, or Cancel."""
    seen = []

    def answer() -> None:
        dialog = QtWidgets.QApplication.activeModalWidget()
        if dialog is None:
            return  # not open yet
        timer.stop()
        seen.append(dialog.windowTitle)
        if folder is None:
            dialog.reject()
        else:
            dialog.findChild(QtWidgets.QLineEdit, "fileNameEdit").setText(str(folder))
            dialog.accept()

    timer = qt.QTimer()
    timer.connect("timeout()", answer)
    timer.start(20)
    panel._results.exportButton.click()
    assert seen == ["Folder for the DICOM series"]


def test_the_button_writes_the_shown_result_as_a_series(panel, tmp_path):
    out = tmp_path / "für den Export"
    out.mkdir()
    panel.ui.resultBox.setCurrentIndex(1)
    press_and_choose(panel, out)
    slices = [pydicom.dcmread(path) for path in sorted(out.glob("*.dcm"))]
    assert len(slices) == 8 and {s.SeriesDescription for s in slices} == {"second"}
    first = slices[0]
    assert first.StudyInstanceUID == "1.2.3" and list(first.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    assert len(first.SourceImageSequence) == 4
    node = slicer.util.getNode("second")
    found = read(out)
    ours = slicer.util.arrayFromVolume(node).transpose(2, 1, 0)
    np.testing.assert_allclose(found.affine, OBLIQUE, atol=1e-4)
    assert np.abs(found.voxels - ours).max() <= float(first.RescaleSlope)


def test_a_folder_that_holds_something_gets_a_new_one_and_cancel_writes_nothing(panel, tmp_path):
    (tmp_path / "in" / "more").mkdir()
    before = sorted(tmp_path.rglob("*"))
    press_and_choose(panel, None)
    assert sorted(tmp_path.rglob("*")) == before
    press_and_choose(panel, tmp_path / "in")
    assert len(list((tmp_path / "in" / "MRINR-1").glob("*.dcm"))) == 8


def test_slicers_reader_takes_it_for_one_volume(panel, tmp_path):
    """What DICOMScalarVolumePlugin and DICOMUtils.getSortedImageFiles ask of the headers of a series."""
    out = tmp_path / "out"
    out.mkdir()
    press_and_choose(panel, out)
    slices = [pydicom.dcmread(path) for path in out.glob("*.dcm")]
    for name in ("SeriesInstanceUID", "Rows", "Columns", "ImageType", "Modality", "SeriesNumber"):
        assert len({str(s.get(name)) for s in slices}) == 1, name  # else it offers several volumes
    for name in ("EchoTime", "TriggerTime", "DiffusionBValue", "ContentTime", "ImageOrientationPatient"):
        assert len({str(s.get(name)) for s in slices}) == 1, name  # by which it splits a series
    assert len({s.SOPInstanceUID for s in slices}) == len({s.InstanceNumber for s in slices}) == 8
    axes = np.array(slices[0].ImageOrientationPatient, float)
    along = sorted(
        (
            float(np.dot(np.array(s.ImagePositionPatient, float), np.cross(axes[:3], axes[3:]))),
            s.InstanceNumber,
        )
        for s in slices
    )
    gaps = np.diff([distance for distance, _ in along])
    assert np.abs(gaps - gaps[0]).max() < 0.01 and gaps[0] > 0  # its epsilon
    assert [number for _, number in along] == list(range(1, 9))
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(out))
    assert sitk.ReadImage(names).GetSize() == (10, 9, 8)  # the reader behind it
