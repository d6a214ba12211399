"""A series that was interpolated across its slices is recognised; one that was acquired so is not.

The truth is independent: a head of the simulator, cut into thick slices by `degrade`, interpolated here by
scipy or by zero-filling; and real scans, whose history is known.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from mrinr import through_plane
from mrinr.degrade import degrade
from mrinr.simulation import icbm, simulate_subject
from mrinr.superres import reconstruct
from mrinr.volume import Stack, Volume, read


@cache
def head() -> Volume:
    """A simulated T2 of 1 mm with noise."""
    volume = simulate_subject(icbm(), ["T2"], lesions="none", spacing=1.0).volumes["T2"]
    noise = (
        0.02 * np.percentile(volume.voxels, 99) * np.random.default_rng(0).normal(size=volume.voxels.shape)
    )
    return volume.with_voxels(np.abs(volume.voxels + noise), "T2")


def interpolate(volume: Volume, axis: int, factor: int, how: str) -> Volume:
    """`volume` with `factor` times as many slices along `axis`, and no word of it in its header."""
    count = volume.voxels.shape[axis] * factor
    if how == "zero-filling":
        voxels = np.fft.irfft(np.fft.rfft(volume.voxels, axis=axis), n=count, axis=axis) * factor
    else:
        shape = [count if n == axis else size for n, size in enumerate(volume.voxels.shape)]
        step = [1 / factor if n == axis else 1 for n in range(3)]
        order = {"linear": 1, "cubic": 3}[how]
        voxels = ndimage.affine_transform(
            volume.voxels, step, output_shape=shape, order=order, mode="nearest"
        )
    affine = volume.affine.copy()
    affine[:3, axis] /= factor
    return Volume(voxels, affine, volume.name)


@pytest.mark.parametrize("how", ["linear", "cubic", "zero-filling"])
@pytest.mark.parametrize(("thickness", "factor", "axis"), [(3, 2, 2), (3, 3, 1), (4, 4, 0), (2, 2, 2)])
def test_interpolated_slices_are_found_with_their_thickness(how, thickness, factor, axis):
    found = through_plane.find(interpolate(degrade(head(), axis, thickness), axis, factor, how))
    assert found is not None and found.axis == axis
    assert found.spacing == pytest.approx(thickness / factor)
    assert found.thickness == pytest.approx(thickness, rel=0.35)


@pytest.mark.parametrize("thickness", [2, 3, 4, 5])
@pytest.mark.parametrize("profile", ["box", "slr"])
def test_slices_as_acquired_are_left_alone(thickness, profile):
    assert through_plane.find(degrade(head(), 2, thickness, profile=profile)) is None


def test_an_isotropic_volume_is_left_alone_and_so_is_what_is_too_small_to_tell():
    assert through_plane.find(head()) is None
    assert through_plane.find(Volume(head().voxels[80:100, 80:100, 60:72], np.eye(4))) is None
    assert through_plane.find(Volume(np.zeros((40, 40, 40)), np.eye(4))) is None
    assert through_plane.find(Volume(np.random.default_rng(0).normal(size=(64, 64, 64)), np.eye(4))) is None


def test_real_scans_are_judged_by_their_history(data):
    """T1, T2 and T1ce were slices of about 3 mm once, before they came onto a grid of 1 mm; FLAIR was 3D."""
    for patient in ("patient07", "patient19"):
        for name in ("T1", "T2", "T1ce"):
            found = through_plane.find(read(data / "ms_registered" / patient / f"{name}.nii.gz"))
            assert found is not None and found.axis == 2 and 2 < found.thickness < 3.6, (patient, name)
        assert through_plane.find(read(data / "ms_registered" / patient / "FLAIR.nii.gz")) is None
    for path in sorted((data / "ms_raw/patient01").glob("visit*/*.nii.gz")):
        scan = read(path)  # thick slices as acquired
        assert through_plane.find(scan) is None, path
        found = through_plane.find(interpolate(scan, 2, 2, "zero-filling"))
        assert found is not None and found.thickness == pytest.approx(scan.spacing[2], rel=0.25), path


def test_the_sentence_names_the_thickness_and_is_silent_where_it_is_stated():
    volume = interpolate(degrade(head(), 2, 3), 2, 3, "cubic")
    text = through_plane.warning(Stack(volume, "T2", slice_axis=2))
    assert text is not None
    assert "T2 looks interpolated: its axial slices are 1 mm apart" in text and "about 3 mm" in text
    assert through_plane.warning(Stack(volume, "T2", slice_axis=2, thickness=3.0)) is None


def test_super_resolution_warns_and_goes_on():
    part = interpolate(degrade(head(), 2, 3), 2, 3, "linear")
    result = reconstruct([Stack(part, "T2", slice_axis=2)], method="cubic", spacing=2.0)
    assert any("looks interpolated" in warning for warning in result.report["warnings"])


def test_the_panel_says_it_where_stacks_are_listed():
    from slicer_session import ROOT, slicer

    slicer.mrmlScene.Clear()
    module = slicer.loadModule(ROOT / "MRINRSuperRes" / "MRINRSuperRes.py")
    parent = module.widgetRepresentation()
    parent.enter()
    panel = slicer.util.getModuleWidget("MRINRSuperRes")
    volume = interpolate(degrade(head(), 2, 4), 2, 2, "cubic")
    voxels = np.ascontiguousarray(volume.voxels.transpose(2, 1, 0))
    node = slicer.util.addVolumeFromArray(voxels, volume.affine, "ax T2")
    panel.ui.fillButton.click()
    assert "ax T2 looks interpolated" in panel.ui.messageLabel.text
    panel.ui.addSelector.setCurrentNode(node)
    panel.ui.addButton.click()
    assert "about 4 mm" in panel.ui.messageLabel.text
    parent.exit()
    slicer.mrmlScene.Clear()
