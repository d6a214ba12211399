"""Reading and writing files: geometry is exact, judged by a library other than the one that mrinr uses."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import write_series

from mrinr.errors import InputError
from mrinr.volume import Stack, Volume, read, write

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def rotation(seed: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def affine(seed: int, left_handed: bool) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(seed) * [0.71, 0.93, 4.2]
    if left_handed:
        matrix[:3, 0] *= -1
    matrix[:3, 3] = [-91.3, 17.77, 123.4]
    return matrix


def volume(seed: int = 0, left_handed: bool = False, shape=(9, 10, 11)) -> Volume:
    voxels = np.random.default_rng(seed).normal(100, 30, shape).astype(np.float32)
    return Volume(voxels, affine(seed, left_handed), "v")


def itk_affine(path: Path) -> np.ndarray:
    """Where SimpleITK believes the voxels to be, in RAS."""
    image = sitk.ReadImage(str(path))
    matrix = np.eye(4)
    for axis in range(3):
        index = [0, 0, 0]
        index[axis] = 1
        matrix[:3, axis] = np.subtract(
            image.TransformIndexToPhysicalPoint(index), image.TransformIndexToPhysicalPoint([0, 0, 0])
        )
    matrix[:3, 3] = image.TransformIndexToPhysicalPoint([0, 0, 0])
    return LPS @ matrix


@pytest.mark.parametrize("left_handed", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd"])
def test_oblique_anisotropic_volumes_come_back_where_they_were(tmp_path, ending, seed, left_handed):
    original = volume(seed, left_handed)
    path = tmp_path / f"v{ending}"
    write(original, path)
    again = read(path)
    assert np.array_equal(again.voxels, original.voxels)
    assert np.abs(again.affine - original.affine).max() < 2e-5
    assert np.abs(itk_affine(path) - original.affine).max() < 1e-4
    seen = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).transpose(2, 1, 0)
    assert np.array_equal(seen, original.voxels)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("left_handed", [False, True])
def test_sform_and_qform_say_the_same(tmp_path, left_handed):
    original = volume(5, left_handed)
    write(original, tmp_path / "v.nii.gz")
    header = nib.load(tmp_path / "v.nii.gz").header
    assert header["sform_code"] == header["qform_code"] == 1
    assert np.abs(header.get_sform() - original.affine).max() < 2e-5
    assert np.abs(header.get_qform() - original.affine).max() < 1e-4


def test_the_same_volume_gives_the_same_bytes(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz", "a.nrrd", "b.nrrd"):
        write(volume(), tmp_path / name)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert (tmp_path / "a.nrrd").read_bytes() == (tmp_path / "b.nrrd").read_bytes()


@pytest.mark.parametrize("space", ["left-posterior-superior", "right-anterior-superior"])
def test_nrrd_is_read_in_either_handedness_of_space(tmp_path, space):
    data = np.arange(60, dtype="<i2").reshape(3, 4, 5)
    directions = affine(2, True)
    columns = " ".join("(" + ",".join(map(str, directions[:3, axis])) + ")" for axis in range(3))
    origin = "(" + ",".join(map(str, directions[:3, 3])) + ")"
    text = (
        f"NRRD0004\ntype: short\ndimension: 3\nspace: {space}\nsizes: 3 4 5\nspace directions: {columns}\n"
        f"kinds: domain domain domain\nendian: little\nencoding: raw\nspace origin: {origin}\n\n"
    )
    (tmp_path / "v.nrrd").write_bytes(text.encode() + data.tobytes(order="F"))
    found = read(tmp_path / "v.nrrd")
    expected = directions if space.startswith("right") else LPS @ directions
    assert np.abs(found.affine - expected).max() < 1e-9
    assert np.array_equal(found.voxels, data)


def test_scaled_integers_are_read_in_their_own_units(tmp_path):
    image = nib.Nifti1Image(np.arange(64, dtype=np.int16).reshape(4, 4, 4), np.eye(4))
    image.header.set_slope_inter(0.5, 10)
    nib.save(image, tmp_path / "v.nii")
    stored = nib.load(tmp_path / "v.nii")
    assert np.allclose(read(tmp_path / "v.nii").voxels, np.asanyarray(stored.dataobj))


def test_nifti_2_big_endian_and_wrongly_named_gzip_are_read(tmp_path):
    data = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    nib.save(nib.Nifti2Image(data, affine(1, False)), tmp_path / "two.nii")
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.float32)
    (tmp_path / "big.nii").write_bytes(nib.Nifti1Image(data, affine(1, False), header).to_bytes())
    nib.save(nib.Nifti1Image(data, affine(1, False)), tmp_path / "plain.nii")
    (tmp_path / "plain.nii").rename(tmp_path / "plain.nii.gz")
    for name in ("two.nii", "big.nii", "plain.nii.gz"):
        assert np.array_equal(read(tmp_path / name).voxels, data), name


def test_a_fourth_dimension_of_one_is_dropped_and_a_longer_one_refused(tmp_path):
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4, 1), np.float32), np.eye(4)), tmp_path / "one.nii.gz")
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4, 3), np.float32), np.eye(4)), tmp_path / "three.nii.gz")
    assert read(tmp_path / "one.nii.gz").voxels.shape == (4, 4, 4)
    with pytest.raises(InputError, match="single 3D volume"):
        read(tmp_path / "three.nii.gz")


def test_a_header_without_position_is_accepted_with_a_warning(tmp_path):
    image = nib.Nifti1Image(np.ones((4, 5, 6), np.float32), None)
    image.header.set_zooms((1, 2, 3))
    nib.save(image, tmp_path / "v.nii.gz")
    found = read(tmp_path / "v.nii.gz")
    assert np.allclose(found.spacing, (1, 2, 3))
    assert "no position" in found.meta["warnings"][0]


def test_the_bids_sidecar_gives_times_in_ms_and_the_slice_thickness(tmp_path):
    write(volume(), tmp_path / "sub-01_T1w.nii.gz")
    sidecar = {"RepetitionTime": 2.3, "EchoTime": 0.003, "InversionTime": 0.9, "SliceThickness": 3, "X": [1]}
    (tmp_path / "sub-01_T1w.json").write_text(json.dumps(sidecar))
    found = read(tmp_path / "sub-01_T1w.nii.gz")
    assert {k: round(v, 6) for k, v in found.meta.items()} == {"TR": 2300, "TE": 3, "TI": 900, "thickness": 3}
    assert Stack(found).thickness == 3
    (tmp_path / "sub-01_T1w.json").write_text("no json")
    assert read(tmp_path / "sub-01_T1w.nii.gz").meta == {}


@pytest.mark.parametrize("left_handed", [False, True])
def test_a_dicom_series_lies_where_its_positions_say(tmp_path, left_handed):
    voxels = np.random.default_rng(0).integers(0, 4000, (12, 10, 7))
    matrix = affine(3, left_handed)
    times = {"RepetitionTime": 2500.0, "EchoTime": 90.0, "InversionTime": 0.0, "MagneticFieldStrength": 3}
    extent = {"SliceThickness": 4.0, "SpacingBetweenSlices": 4.2, "SeriesDescription": "t2 axial"}
    files = write_series(tmp_path / "s", voxels, LPS @ matrix, slope=0.25, **times, **extent)
    for source in (tmp_path / "s", files[3]):
        found = read(source)
        # Slices come ordered along the normal of rows and columns, so a left-handed one is turned over.
        flipped = np.flip(found.voxels, 2) if left_handed else found.voxels
        assert np.array_equal(flipped, (voxels * 0.25).astype(np.float32))
        corner = [0, 0, 6, 1] if left_handed else [0, 0, 0, 1]
        assert np.abs(found.affine @ corner - matrix[:, 3]).max() < 1e-5
        assert np.abs(np.abs(found.affine[:3, :3]) - np.abs(matrix[:3, :3])).max() < 1e-5
        assert found.meta["thickness"] == 4.0 and found.meta["spacing_between_slices"] == 4.2
        assert (found.meta["TR"], found.meta["TE"], found.meta["TI"]) == (2500, 90, 0)
        assert found.meta["series_description"] == "t2 axial" and found.meta["field_strength"] == 3
        assert "Secret" not in repr(found.meta) + found.name


def test_a_file_chooses_its_series_where_a_folder_holds_several(tmp_path):
    first, second = np.full((8, 8, 4), 7), np.full((8, 8, 3), 9)
    write_series(tmp_path, first, np.diag([1.0, 1, 3, 1]), prefix="a", SeriesDescription="T1 ax")
    files = write_series(tmp_path, second, np.diag([1.0, 1, 4, 1]), prefix="b", SeriesDescription="T2 ax")
    assert read(files[0]).voxels.shape == (8, 8, 3)
    with pytest.raises(InputError, match=r"2 series: .*T1 ax \(4 images.*T2 ax \(3 images"):
        read(tmp_path)


def test_no_half_file_is_left_when_the_disk_is_full(tmp_path):
    """A limit on file size stands for the full disk: the write fails in the middle either way."""
    program = (
        "import sys, numpy, signal; from mrinr.volume import Volume, write\n"
        "v = Volume(numpy.random.default_rng(0).normal(size=(64, 64, 64)), numpy.eye(4))\n"
        "write(v, sys.argv[1])"
    )

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    for name in ("v.nii.gz", "v.nii", "v.nrrd"):
        command = [sys.executable, "-c", program, str(tmp_path / name)]
        done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True)
        assert "InputError" in done.stderr and "cannot be written" in done.stderr
        assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_said_in_one_sentence(tmp_path):
    for path in (
        tmp_path / "v.jpg",
        tmp_path / "v.nhdr",
        tmp_path / "missing" / "v.nii",
        Path("/proc/v.nii"),
    ):
        with pytest.raises(InputError, match=r"cannot be written|ending"):
            write(volume(), path)


def test_real_oblique_scans_keep_their_geometry(tmp_path, data):
    for path in sorted((data / "ms_raw/patient01/visit1").glob("*.nii.gz")):
        found = read(path)
        assert np.abs(found.affine - itk_affine(path)).max() < 0.02  # ITK reads the qform, which is rounded
        write(found, tmp_path / "v.nrrd")
        assert np.abs(read(tmp_path / "v.nrrd").affine - found.affine).max() < 1e-9
