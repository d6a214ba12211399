"""What synthesis gains from fitting a network's image to the scans (`mrinr/synthesis/explained.py`).

    python Testing/benchmarks/explained.py --maps DATA/label_maps --real DATA/ms_registered --out DIR

The same model with and without, on heads that it never saw and on the real patients.
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
HEAD = ("target", "inputs", "network", "fitted", "gain", "linear fit", "lesions: network", "lesions: fitted")


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
    """Means over people of brain PSNR once intensities are matched, and of PSNR in lesions as it comes."""
    scores: dict[tuple, list[dict[str, Any]]] = {}
    for draw in people:
        person = draw()
        for target, names in asked:
            inputs = {name: person.shown[name] for name in names}
            run = partial(measure, person, inputs, person.truth[target], target, MODEL, Context())
            with patch.object(pipeline, "explained", lambda images, predicted, *masks: predicted):
                network = run()
            scores.setdefault((target, names), []).append({"network": network, "fitted": run()})
        print(person.name, flush=True)
    rows: list[list[str | float | None]] = []
    for (target, names), each in scores.items():

        def mean(which: str, what: str, each: list = each) -> float | None:
            values = [one[which][what] for one in each if one[which][what] is not None]
            return float(np.mean(values)) if values else None

        linear = float(np.mean([one["fitted"]["floors"]["linear"] for one in each]))
        gain = float(np.mean([one["fitted"]["matched"] - one["network"]["matched"] for one in each]))
        matched = mean("network", "matched"), mean("fitted", "matched")
        lesions = mean("network", "lesion"), mean("fitted", "lesion")
        rows.append([target, " + ".join(names), *matched, gain, linear, *lesions])
    note = (
        "PSNR (dB) in the brain after a two-parameter match of intensities, means over people; gain: what "
        "the fit adds; linear fit: of the inputs to the truth itself, the best of the floors; lesions: PSNR "
        "there, not matched"
    )
    return sheets.Sheet(title, note, HEAD, rows)


if __name__ == "__main__":
    main()
