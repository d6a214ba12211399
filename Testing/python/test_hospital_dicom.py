"""DICOM as hospitals have it: enhanced multi-frame, localizers, copies, missing slices, compression. Each
has an answer, a volume that lies where its slices say or one sentence."""

from __future__ import annotations

import shutil

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_files import compress, write_enhanced, write_series

from mrinr.errors import InputError
from mrinr.volume import Stack, Volume, read

LPS = np.diag([-1.0, -1, 1, 1])
THICK = np.diag([0.9, 1.1, 4.0, 1.0])


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 4000, shape)


def oblique(seed: int = 1, reverse: bool = False) -> np.ndarray:
    """Index to LPS mm: turned, right-handed, or left-handed, when slices are stacked against their normal."""
    axes, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1]) * (-1 if reverse else 1)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes * (0.9, 1.1, 4.0), (31.25, -17.5, 8.0)
    return affine


def check_place(found: Volume, voxels: np.ndarray, lps: np.ndarray) -> None:
    """Every voxel has its value at its place, in whatever order the reader put the slices."""
    expected = LPS @ lps
    index = np.stack(np.indices(voxels.shape), -1).reshape(-1, 3)
    world = index @ expected[:3, :3].T + expected[:3, 3]
    back = (world - found.affine[:3, 3]) @ np.linalg.inv(found.affine[:3, :3]).T
    assert np.abs(back - np.round(back)).max() < 1e-4
    got = found.voxels[tuple(np.round(back).astype(int).T)]
    np.testing.assert_allclose(got, voxels.reshape(-1), rtol=1e-6)


# Enhanced multi-frame -----------------------------------------------------------------------------------


@pytest.mark.parametrize("per_frame", [True, False])
@pytest.mark.parametrize("reverse", [True, False])
def test_an_enhanced_file_lies_where_its_frames_say_with_its_times(tmp_path, per_frame, reverse):
    voxels, affine = noise(12, 10, 7), oblique(reverse=reverse)
    said = {"TR": 9000.0, "TE": 120.0, "TI": 2500.0, "thickness": 3.5}
    path = write_enhanced(tmp_path / "e.dcm", [(voxels, affine, said)], per_frame, SeriesDescription="FLAIR")
    for source in (path, tmp_path):
        found = read(source)
        check_place(found, voxels, affine)
        assert (found.meta["TR"], found.meta["TE"], found.meta["TI"]) == (9000, 120, 2500)
        assert (found.meta["thickness"], found.meta["spacing_between_slices"]) == (3.5, 4.0)
        assert found.meta["series_description"] == "FLAIR" and found.meta["field_strength"] == 3
        assert Stack(found).thickness == 3.5 and "Secret" not in repr(found.meta) + found.name


def test_an_enhanced_file_agrees_with_the_same_slices_one_by_one(tmp_path):
    voxels, affine = noise(12, 10, 7), oblique(3)
    one = read(write_enhanced(tmp_path / "e.dcm", [(voxels, affine, {})]))
    write_series(tmp_path / "s", voxels, affine)
    many = read(tmp_path / "s")
    np.testing.assert_allclose(one.affine, many.affine, atol=1e-5)
    np.testing.assert_array_equal(one.voxels, many.voxels)


def test_every_frame_has_its_own_rescaling(tmp_path):
    voxels = noise(12, 10, 5)
    said = {"slope": lambda k: 0.5 + k, "intercept": -7}
    found = read(write_enhanced(tmp_path / "e.dcm", [(voxels, THICK, said)]))
    check_place(found, voxels * (0.5 + np.arange(5)) - 7, THICK)
    for k, path in enumerate(write_series(tmp_path / "s", voxels, THICK)):  # the first as integers
        slice_ = pydicom.dcmread(path)
        slice_.RescaleSlope, slice_.RescaleIntercept = 1 + 0.25 * k, -7
        slice_.save_as(path)
    check_place(read(tmp_path / "s"), voxels * (1 + 0.25 * np.arange(5)) - 7, THICK)


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({"TE": 12.0}, {"TE": 98.0}, r"2 volumes: echo (12|98).*; echo .*5 slices"),
        ({"stack": 1}, {"stack": 2}, r"stack 1 \(5 slices\)"),
        ({"b": 0.0}, {"b": 1000.0}, r"b 1000"),
        ({"time": 1}, {"time": 2}, r"time point 2"),
    ],
)
def test_several_volumes_in_one_file_are_listed(tmp_path, one, other, said):
    path = write_enhanced(
        tmp_path / "e.dcm", [(noise(12, 10, 5), THICK, one), (noise(12, 10, 5), THICK, other)]
    )
    with pytest.raises(InputError, match=said) as caught:
        read(path)
    assert "as its own series" in str(caught.value)


