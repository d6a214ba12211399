"""Pairs of contrasts cut from 1-mm scans of real patients: what `auto` gains over cubic interpolation.

    python Testing/benchmarks/real_pairs.py --data DATA/ms_registered --out Testing/benchmarks/results

Whole heads. Writes real_pairs.md.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from mrinr.degrade import degrade
from mrinr.metrics import psnr, ssim
from mrinr.superres import reconstruct
from mrinr.volume import Stack, Volume, read

PATIENTS = ("patient07", "patient19")
# contrast, slice axis; T1 and T2 were thick axial slices once: no truth along that axis
PAIRS = ((("T1", 1), ("FLAIR", 0)), (("T1", 1), ("T2", 0)))
METHODS = ("cubic", "tv", "auto")

HEADER = """# Pairs of real scans

Whole heads, skull-stripped, of MS patients 07 and 19 of Lesjak et al. (Neuroinformatics 2017, CC-BY) at
1 mm; coronal T1 with sagittal FLAIR or T2, 4 mm slices cut by an exact integral, 1 % noise. PSNR (dB) and
SSIM in the foreground (above 2 % of the T1's maximum), range: the truth's 99.9th percentile there. CPU-s of
the whole call on one thread of an x86 core, no GPU. Without the learned prior, which has seen these
two. Floor: `cubic`. Made by
`python Testing/benchmarks/real_pairs.py`.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="holds patient07 and patient19")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    lines = ["| patient | method | contrast | PSNR | SSIM | CPU-s |", "|---|---|---|---|---|---|"]
    found: dict[str, list[float]] = {m: [] for m in METHODS}
    for patient in PATIENTS:
        for pair in PAIRS:
            truths = brains({c: read(args.data / patient / f"{c}.nii.gz") for c, _ in pair})
            stacks = [
                Stack(degrade(truths[c], axis, 4.0, noise=0.01, seed=n), c, axis)
                for n, (c, axis) in enumerate(pair)
            ]
            like = next(iter(truths.values()))
            inside = like.voxels > 0.02 * like.voxels.max()
            for method in METHODS:
                start = time.process_time()
                result = reconstruct(stacks, method=method, like=like, register="off", threads=1, prior=False)
                seconds = time.process_time() - start
                label = f"auto ({result.report['method']})" if method == "auto" else method
                for contrast, truth in truths.items():
                    peak = float(np.percentile(truth.voxels[inside], 99.9))
                    voxels = result.volumes[contrast].voxels
                    db = psnr(truth.voxels, voxels, inside, peak)
                    found[method].append(db)
                    likeness = ssim(truth.voxels, voxels, inside, peak)
                    row = [patient, label, contrast, f"{db:.2f}", f"{likeness:.3f}", f"{seconds:.0f}"]
                    lines.append(f"| {' | '.join(row)} |")
                    print(lines[-1], flush=True)
    means = {m: float(np.mean(v)) for m, v in found.items()}
    summary = (
        "Mean over pairs and contrasts: "
        + ", ".join(f"{m} {db:.2f}" for m, db in means.items())
        + f" dB. `auto` gains {means['auto'] - means['cubic']:.2f} dB over `cubic`, "
        f"{means['auto'] - means['tv']:.2f} dB over `tv`."
    )
    print(summary)
    (args.out / "real_pairs.md").write_text("\n".join([HEADER, summary, "", *lines, ""]))


def brains(scans: dict[str, Volume]) -> dict[str, Volume]:
    """All scans cropped by the box of what the first shows, without negative values."""
    first = next(iter(scans.values()))
    inside = np.argwhere(first.voxels > 0.02 * first.voxels.max())
    low, high = inside.min(0), inside.max(0) + 1
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    grid = first.grid.crop(tuple(int(n) for n in low), tuple(int(n) for n in high))
    return {c: Volume(np.maximum(v.voxels[box], 0), grid.affine, c) for c, v in scans.items()}


if __name__ == "__main__":
    main()
