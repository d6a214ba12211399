"""Sample data: made on this computer by the simulator, so that nothing is downloaded."""

from __future__ import annotations

import gzip
import logging
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from mrinr.engine import EngineError, Event
from mrinr.errors import InputError
from mrinr.resources import resource
from MRINRLib import engine, install, nodes, provenance, sample_task

CATEGORY = "MRINR"
THICK_SLICES, THREE_SEQUENCES = "MRINRThickSlices", "MRINRThreeSequences"
NAME_SUFFIX = " (simulated)"


def register(sample: str, thumbnail: str) -> None:
    """Add a sample to Slicer's Sample Data module; does nothing where that module is missing."""
    try:
        import SampleData
    except ModuleNotFoundError:
        return
    SampleData.SampleDataLogic.registerCustomSampleDataCategory(CATEGORY, title=_("MRINR"))
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=sample,
        uris="",
        fileNames="",
        nodeNames="",
        thumbnailFileName=thumbnail,
        customDownloader=lambda source: _onClicked(sample),
    )


def _onClicked(sample: str) -> list[Any]:
    try:
        return load(sample)
    except (InputError, EngineError) as error:
        slicer.util.errorDisplay(str(error))
        return []


def load(sample: str = THICK_SLICES) -> list[Any]:
    """Simulate a sample, add it to the scene and show it; returns the volume nodes.

    Raises InputError or EngineError with one sentence.
    """
    install.ensure("MRINR", {"nibabel": "nibabel>=5.2"})
    last: list[Event] = []

    def onEvent(event: Event) -> None:
        if event.kind == "progress":
            slicer.util.showStatusMessage(event.data["text"], 1000)
        last[:] = [event]

    engine.shared().wait(engine.shared().submit(sample_task.TASK, {}, {"sample": sample}, onEvent))
    event = last[0]
    if event.kind == "failed":
        logging.error("MRINR sample data: %s", event.data["details"])
        raise (InputError if event.data["input"] else EngineError)(event.data["text"])
    found = [_node(volume, name) for name, volume in event.volumes.items()]
    if found:
        slicer.util.setSliceViewerLayers(background=found[0], foreground=None, label=None, fit=True)
    return found


def _node(volume: Any, name: str) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass(
        "vtkMRMLScalarVolumeNode", slicer.mrmlScene.GenerateUniqueName(name + NAME_SUFFIX)
    )
    nodes.updateNode(node, volume)
    provenance.writeTimes(node, volume.meta)
    node.CreateDefaultDisplayNodes()
    high = float(np.percentile(volume.voxels, 99.8))
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevel(high, high / 2)
    return node


def averageHead() -> Any:
    """A node with the T1-weighted average brain that comes with MRINR, every second voxel; for tests."""
    content = gzip.decompress(resource("anatomy", "icbm152_t1.nii.gz").read_bytes())
    shape, start = np.frombuffer(content, "<i2", 3, 42), int(np.frombuffer(content, "<f4", 1, 108)[0])
    affine = np.vstack([np.frombuffer(content, "<f4", 12, 280).reshape(3, 4), [0, 0, 0, 1]])
    voxels = np.frombuffer(content, np.uint8, shape.prod(), start).reshape(shape[::-1])[::2, ::2, ::2]
    affine = affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    node = slicer.util.addVolumeFromArray(voxels.astype("float32"), affine, "T1 average")
    node.CreateDefaultDisplayNodes()
    return node
