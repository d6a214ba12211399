"""Results as DICOM: where they lie, what they hold and what they say, read by pydicom and by our reader."""

from __future__ import annotations

import json

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_files import write_series

from mrinr import provenance
from mrinr.cli import main
from mrinr.errors import InputError
from mrinr.formats import dicom_export
from mrinr.volume import Volume, read, write


def turned(seed: int) -> np.ndarray:
    """An oblique rotation; left-handed for odd seeds."""
    axes, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    if (np.linalg.det(axes) < 0) != (seed % 2 == 1):
        axes[:, 0] *= -1
    return axes


def image(seed: int, shape=(14, 11, 9)) -> Volume:
    affine = np.eye(4)
    affine[:3, :3] = turned(seed) * (0.7, 0.9, 1.3)
    affine[:3, 3] = (-71.123456, 33.7, 12.3)
    voxels = np.random.default_rng(seed).gamma(2.0, 173.3, shape)
    return Volume(voxels, affine, "T1_sr.nii.gz")


def made(kind: str = "super-resolution", **more: object) -> dict:
    return provenance.describe(kind, "tv", {}, [{"name": "Secret_Person.nii", "sha256": "0" * 64}]) | more


@pytest.fixture
def source(tmp_path):
    voxels = np.random.default_rng(0).integers(1, 900, (12, 12, 4))
    tags = {"EchoTime": 90.0, "RepetitionTime": 4000.0, "SeriesNumber": 5, "StudyDescription": "Schädel"}
    affine = np.diag([1.0, 1, 4, 1])
    return write_series(tmp_path / "source", voxels, affine, SpecificCharacterSet="ISO_IR 192", **tags)


def world(volume: Volume) -> dict[tuple, float]:
    """Values by rounded position."""
    index = np.indices(volume.voxels.shape).reshape(3, -1)
    place = (volume.affine[:3, :3] @ index).T + volume.affine[:3, 3]
    return dict(zip(map(tuple, np.round(place, 2)), volume.voxels.ravel(), strict=True))


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_a_series_lies_where_the_result_lay_and_holds_its_values(tmp_path, seed):
    volume = image(seed)
    files = dicom_export.save(volume, tmp_path / "out", made(contrast="T1"))
    slope = float(pydicom.dcmread(files[0]).RescaleSlope)
    assert slope < volume.voxels.max() / 65000
    ours = read(tmp_path / "out")
    # our reader may have turned the slices' order, no more
    flip = np.diag([1.0, 1, -1, 1])
    flip[2, 3] = volume.voxels.shape[2] - 1
    straight = np.abs(ours.affine - volume.affine).max() < 1e-3
    expected = volume.affine if straight else volume.affine @ flip
    np.testing.assert_allclose(ours.affine, expected, atol=1e-3)
    voxels = volume.voxels if straight else volume.voxels[:, :, ::-1]
    assert np.abs(ours.voxels - voxels).max() <= slope * 0.501

    reader = sitk.ImageSeriesReader()  # which needs no help of ours to see the same place and values
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "out")))
    itk = reader.Execute()
    for corner in ((0, 0, 0), (13, 10, 8)):
        lps = np.array(itk.TransformContinuousIndexToPhysicalPoint([float(x) for x in corner]))
        there = np.linalg.solve(volume.affine, [*(lps * (-1, -1, 1)), 1.0])[:3]
        np.testing.assert_allclose(there, np.round(there), atol=1e-3)
        expected = volume.voxels[tuple(np.round(there).astype(int))]
        assert abs(itk[corner] - expected) <= slope * 0.501 + 0.51 * (itk.GetPixelID() < sitk.sitkFloat32)


def test_every_slice_says_what_it_is_and_what_it_was_made_from(tmp_path, source):
    result = made(contrast="T1", map="sr")
    files = dicom_export.save(image(1), tmp_path / "a", result, source)
    slices = [pydicom.dcmread(path) for path in files]
    assert len({s.SOPInstanceUID for s in slices}) == 9 and len({s.SeriesInstanceUID for s in slices}) == 1
    used = [pydicom.dcmread(path) for path in source]
    first = slices[0]
    assert list(first.ImageType[:2]) == ["DERIVED", "SECONDARY"] and first.Modality == "MR"
    assert first.SeriesDescription == "T1 SR"
    assert "not acquired" in first.DerivationDescription and "tv" in first.DerivationDescription
    assert (first.PatientName, first.PatientID, first.StudyInstanceUID) == ("Secret^Person", "4711", "1.2.3")
    assert first.StudyDescription == "Schädel" and first.FrameOfReferenceUID == "1.2.4"
    assert first.EchoTime == 90 and first.RepetitionTime == 4000  # only its resolution is new
    assert first.SeriesInstanceUID != used[0].SeriesInstanceUID
    referenced = {item.ReferencedSOPInstanceUID for item in first.SourceImageSequence}
    assert referenced == {each.SOPInstanceUID for each in used}
    assert [float(s.InstanceNumber) for s in slices] == list(range(1, 10))
    other = pydicom.dcmread(dicom_export.save(image(1), tmp_path / "b", result, source, same_space=False)[0])
    assert other.SeriesInstanceUID != first.SeriesInstanceUID and other.FrameOfReferenceUID != "1.2.4"


def test_a_synthetic_contrast_has_its_own_times_and_none_of_the_sources(tmp_path, source):
    target = {"name": "T1-FLAIR", "TR": 2000.0, "TE": 10.0, "TI": 800.0}
    volume = Volume(image(2).voxels, image(2).affine, "x", {"TR": 2000.0, "TE": 10.0, "TI": 800.0})
    first = pydicom.dcmread(
        dicom_export.save(volume, tmp_path / "a", made("synthesis", target=target), source)[0]
    )
    assert (first.RepetitionTime, first.EchoTime, first.InversionTime) == (2000, 10, 800)
    assert first.SeriesDescription == "T1-FLAIR (synthetic)"
    assert "SYNTHETIC" in first.DerivationDescription and "SYNTHETIC" in first.ImageComments
    flair = pydicom.dcmread(
        dicom_export.save(image(2), tmp_path / "b", made("synthesis", target="FLAIR"), source)[0]
    )
    assert flair.EchoTime is None and flair.ScanningSequence == "RM"


def test_negative_and_constant_values_come_through(tmp_path):
    for name, voxels in (("a", image(3).voxels - 300), ("b", np.zeros((12, 12, 3)))):
        dicom_export.save(
            Volume(voxels, np.eye(4), "difference"), tmp_path / name, made("synthesis", target="T2")
        )
        assert np.abs(np.sort(read(tmp_path / name).voxels, None) - np.sort(voxels, None)).max() < 0.03


def test_the_command_writes_a_series_or_nothing(tmp_path, source, capsys):
    path, out = tmp_path / "T1_sr.nii.gz", tmp_path / "out"
    write(image(1), path)
    line = ["dicom", str(path), "--source", str(source[0].parent), "--out", str(out), "--quiet"]
    assert main(line) == 2 and "no sidecar" in capsys.readouterr().err and not out.exists()
    path.with_name("T1_sr.json").write_text(json.dumps({"MRINR": made(contrast="T1", map="sr")}))
    assert main(line) == 0
    assert sorted(p.name for p in out.iterdir()) == [f"IM{n:04d}.dcm" for n in range(1, 10)]
    assert "Secret" not in "".join(p.name for p in out.iterdir())
    assert main(line) == 2 and "is not empty" in capsys.readouterr().err
    with pytest.raises(InputError, match="is no DICOM file"):
        dicom_export.save(image(1), tmp_path / "c", made(), [path])