def test_enhanced_files_without_places_of_localizers_and_cut_off_get_a_sentence(tmp_path):
    localizer = ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"]
    parts = [(noise(12, 10, 5), THICK, {})]
    with pytest.raises(InputError, match="is a localizer"):
        read(write_enhanced(tmp_path / "localizer" / "e.dcm", parts, ImageType=localizer))
    path = write_enhanced(tmp_path / "placeless" / "e.dcm", parts)
    file = pydicom.dcmread(path)
    del file.PerFrameFunctionalGroupsSequence
    file.save_as(path)
    with pytest.raises(InputError, match="without a position"):
        read(path)
    whole = write_enhanced(tmp_path / "cut" / "e.dcm", parts).read_bytes()
    for part in (0.3, 0.6, 0.9):
        (tmp_path / "cut" / "e.dcm").write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(InputError, match=r"truncated|damaged"):
            read(tmp_path / "cut" / "e.dcm")


def test_two_enhanced_files_of_one_series_are_two_volumes(tmp_path):
    same = pydicom.uid.generate_uid()
    for name, echo in (("a", 12.0), ("b", 98.0)):
        parts = [(noise(12, 10, 5), THICK, {"TE": echo})]
        write_enhanced(tmp_path / f"{name}.dcm", parts, SeriesInstanceUID=same)
    with pytest.raises(InputError, match=r"2 files that are volumes each: a.dcm, b.dcm"):
        read(tmp_path)
    assert read(tmp_path / "b.dcm").meta["TE"] == 98


# Series of single slices -----------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [True, False])
def test_oblique_series_lie_where_their_slices_say_in_any_order(tmp_path, reverse):
    voxels, affine = noise(12, 10, 7), oblique(5, reverse)
    write_series(tmp_path / "s", voxels, affine)
    check_place(read(tmp_path / "s"), voxels, affine)


def test_missing_slices_are_counted_and_uneven_ones_refused(tmp_path):
    voxels = noise(12, 10, 9)
    write_series(tmp_path / "hole", voxels, THICK, keep=[0, 1, 2, 5, 6, 7, 8])
    with pytest.raises(InputError, match=r"4.00 to 12.00 mm\): 2 of 9 slices missing, after slice 3;"):
        read(tmp_path / "hole")
    for n, path in enumerate(write_series(tmp_path / "uneven", voxels, THICK)):
        slice_ = pydicom.dcmread(path)
        slice_.ImagePositionPatient[2] = float(4 * n + 0.3 * (n % 2))
        slice_.save_as(path)
    with pytest.raises(InputError, match=r"uneven slice distances .* or it is no single volume"):
        read(tmp_path / "uneven")
    for n, path in enumerate(write_series(tmp_path / "rounded", voxels, THICK)):
        slice_ = pydicom.dcmread(path)
        slice_.ImagePositionPatient[2] = float(4 * n + 0.01 * (n % 2))  # as scanners round
        slice_.save_as(path)
    assert read(tmp_path / "rounded").voxels.shape == (12, 10, 9)


def test_copies_of_slices_are_left_out_with_a_warning(tmp_path):
    voxels = noise(12, 10, 5)
    for path in write_series(tmp_path / "s", voxels, THICK)[:2]:
        shutil.copy(path, path.with_name(f"{path.stem} (1).dcm"))
    found = read(tmp_path / "s")
    check_place(found, voxels, THICK)
    assert "2 images twice" in found.meta["warnings"][0]


