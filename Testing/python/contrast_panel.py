"""The panel of ContrastCRL with a small model, and what tests do with it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from slicer_session import ROOT, screenshot, shown, slicer, wait_until

pytest.importorskip("torch")

import small_contrast
from small_contrast import T2
from small_models import centred

from mrinr import bundles
from mrinr.contrast.parameters import times

SHAPE = (40, 44, 40)
AFFINE = centred(np.eye(3), 2.0, SHAPE)


@pytest.fixture(scope="module")
def shelf(made_once):
    return made_once("small_contrast", small_contrast.make)


@pytest.fixture(scope="module")
def module(shelf):
    """The module with the small model, here and in the worker."""
    from MRINRLib import contrast_job, engine

    engine.closeShared()
    changed = pytest.MonkeyPatch()
    changed.setenv(small_contrast.SHELF, str(shelf))
    changed.setattr(bundles, "_shipped_folders", small_contrast.on_the_shelf)
    for name, task in (("CHANGE", "run"), ("ENCODE", "encode"), ("SLICES", "slices"), ("SWEEP", "sweep"),
                       ("SEARCH", "search")):  # fmt: skip
        changed.setattr(contrast_job, name, f"small_contrast:{task}")
    slicer.mrmlScene.Clear()
    yield slicer.loadModule(ROOT / "ContrastCRL" / "ContrastCRL.py")
    engine.closeShared()
    changed.undo()


@pytest.fixture
def panel(module):
    with shown(module, "ContrastCRL", 1280) as widget:
        slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        yield widget


@pytest.fixture
def logic(module):
    slicer.mrmlScene.Clear()
    yield slicer.util.getModuleLogic("ContrastCRL")
    slicer.mrmlScene.Clear()


def load(played, name="T2 head", affine=AFFINE, shape=SHAPE, known=True):
    """A volume node with the head; `known` whether its times are written on it."""
    from MRINRLib import provenance

    volume = small_contrast.scan(played, affine, shape)
    node = slicer.util.addVolumeFromArray(
        np.ascontiguousarray(volume.voxels.transpose(2, 1, 0)), volume.affine, name
    )
    node.CreateDefaultDisplayNodes()
    if known:
        provenance.writeTimes(node, dict(zip(("TR", "TE", "TI"), times(played), strict=True)))
    return node


def fine(name="T2 head"):
    """A head of many voxels, which takes a while."""
    shape = (110, 120, 100)
    return load(T2, name, centred(np.eye(3), 0.8, shape), shape)


def fill(panel):
    node = load(T2)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    panel.ui.fillButton.click()
    return node


def live(panel) -> None:
    """Switch the live view on and wait for its first picture."""
    assert panel.ui.liveButton.enabled, panel.ui.liveButton.toolTip
    panel.ui.liveButton.click()
    wait_until(lambda: panel._live.shown or not panel._live.isOn, "the live view")
    assert panel._live.isOn, panel.ui.messageLabel.text


def settle(panel) -> None:
    """Wait until the views show what the sliders say."""
    wait_until(lambda: panel._live._running is None and panel._live.isReady, "the live view")


def finish(panel) -> None:
    wait_until(lambda: panel._job is None, "the end of the job")
    assert not is_error(panel), panel.ui.messageLabel.text


def is_error(panel) -> bool:
    return bool(panel.ui.messageLabel.text) and panel.ui.messageLabel.font.bold()


def composite(view: str):
    return slicer.app.layoutManager().sliceWidget(view).mrmlSliceCompositeNode()


def image_in(view: str):
    return slicer.mrmlScene.GetNodeByID(composite(view).GetForegroundVolumeID() or "")


def marked(view: str) -> bool:
    annotation = slicer.app.layoutManager().sliceWidget(view).sliceView().cornerAnnotation()
    return annotation.GetText(annotation.UpperEdge) == "SYNTHETIC"


def fluid(node) -> float:
    """The median of the fluid at the right of the middle in a live image or a volume."""
    from MRINRLib import nodes

    voxels = slicer.util.arrayFromVolume(node).transpose(2, 1, 0)
    affine = nodes.affineFromNode(node)
    world = np.moveaxis(np.indices(voxels.shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    return float(np.median(voxels[np.linalg.norm((world - (8, 0, 0)) / (4, 8, 5), axis=-1) < 1]))


def picture(panel, name: str, tmp_path) -> None:
    for _ in range(5):  # labels that wrap settle their heights one after the other
        slicer.app.processEvents()
    assert panel.parent.grab().save(screenshot(f"contrast_{name}_panel", tmp_path))
    views = screenshot(f"contrast_{name}_views", tmp_path)
    slicer.app.layoutManager().save(views)
    assert np.asarray(Image.open(views).convert("L")).std() > 5


def affine_of(node) -> np.ndarray:
    from MRINRLib import nodes

    return nodes.affineFromNode(node)


def said(node) -> dict[str, str]:
    return {
        name.removeprefix("MRINR."): node.GetAttribute(name)
        for name in node.GetAttributeNames()
        if name.startswith("MRINR.")
    }
