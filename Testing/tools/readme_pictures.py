"""Make the README's picture of MRINRSuperRes: the panel beside the views, on the simulated sample data.

    .venv/bin/python Testing/tools/readme_pictures.py [METHOD]

Runs the module in the tests' stand-in for Slicer, so its widgets look plainer than Slicer's.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "python")]

from slicer_session import slicer, wait_until  # noqa: E402

PICTURES = ROOT / "Resources" / "Screenshots"
PANEL = (580, 860)


def main(method: str) -> None:
    module = slicer.loadModule(ROOT / "MRINRSuperRes" / "MRINRSuperRes.py")
    from MRINRLib import engine, sample_data

    parent = module.widgetRepresentation()
    parent.resize(*PANEL)
    parent.show()
    parent.enter()
    panel = slicer.util.getModuleWidget("MRINRSuperRes")
    sample_data.load()
    panel.ui.fillButton.click()
    panel._parameterNode.method = method
    panel.ui.applyButton.click()
    wait_until(lambda: panel._job is None, "the result", seconds=3600)
    assert panel._parameterNode.results, panel.ui.messageLabel.text
    panel.ui.compareButton.click()
    for _ in range(2):  # wrapped text settles its height while it is drawn
        slicer.app.processEvents()
        picture = parent.grab()
    with TemporaryDirectory() as folder:
        picture.save(f"{folder}/panel.png")
        slicer.app.layoutManager().save(f"{folder}/views.png")
        beside(*(Image.open(f"{folder}/{name}.png").convert("RGB") for name in ("panel", "views")))
    engine.closeShared()


def beside(panel: Image.Image, views: Image.Image) -> None:
    """The panel and the views at its height, as in Slicer's window."""
    views = views.resize((views.width * panel.height // views.height, panel.height), Image.Resampling.LANCZOS)
    window = Image.new("RGB", (panel.width + views.width, panel.height))
    window.paste(panel, (0, 0))
    window.paste(views, (panel.width, 0))
    window.quantize(128).save(PICTURES / "MRINRSuperRes.png", optimize=True)


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    main(*(sys.argv[1:] or ["auto"]))
