"""Ten thousand random events on each panel: no exception, nothing left behind."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest
from random_user import RandomUser, nothing_goes_wrong
from slicer_session import ROOT, slicer, wait_until

pytest.importorskip("torch")

EVENTS = 10_000
STARTERS = {
    "MRINRSuperRes": ("applyButton",),
    "MRINRSynthesis": ("applyButton",),
    "ContrastCRL": ("applyButton",),
}
NAMES = ("T1 ax", "T2 cor", "FLAIR sag", "T1", "T2")


def load(number: int):
    """A small volume; now and then one that cannot be used."""
    spacing = [(1.0, 1.0, 4.0), (1.0, 4.0, 1.0), (4.0, 1.0, 1.0)][number % 3]
    voxels = np.random.default_rng(number).uniform(0, 100, [round(24 / mm) for mm in spacing][::-1])
    if number % 7 == 0:
        voxels[:] = 3
    node = slicer.util.addVolumeFromArray(
        voxels.astype(np.float32), np.diag([*spacing, 1.0]), f"{NAMES[number % 5]} {number}"
    )
    node.CreateDefaultDisplayNodes()
    return node


def workers() -> list[int]:
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "mrinr.engine.worker" in " ".join(child.cmdline()):
                found.append(child.pid)
        except psutil.Error:
            continue
    return found


def private_folders() -> set[str]:
    return {path.name for path in Path(tempfile.gettempdir()).glob("mrinr-engine-*")}


def kinds_in_scene() -> Counter:
    scene = slicer.mrmlScene
    scene.GetSubjectHierarchyNode()  # made when it is first asked for
    return Counter(scene.GetNthNode(n).GetClassName() for n in range(scene.GetNumberOfNodes()))


@pytest.mark.parametrize("name", STARTERS)
def test_ten_thousand_random_events_leave_nothing_behind(name, monkeypatch, tmp_path):
    import qt

    from MRINRLib import engine

    engine.closeShared()
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_: "")  # nobody chooses
    slicer.mrmlScene.Clear()
    module = slicer.loadModule(ROOT / name / f"{name}.py")
    parent = module.widgetRepresentation()
    parent.resize(440, 900)
    parent.show()
    parent.enter()
    panel = slicer.util.getModuleWidget(name)
    folders = private_folders()

    def observed() -> int:
        return len(panel.Observations)

    parent.exit()
    manager = slicer.app.layoutManager()
    for layout in (slicer.vtkMRMLLayoutNode.SlicerLayoutThreeOverThreeView, manager.layout):
        manager.setLayout(layout)  # the views of comparisons stay, once they have been shown
    slicer.mrmlScene.Clear()
    empty, observers = kinds_in_scene(), observed()
    parent.enter()
    user = RandomUser(panel, load, seed=5, starters=STARTERS[name])
    with nothing_goes_wrong():
        user.act(EVENTS)
        assert len(workers()) <= (2 if name == "ContrastCRL" else 1)  # that panel has one of its own
        if panel._job is not None:
            panel._job.cancel()
            wait_until(lambda: panel._job is None, "the end of the last job")
        parent.exit()
        slicer.mrmlScene.Clear()
        slicer.app.processEvents()
        engine.closeShared()
        slicer.app.processEvents()
    least = 0 if name == "ContrastCRL" else 1  # it has nothing to start with: its scans lack times
    assert sum(user.done.values()) > 0.9 * EVENTS and user.done.get("applyButton", 0) >= least
    assert kinds_in_scene() == empty
    assert observed() == observers
    assert workers() == []
    assert private_folders() <= folders
