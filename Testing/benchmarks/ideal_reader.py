"""How well the tissues' levels in a target can be known from those in the inputs: roughly a ceiling.

    python Testing/benchmarks/ideal_reader.py --out DIR

No images: a reader sees the exact signal of every tissue in every input, free of noise, bias and doubt about
which voxel is which, and has learned from thousands of scans what that says of the target. People differ in
T1, T2 and PD, hospitals in their protocols, so that even this reader errs.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mrinr.benchmark import sheets
from mrinr.simulation.sequences import SEQUENCES
from mrinr.simulation.tissue import draw_scan
from mrinr.synthesis import INPUTS
from mrinr.training.simulated import played, signal_of

SHARES = {"white matter": 0.35, "grey matter": 0.35, "deep grey": 0.05, "CSF": 0.25}  # of a brain
SCANS, UNSEEN = 20_000, 2_000
ASKED = (
    *((target, tuple(name for name in INPUTS if name != target)) for target in INPUTS),
    ("FLAIR", ("T1", "T2")),
    ("FLAIR", ("DWI",)),
    ("T1ce", ("T1", "T2", "FLAIR")),
)
NOTE = (
    "PSNR (dB) of the levels of four tissues, weighted by their shares of a brain, after a "
    "two-parameter match; range: the brightest tissue; from the mean squared error over unseen scans, "
    "in brackets from its median. These are levels, not images, so that no other page has this scale. "
    "mean target: the same levels for everybody. Protocols as drawn: what the shipped models learn "
    "from, TR, TE and TI up to 15 % off and several kinds of T1. On standard ones: the same reader "
    "where hospitals have the protocols of `mrinr simulate`. Standard ones only: a reader that knows no "
    "others. The reader is a small network (64 and 64 units): a better one may know more. A linear fit "
    "to the truth itself, a floor in other pages, has no error here with three inputs or more."
)
HEAD = ("target", "inputs", "mean target", "protocols as drawn", "on standard ones", "standard ones only")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    started = time.process_time()
    drawn, standard = levels(np.random.default_rng(0))
    rows = [row(target, names, drawn, standard) for target, names in ASKED]
    found: dict[str, Any] = sheets.results(
        "ideal_reader",
        "What the inputs' levels say of the target's",
        "this is of no paper.",
        f"{SCANS} simulated scans of {', '.join(SHARES)}, {UNSEEN} of them unseen; no images, noise or bias",
        [sheets.Sheet("A reader of exact tissue levels", NOTE, HEAD, rows)],
        [],
        [],
    )
    found["cpu_seconds"] = round(time.process_time() - started)
    page = sheets.as_page(found, "python Testing/benchmarks/ideal_reader.py")
    (args.out / "ideal_reader.md").write_text(page)
    print(page)


def levels(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Signals (scan, sequence, tissue), the brain's mean at 1: by protocols as drawn, by standard ones."""
    both = np.empty((2, SCANS, len(INPUTS), len(SHARES)))
    for n in range(SCANS):
        scan = draw_scan((1, 1, 1), rng)
        for m, name in enumerate(INPUTS):
            for which, protocol in enumerate((played(name, rng), SEQUENCES[name])):
                both[which, n, m] = [signal_of(protocol, scan, tissue, textured=False) for tissue in SHARES]
    drawn, standard = both / (both @ list(SHARES.values()))[..., None]
    return drawn, standard


def row(
    target: str, names: tuple[str, ...], drawn: np.ndarray, standard: np.ndarray
) -> list[str | float | None]:
    """Scores as the columns of HEAD list them."""
    truth = standard[:, INPUTS.index(target)]
    unseen = truth[-UNSEEN:]
    mean = np.broadcast_to(truth[:-UNSEEN].mean(0), unseen.shape)
    shown, usual = (
        x[:, [INPUTS.index(name) for name in names]].reshape(SCANS, -1) for x in (drawn, standard)
    )
    reader, purist = (reader_of(x[:-UNSEEN], truth[:-UNSEEN]) for x in (shown, usual))
    read = (reader.predict(shown[-UNSEEN:]), reader.predict(usual[-UNSEEN:]), purist.predict(usual[-UNSEEN:]))
    return [target, " + ".join(names), *(score(image, unseen) for image in (mean, *read))]


def reader_of(shown: np.ndarray, truth: np.ndarray) -> Any:
    network = MLPRegressor(hidden_layer_sizes=(64, 64), max_iter=200, early_stopping=True, random_state=0)
    scaled = TransformedTargetRegressor(network, transformer=StandardScaler())
    return make_pipeline(StandardScaler(), scaled).fit(shown, truth)


def score(found: np.ndarray, truth: np.ndarray) -> str:
    """PSNR from the mean squared error over scans, and from its median."""
    weight = np.sqrt(list(SHARES.values()))
    errors = []
    for read, wanted in zip(found, truth, strict=True):
        design = np.stack([read, np.ones_like(read)], 1) * weight[:, None]
        gain, offset = np.linalg.lstsq(design, wanted * weight, rcond=None)[0]
        errors.append(np.square((gain * read + offset - wanted) * weight).sum() / wanted.max() ** 2)
    mean, median = (-10 * np.log10(value) for value in (np.mean(errors), np.median(errors)))
    return f"{mean:.1f} ({median:.1f})"


if __name__ == "__main__":
    main()
