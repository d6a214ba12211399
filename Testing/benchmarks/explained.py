"""Gains of synthesis from fits to the scans (`mrinr/synthesis/explained.py`), and from levels read off them.

    python Testing/benchmarks/explained.py --maps DATA/label_maps --real DATA/ms_registered --out DIR

The same model without, with the fits alone, and as it ships, on heads that it never saw and on the real
patients.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from mrinr.benchmark import sheets
from mrinr.benchmark.measure import measure
from mrinr.benchmark.people import SLAB, Draw, real, simulated
from mrinr.context import Context
from mrinr.synthesis import INPUTS, pipeline
from mrinr.synthesis.intensities import Readings
from mrinr.training.folders import find_subjects

MODEL = "multimodal-compact"
HEADS = ("head_03", "head_08", "head_12", "head_16")
ASKED = (
    *((target, tuple(name for name in INPUTS if name != target)) for target in INPUTS),
    ("FLAIR", ("DWI",)),
    ("FLAIR", ("T1", "T2")),
    ("FLAIR", ("T1", "T2", "DWI")),
    ("T1", ("T2", "FLAIR")),
)
ASKED_OF_REAL = (("FLAIR", ("T1", "T2")), ("T2", ("T1", "FLAIR")), ("T1", ("T2", "FLAIR")))
WAYS = ("network", "fitted", "levels read")
SCORES = {"": "matched", "as it comes: ": "psnr", "lesions: ": "lesion"}
HEAD = ("target", "inputs", "linear fit", *(of + way for of in SCORES for way in WAYS))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--maps", type=Path, required=True, help="holds " + ", ".join(HEADS))
    parser.add_argument("--real", type=Path, required=True, help="patients with T1, T2 and FLAIR")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    started = time.process_time()
    drawn: list[Draw] = [
        partial(simulated, name, args.maps / f"{name}.nii.gz", n, SLAB) for n, name in enumerate(HEADS)
    ]
    scanned: list[Draw] = [partial(real, each, n, None) for n, each in enumerate(find_subjects(args.real))]
    tables = [
        table(f"Simulated heads, {SLAB} slices of each", drawn, ASKED),
        table("Real patients, whole brains", scanned, ASKED_OF_REAL),
    ]
    data = (
        f"simulated from {', '.join(HEADS)}, which {MODEL} never saw; {len(scanned)} real patients, nor these"
    )
    found: dict[str, Any] = sheets.results(
        "explained", "What the scans explain of a prediction", "this is of no paper.", data, tables, [], []
    )
    found["cpu_seconds"] = round(time.process_time() - started)
    page = sheets.as_page(
        found, f"python Testing/benchmarks/explained.py --maps {args.maps} --real {args.real}"
    )
    (args.out / "explained.md").write_text(page)
    print(page)


def table(title: str, people: list[Draw], asked: tuple) -> sheets.Sheet:
    """Means over people of PSNR: in the brain, with intensities matched and as it comes, and in lesions."""
    scores: dict[tuple, list[dict[str, Any]]] = {}
    for draw in people:
        person = draw()
        for target, names in asked:
            inputs = {name: person.shown[name] for name in names}
            run = partial(measure, person, inputs, person.truth[target], target, MODEL, Context())
            with patch.object(pipeline, "explained", lambda images, predicted, *_: predicted):
                network = run()
            with patch.object(Readings, "shipped", lambda taught: None):
                fitted = run()
            each = dict(zip(WAYS, (network, fitted, run()), strict=True))
            scores.setdefault((target, names), []).append(each)
        print(person.name, flush=True)
    rows: list[list[str | float | None]] = []
    for (target, names), found in scores.items():

        def mean(way: str, what: str, found: list = found) -> float | None:
            values = [one[way][what] for one in found if one[way][what] is not None]
            return float(np.mean(values)) if values else None

        linear = float(np.mean([one["fitted"]["floors"]["linear"] for one in found]))
        means = [mean(way, what) for what in SCORES.values() for way in WAYS]
        rows.append([target, " + ".join(names), linear, *means])
    note = (
        "PSNR (dB), means over people, in the brain after a two-parameter match of intensities, there as it "
        "comes, and in lesions as it comes; linear fit: of the inputs to the truth itself, the best of the "
        "floors; network: its image; fitted: to the scans; levels read: and its levels moved to what "
        "intensities-compact reads off them, which is what ships"
    )
    return sheets.Sheet(title, note, HEAD, rows)


if __name__ == "__main__":
    main()
