"""Make the README's pictures of the panels, each beside the views, on the simulated sample data.

    .venv/bin/python Testing/tools/readme_pictures.py MRINRSuperRes [METHOD]
    .venv/bin/python Testing/tools/readme_pictures.py MRINRSynthesis
    .venv/bin/python Testing/tools/readme_pictures.py ContrastCRL
    .venv/bin/python Testing/tools/readme_pictures.py flair DATA/ms_registered/patient19

Panels run in the tests' stand-in for Slicer, so their widgets look plainer than Slicer's. The last one needs
no panel: it shows a FLAIR that was made from a real patient's T1 and T2 beside the measured one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "python")]

PICTURES = ROOT / "Resources" / "Screenshots"
HEIGHT = 240  # pixels of a slice


def super_resolution(method: str = "auto") -> None:
    def use(panel: Any, sample_data: Any, run: Callable) -> None:
        sample_data.load()
        panel.ui.fillButton.click()
        panel._parameterNode.method = method
        run(panel.ui.applyButton)
        assert panel._parameterNode.results, panel.ui.messageLabel.text
        panel.ui.compareButton.click()

    photograph("MRINRSuperRes", (580, 860), use)


def synthesis() -> None:
    """FLAIR from T1 and T2; the measured FLAIR above, the synthetic one below."""

    def use(panel: Any, sample_data: Any, run: Callable) -> None:
        *_, flair = sample_data.load(sample_data.THREE_SEQUENCES)
        panel.ui.fillButton.click()
        box = panel.ui.inputsTable.cellWidget(2, 1)
        box.setCurrentIndex(0)
        box.activated.emit(0)
        panel.ui.referenceSelector.setCurrentNode(flair)
        panel._parameterNode.target = "FLAIR"
        run(panel.ui.applyButton)
        assert panel._parameterNode.results, panel.ui.messageLabel.text
        run(panel.ui.evaluateButton)
        beside = panel.ui.compareBox
        beside.currentIndex = [beside.itemText(n).startswith("measured") for n in range(beside.count)].index(
            True
        )
        panel.ui.compareButton.click()

    photograph("MRINRSynthesis", (580, 1150), use)


def contrast() -> None:
    """The T2 as T1-FLAIR, live: the scan above, the live image below."""

    def use(panel: Any, sample_data: Any, run: Callable) -> None:
        from slicer_session import wait_until

        _t1, t2, _flair = sample_data.load(sample_data.THREE_SEQUENCES)
        panel.ui.addSelector.setCurrentNode(t2)
        panel.ui.addButton.click()
        panel.ui.besideBox.click()
        panel.ui.liveButton.click()
        wait_until(lambda: panel._live.shown and panel._live._running is None, "the live view", seconds=3600)

    photograph("ContrastCRL", (580, 860), use)


def photograph(module: str, size: tuple[int, int], use: Callable) -> None:
    """Open a module's panel, let `use` work with it, and save panel and views under the module's name."""
    from slicer_session import slicer, wait_until

    loaded = slicer.loadModule(ROOT / module / f"{module}.py")
    from MRINRLib import engine, sample_data

    parent = loaded.widgetRepresentation()
    parent.resize(*size)
    parent.show()
    parent.enter()
    panel = slicer.util.getModuleWidget(module)

    def run(button: Any) -> None:
        button.click()
        wait_until(lambda: panel._job is None, "the end of the job", seconds=3600)

    use(panel, sample_data, run)
    for _ in range(5):  # wrapped text settles its height while it is drawn
        slicer.app.processEvents()
        picture = parent.grab()
    with TemporaryDirectory() as folder:
        picture.save(f"{folder}/panel.png")
        slicer.app.layoutManager().save(f"{folder}/views.png")
        window = beside(*(Image.open(f"{folder}/{name}.png").convert("RGB") for name in ("panel", "views")))
    save(window, module)
    engine.closeShared()


def beside(panel: Image.Image, views: Image.Image) -> Image.Image:
    """The panel and the views at its height, as in Slicer's window."""
    views = views.resize((views.width * panel.height // views.height, panel.height), Image.Resampling.LANCZOS)
    window = Image.new("RGB", (panel.width + views.width, panel.height))
    window.paste(panel, (0, 0))
    window.paste(views, (panel.width, 0))
    return window


def flair(folder: str) -> None:
    """Inputs, the synthetic FLAIR with its uncertainty, and the measured one; prints how near it is."""
    from mrinr.metrics import evaluate
    from mrinr.pictures import middle, panel, plane_axis, slice_image
    from mrinr.synthesis import synthesize
    from mrinr.volume import Volume, read

    scans = {name: read(Path(folder) / f"{name}.nii.gz") for name in ("T1", "T2", "FLAIR")}
    truth = scans.pop("FLAIR")
    result = synthesize(scans, "FLAIR", register="off")
    inside = result.brain.voxels > 0
    made, real = (volume.voxels[inside] for volume in (result.volume, truth))
    gain, offset = np.polyfit(made, real, 1)  # the units of MR are arbitrary
    matched = result.volume.with_voxels((gain * result.volume.voxels + offset) * (result.volume.voxels > 0))
    uncertainty = result.uncertainty.with_voxels(gain * result.uncertainty.voxels)
    print(evaluate(truth, matched, result.brain, inputs=list(scans.values())))
    at = np.nonzero(inside)
    low, high = (tuple(int(function(a)) for a in at) for function in (np.min, np.max))

    def cut(volume: Volume) -> Volume:
        part = volume.voxels[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))]
        return Volume(part, volume.grid.crop(low, high).affine, volume.name)

    white = 1.1 * float(np.percentile(real, 99.5))
    shown = [
        (scans["T1"], "T1, measured", 1.1 * float(np.percentile(scans["T1"].voxels[inside], 99.5))),
        (scans["T2"], "T2, measured", 1.1 * float(np.percentile(scans["T2"].voxels[inside], 99.5))),
        (matched, "FLAIR, SYNTHETIC", white),
        (uncertainty, "its uncertainty (x 2)", white / 2),
        (truth, "FLAIR, measured", white),
    ]
    point = truth.grid.world(np.argwhere(inside).mean(0)) + np.array([12.0, 0.0, 8.0])
    rows = [
        [
            slice_image(part, axis, middle(part, axis, point), (0.0, top), HEIGHT, smooth=True)
            for part, top in ((cut(volume), top) for volume, _, top in shown)
            for axis in [plane_axis(part, plane)]
        ]
        for plane in ("axial", "sagittal")
    ]
    captions = [[caption for _, caption, _ in shown]] * len(rows)
    save(panel(rows, captions, "A FLAIR from T1 and T2 (brightness and contrast matched)"), "synthesis_flair")


def save(picture: Image.Image, name: str) -> None:
    PICTURES.mkdir(exist_ok=True)
    picture.convert("RGB").quantize(128).save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    what = {
        "MRINRSuperRes": super_resolution,
        "MRINRSynthesis": synthesis,
        "ContrastCRL": contrast,
        "flair": flair,
    }
    name, *options = sys.argv[1:]
    what[name](*options)
