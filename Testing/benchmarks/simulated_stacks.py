"""Stacks of a simulated head whose truth is known: what each method gains over cubic interpolation.

    python Testing/benchmarks/simulated_stacks.py --out Testing/benchmarks/results [--case NAME ...]

The truth lies on a 0.5 mm grid, turned and shifted against the scanner's axes, and slices are cut from
it with a Shinnar-Le Roux-like profile, which no method has. Brain only; the range is the truth's 99.9th
percentile there.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mrinr.metrics import psnr, ssim
from mrinr.simulation import (
    Subject,
    acquire,
    average,
    bounding_grid,
    icbm,
    rotation,
    simulate_subject,
    slice_grid,
)
from mrinr.superres import Reconstruction, reconstruct
from mrinr.volume import Stack, Volume

PAIR = (("T1", "axial"), ("T2", "coronal"))
THREE = (("T1", "axial"), ("T1", "coronal"), ("T1", "sagittal"))


@dataclass(frozen=True)
class Case:
    """What is acquired: contrasts and orientations, thickness (mm), noise, a motion of the last stack."""

    stacks: tuple[tuple[str, str], ...]
    thickness: float = 4.0
    noise: float = 0.01
    motion: float = 0.0  # degrees, and mm
    methods: tuple[str, ...] = ("cubic", "tv", "auto")


CASES = {
    "three T1 stacks": Case(THREE),
    "T1 axial + T2 coronal": Case(PAIR),
    "the same, T2 moved 3 mm and 3 degrees": Case(PAIR, motion=3.0, methods=("cubic", "auto")),
    "8 mm slices, 3 % noise": Case(PAIR, 8.0, 0.03),
    "T1 axial + FLAIR sagittal": Case((("T1", "axial"), ("FLAIR", "sagittal"))),
}

HEADER = """# Simulated stacks

ICBM152 anatomy with simulated MS lesions, truth on a turned 0.5 mm grid, Shinnar-Le Roux-like slice
profile, Rician noise (fraction of the brain's 99.9th percentile), 1 mm in plane, results at 1 mm. PSNR
(dB) and SSIM in the brain against the truth averaged to the result's voxels; the range is the truth's
99.9th percentile in the brain. Lesions: PSNR inside them. CPU-s counts all threads of the whole call,
self-check included; two x86 cores, no GPU; GB is the largest size of the process so far. ICBM152 is an
average brain, smoother than any patient: gains on real scans are smaller. Floor: `cubic`. Made by
`python Testing/benchmarks/simulated_stacks.py`.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--case", nargs="*", choices=list(CASES), default=list(CASES))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    head = icbm().moved(rotation((6.0, -4.0, 5.0), (1.3, -0.4, 0.7)))
    subject = simulate_subject(head, ["T1", "T2", "FLAIR"], seed=0, lesions="ms", spacing=0.5)
    lines = [
        "| case | method | contrast | PSNR | SSIM | lesions | CPU-s | GB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in args.case:
        case = CASES[name]
        stacks = scan(subject, case)
        for method in case.methods:
            start = time.process_time()
            register = "auto" if case.motion else "off"
            result = reconstruct(stacks, method=method, register=register)
            seconds = time.process_time() - start
            lines += rows(name, method, result, subject, seconds)
            print("\n".join(lines[-len(result.volumes) :]), flush=True)
    (args.out / "simulated_stacks.md").write_text("\n".join([HEADER, *lines, ""]))


def scan(subject: Subject, case: Case) -> list[Stack]:
    stacks = []
    for n, (contrast, orientation) in enumerate(case.stacks):
        grid = slice_grid(bounding_grid(subject.brain), orientation, case.thickness)
        truth = subject.volumes[contrast]
        seen = acquire(truth, grid, case.thickness, noise=case.noise, scale=subject.scale(contrast), seed=n)
        volume = Volume(seen.voxels, seen.affine, f"{contrast} {orientation}")
        if case.motion and n == len(case.stacks) - 1:
            centre = grid.world((np.array(grid.shape) - 1) / 2)
            turn = rotation((0.6 * case.motion, 0.6 * case.motion, 0.5 * case.motion))
            turn[:3, 3] = centre - turn[:3, :3] @ centre + case.motion * np.array([0.6, -0.5, 0.6])
            volume = volume.moved(turn)
        stacks.append(Stack(volume, contrast, 2, case.thickness))
    return stacks


def rows(name: str, method: str, result: Reconstruction, subject: Subject, seconds: float) -> list[str]:
    out = []
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    chosen = result.report["method"]
    label = f"auto ({chosen})" if method == "auto" else method
    for contrast, volume in result.volumes.items():
        truth = average(subject.volumes[contrast], volume.grid).voxels
        brain = average(subject.brain, volume.grid).voxels > 0.5
        lesions = average(subject.lesions, volume.grid).voxels > 0.5
        peak = float(np.percentile(truth[brain], 99.9))
        numbers = [psnr(truth, volume.voxels, where, peak) for where in (brain, lesions)]
        similarity = ssim(truth, volume.voxels, brain, peak)
        out.append(
            f"| {name} | {label} | {contrast} | {numbers[0]:.1f} | {similarity:.3f} | {numbers[1]:.1f} "
            f"| {seconds:.0f} | {gigabytes:.1f} |"
        )
    return out


if __name__ == "__main__":
    main()