def test_two_echoes_in_one_series_are_chosen_by_naming_a_file(tmp_path):
    first, second, same = noise(12, 10, 5), noise(12, 10, 5) // 2, pydicom.uid.generate_uid()
    write_series(tmp_path, first, THICK, prefix="pd", EchoTime=12.0, SeriesInstanceUID=same)
    files = write_series(tmp_path, second, THICK, prefix="t2", EchoTime=98.0, SeriesInstanceUID=same)
    with pytest.raises(InputError, match="several images at one position"):
        read(tmp_path)
    found = read(files[2])
    check_place(found, second, THICK)
    assert found.meta["TE"] == 98


def test_a_localizer_beside_the_series_is_left_out_with_a_warning(tmp_path):
    voxels = noise(12, 10, 5)
    scout = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    write_series(tmp_path, noise(12, 10, 3), np.eye(4), prefix="scout", ImageType=scout)
    write_series(tmp_path, voxels, THICK, prefix="t1")
    found = read(tmp_path)
    check_place(found, voxels, THICK)
    assert "localizer, which is left out" in found.meta["warnings"][0]


def test_three_planes_in_one_series_are_a_localizer(tmp_path):
    same = pydicom.uid.generate_uid()
    for name, axes in (("a", [0, 1, 2]), ("b", [0, 2, 1]), ("c", [1, 2, 0])):
        turned = np.eye(4)
        turned[:3, :3] = np.eye(3)[:, axes] * 4
        write_series(tmp_path, noise(12, 12, 3), turned, prefix=name, SeriesInstanceUID=same)
    with pytest.raises(InputError, match="several orientations"):
        read(tmp_path)


def test_a_sheared_stack_is_refused(tmp_path):
    tilted = THICK.copy()
    tilted[1, 2] = 1.5  # every slice lies 1.5 mm further along its own rows, as under a tilted gantry
    write_series(tmp_path / "s", noise(12, 10, 7), tilted)
    with pytest.raises(InputError, match="sheared geometry"):
        read(tmp_path / "s")


# Compression -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["RLE", "JPEG", "JPEG2000"])
def test_compressed_images_are_read(tmp_path, codec):
    voxels = noise(32, 24, 4)
    for path in write_series(tmp_path / "s", voxels, THICK):
        compress(path, codec)
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID.is_compressed
    check_place(read(tmp_path / "s"), voxels, THICK)
    path = write_enhanced(tmp_path / "e.dcm", [(voxels, THICK, {})])
    compress(path, codec)
    check_place(read(path), voxels, THICK)


def test_without_a_decoder_the_compression_is_named(tmp_path):
    parts = [(noise(12, 10, 3), THICK, {})]
    for path in [
        *write_series(tmp_path / "s", parts[0][0], THICK),
        write_enhanced(tmp_path / "e.dcm", parts),
    ]:
        file = pydicom.dcmread(path)
        compress(path, "JPEG2000")
        file = pydicom.dcmread(path)
        file.file_meta.TransferSyntaxUID = pydicom.uid.MPEG4HP41
        file.save_as(path)
    for path in (tmp_path / "s", tmp_path / "e.dcm"):
        with pytest.raises(InputError, match=r"MPEG-4.*uncompressed"):
            read(path)


def test_simpleitk_sees_the_same_place(tmp_path):
    """The oblique single slices above, by a reader of others."""
    voxels, affine = noise(12, 10, 7), oblique(9)
    write_series(tmp_path / "s", voxels, affine)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "s"))
    itk, found = sitk.ReadImage(names), read(tmp_path / "s")
    corner = itk.TransformContinuousIndexToPhysicalPoint([11.0, 9.0, 6.0])
    assert np.abs(LPS[:3, :3] @ np.array(corner) - found.grid.world(np.array([11, 9, 6]))).max() < 1e-3
