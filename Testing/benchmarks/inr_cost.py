"""What an implicit neural representation costs and gains: `profile-inr`, `best`, `guided`, `split-head`.

    python Testing/benchmarks/inr_cost.py --data DATA/ms_registered --out Testing/benchmarks/results

Small crops of real scans, two contrasts in crossing planes. CPU time of the method alone, without the check
on hidden slices. `split-head` with the paper's settings is timed over its first epoch and multiplied by its
50 epochs (they all do the same); its quality is not measured here. Writes inr_cost.md.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from mrinr.context import Context
from mrinr.degrade import degrade
from mrinr.metrics import psnr
from mrinr.superres.methods import solver
from mrinr.superres.multi_contrast import EPOCHS
from mrinr.superres.pipeline import build, subject_scales
from mrinr.volume import Stack, Volume, read

SHAPE = np.array((48, 48, 32))
CROPS = (  # patient, (contrast, slice axis) twice, voxels by which the crop is off the middle
    ("patient07", (("T1", 1), ("FLAIR", 0)), (0, 0, 0)),
    ("patient19", (("T1", 1), ("T2", 0)), (0, 0, 0)),
)
METHODS = ("cubic", "tv", "guided", "profile-inr", "best")
HEADER = """# Cost and gain of implicit neural representations

{shape} mm crops of MS patients 07 and 19 of Lesjak et al. (Neuroinformatics 2017, CC-BY) at 1 mm, 4 mm slices
cut by an exact integral, 1 % noise. PSNR (dB) in the foreground, range: the truth's 99.9th percentile there.
CPU-seconds of the method alone on {threads} thread(s) of an x86 core, no GPU; of `split-head` (the paper's
settings) {epochs} times its first epoch. `best` without the learned prior, which
has seen both. Made by `python Testing/benchmarks/inr_cost.py`.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="holds patient07 and patient19")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    lines = ["| crop | method | PSNR | mean | CPU-s |", "|---|---|---|---|---|"]
    means: dict[str, list[float]] = {m: [] for m in METHODS}
    shares = []
    for patient, pairs, offset in CROPS:
        truths = crops({c: read(args.data / patient / f"{c}.nii.gz") for c, _ in pairs}, offset)
        stacks = [
            Stack(degrade(truths[c], axis, 4.0, noise=0.01, seed=n), c, axis)
            for n, (c, axis) in enumerate(pairs)
        ]
        seconds = {}
        for method in METHODS:
            volumes, seconds[method] = solve(stacks, truths, method)
            found = {c: quality(truths[c], volumes[c]) for c in truths}
            means[method].append(float(np.mean(list(found.values()))))
            listed = ", ".join(f"{c} {db:.2f}" for c, db in found.items())
            lines.append(
                f"| {patient} | {method} | {listed} | {means[method][-1]:.2f} | {seconds[method]:.1f} |"
            )
            print(lines[-1], flush=True)
        published = EPOCHS * solve(stacks, truths, "split-head", epochs=1)[1]
        shares.append(seconds["profile-inr"] / published)
        lines.append(f"| {patient} | split-head, time only | | | {published:.0f} |")
        print(lines[-1], flush=True)
    average = {m: float(np.mean(v)) for m, v in means.items()}
    summary = (
        "Mean over the crops: "
        + ", ".join(f"{m} {db:.2f}" for m, db in average.items())
        + f" dB. `profile-inr` minus `guided`: {average['profile-inr'] - average['guided']:+.2f} dB, at "
        f"1/{1 / np.mean(shares):.0f} of the CPU time of `split-head`; `best` minus the better of the two: "
        f"{average['best'] - max(average['guided'], average['profile-inr']):+.2f} dB."
    )
    print(summary)
    header = HEADER.format(shape=" x ".join(map(str, SHAPE)), threads=torch.get_num_threads(), epochs=EPOCHS)
    (args.out / "inr_cost.md").write_text("\n".join([header, summary, "", *lines, ""]))


def crops(scans: dict[str, Volume], offset: tuple[int, int, int]) -> dict[str, Volume]:
    """The middle of the head that the first scan shows, moved by `offset` voxels, of all scans."""
    first = next(iter(scans.values()))
    inside = np.argwhere(first.voxels > 0.02 * first.voxels.max())
    low = (inside.min(0) + inside.max(0) + 1 - SHAPE) // 2 + np.array(offset)
    box = tuple(slice(a, a + n) for a, n in zip(low, SHAPE, strict=True))
    grid = first.grid.crop(tuple(int(n) for n in low), tuple(int(n) for n in low + SHAPE))
    return {c: Volume(np.maximum(v.voxels[box], 0), grid.affine, v.name) for c, v in scans.items()}


def solve(stacks: list[Stack], truths: dict[str, Volume], method: str, **settings):
    """Volumes by contrast in the scans' units, and CPU-seconds."""
    scales = subject_scales(stacks)
    grid = next(iter(truths.values())).grid
    problem = build(stacks, [None] * len(stacks), scales, grid, "box", torch.device("cpu"), seed=0)
    if method == "best":
        settings["prior"] = False
    start = time.process_time()
    solution = solver(method)(problem, Context(), **settings)
    seconds = time.process_time() - start
    return {c: np.maximum(x.numpy(), 0) * scales[c].unit for c, x in solution.volumes.items()}, seconds


def quality(truth: Volume, voxels: np.ndarray) -> float:
    inside = truth.voxels > 0.02 * truth.voxels.max()
    return psnr(truth.voxels, voxels, inside, float(np.percentile(truth.voxels[inside], 99.9)))


if __name__ == "__main__":
    main()
