"""From a slider's signal to the picture: ContrastCRL's live view on a simulated head of 1 mm.

    python Testing/benchmarks/contrast_latency.py --out Testing/benchmarks/results [--model FOLDER]

Runs the panel in the tests' stand-in for Slicer with a real worker that has one core. Once the scan is
encoded, the TI slider is moved step by step, each time when the picture of the last step is there; a step
ends when all three slice views have been blended into a picture again (reslicing, windowing and blending
are Slicer's own, no graphics card is involved). Then a hand drags as fast as events are handled: what
counts there is how many targets were decoded, and how far the last picture lies behind the last move.
Writes contrast_latency.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "python")]

MOVES = 30  # with more the slider would reach inversion times beyond TR, which make no picture

PAGE = """# Slider to picture

A simulated head (ICBM152 anatomy, {shape} voxels of 1 mm), one T2 as source; live view in three planes; the
model `{model}`; {cores} cores shared with a load of {load:.1f}, the worker on one of them. Made by
`python Testing/benchmarks/contrast_latency.py`, which says what is measured.

| | wall clock | CPU |
|---|---|---|
| encoding, once | {encoding:.1f} s | |
| slider to picture, median of {moves} | {median:.0f} ms | {cpu:.0f} ms in Slicer's process |
| slider to picture, 90th percentile | {late:.0f} ms | |
| of which: rendering three views | {render:.0f} ms | |
| the network, three planes | | {decode:.0f} ms in the worker |
| dragging: {dragged} moves, decoded | {decoded} | |
| dragging: last move to its picture | {behind:.0f} ms | |
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="crl-compact")
    parser.add_argument("--moves", type=int, default=MOVES)
    args = parser.parse_args()
    numbers = measure(args.model, args.moves)
    page = PAGE.format(**numbers)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "contrast_latency.md").write_text(page)
    print(page)


def measure(model: str, moves: int) -> dict:
    import os

    from slicer_session import slicer, wait_until

    loaded = slicer.loadModule(ROOT / "ContrastCRL" / "ContrastCRL.py")
    from MRINRLib import engine, sample_data

    parent = loaded.widgetRepresentation()
    parent.show()
    parent.enter()
    panel = slicer.util.getModuleWidget("ContrastCRL")
    _t1, t2, _flair = sample_data.load(sample_data.THREE_SEQUENCES)
    panel.ui.addSelector.setCurrentNode(t2)
    panel.ui.addButton.click()
    panel._parameterNode.model = model
    live, ui = panel._live, panel.ui
    views = [slicer.app.layoutManager().sliceWidget(name) for name in ("Red", "Green", "Yellow")]

    def render() -> None:
        for view in views:
            connection = view.sliceLogic().GetImageDataConnection()
            connection.GetProducer().Update()

    started = time.monotonic()
    ui.liveButton.click()
    wait_until(lambda: live.shown and live._running is None, "the encoding", seconds=3600)
    encoding = time.monotonic() - started
    waits, cpus, renders = [], [], []
    for step in range(moves):
        before, at, cpu = live.shown, time.monotonic(), time.process_time()
        ui.TISlider.setValue(300 + 10 * (step % MOVES))
        asked = time.process_time() - cpu
        while live.shown == before:
            time.sleep(0.001)
            cpu = time.process_time()
            slicer.app.processEvents()  # the last of these shows what has arrived
        drawn = time.monotonic()
        render()
        renders.append(1000 * (time.monotonic() - drawn))
        waits.append(1000 * (time.monotonic() - at))
        cpus.append(1000 * (asked + time.process_time() - cpu))
    before, dragged = live.shown, 0
    end = time.monotonic() + 3
    while time.monotonic() < end:
        ui.TISlider.setValue(200 + 3 * (dragged % 250))
        dragged += 1
        slicer.app.processEvents()
        render()
    at = time.monotonic()
    wait_until(lambda: live._running is None, "the last picture")
    render()
    behind = 1000 * (time.monotonic() - at)
    decoded = live.shown - before
    shape = " x ".join(str(n) for n in t2.GetImageData().GetDimensions())
    planes = dict(live._planes)
    engine.closeShared()
    return {
        "shape": shape, "model": Path(model).name, "cores": os.cpu_count(), "load": os.getloadavg()[0],
        "encoding": encoding, "moves": moves, "median": np.median(waits), "late": np.percentile(waits, 90),
        "cpu": np.median(cpus), "render": np.median(renders), "dragged": dragged, "decoded": decoded,
        "behind": behind, "decode": decoding(model, planes),
    }  # fmt: skip


def decoding(model: str, planes: dict) -> float:
    """CPU milliseconds of the network alone for as many voxels as the planes have."""
    import torch

    from mrinr.contrast.pipeline import find_model

    torch.set_num_threads(1)
    network = find_model(model).network()
    spent = []
    with torch.inference_mode():
        known = [
            network.decoding(torch.randn(1, network.channels, 1, grid.size // 2)) for grid in planes.values()
        ]
        for n in range(12):
            at = time.process_time()
            for each in known:
                each(torch.tensor([[9000.0, 120.0, 1000.0 + 100 * n]]))
            spent.append(1000 * (time.process_time() - at))
    return float(np.median(spent))


if __name__ == "__main__":
    main()
