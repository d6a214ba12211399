"""Synthesis on real patients: what a reader of the image looks for, and what fine-tuning on another adds.

    python Testing/benchmarks/real_synthesis.py --real DATA/ms_registered --out DIR

FLAIR from T1 and T2 of patients whose FLAIR and MS lesions are known; no model was trained on them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from mrinr import bundles
from mrinr.benchmark import sheets
from mrinr.benchmark.measure import matched
from mrinr.metrics import floor_images, psnr, ssim
from mrinr.synthesis import synthesize
from mrinr.training.finetune import finetune
from mrinr.training.folders import find_subjects
from mrinr.volume import Volume, read

MODEL, TARGET, INPUTS = "multimodal-compact", "FLAIR", ("T1", "T2")
BRIGHTEST = 99.9  # percentile of the truth in the brain: the range of PSNR and SSIM
FLUID = 8, 85  # percentiles of T1 and T2 in the brain: fluid lies below the one and above the other
WHITE = 60, 95  # percentiles of T1 in the brain between which white matter lies
HEAD = (
    "patient",
    "image",
    "PSNR, dB",
    "SSIM",
    "lesions",
    "share of the lesions' contrast",
    "fluid / white matter",
    "inside the interval, %",
)
NOTE = (
    "in the brain that the model finds, levels and contrast matched to the real FLAIR by two parameters "
    f"(floors are fitted to it, too); range: its {BRIGHTEST}th percentile there. Lesions: how far their mean "
    "lies above the brain's, in standard deviations of the brain. Fluid and white matter: medians, from T1 "
    "and T2. Interval: only its level is matched, by the median"
)


@dataclass(eq=False)
class Patient:
    name: str
    volumes: dict[str, Volume]
    lesions: np.ndarray

    @property
    def inputs(self) -> dict[str, Volume]:
        return {name: self.volumes[name] for name in INPUTS}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--real", type=Path, required=True, help="patients with T1, T2, FLAIR and lesions")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    started = time.process_time()
    patients = [
        Patient(
            each.name, {name: read(path) for name, path in each.images.items()}, read(each.lesions).voxels > 0
        )
        for each in find_subjects(args.real)
        if each.lesions is not None
    ]
    rows = [
        row
        for n, patient in enumerate(patients)
        for row in rows_of(patient, patients[:n] + patients[n + 1 :])
    ]
    tables = [sheets.Sheet(f"{TARGET} from {' and '.join(INPUTS)}", NOTE, HEAD, rows)]
    data = f"{len(patients)} patients with multiple sclerosis of {args.real.name}; {MODEL} saw none of them"
    found: dict[str, Any] = sheets.results(
        "real-synthesis", "Synthesis on real patients", "this is of no paper.", data, tables, [], []
    )
    found["cpu_seconds"] = round(time.process_time() - started)
    page = sheets.as_page(found, f"python Testing/benchmarks/real_synthesis.py --real {args.real}")
    (args.out / "real_synthesis.md").write_text(page)
    print(page)


def rows_of(patient: Patient, teachers: list[Patient]) -> list[list[str | float | None]]:
    """The real scan, floors, the model that ships, and that model fine-tuned on each of the others."""
    found = synthesize(patient.inputs, TARGET, MODEL, register="off", threads=1)
    brain, truth = found.brain.voxels > 0, patient.volumes[TARGET]
    images: dict[str, tuple[np.ndarray, np.ndarray | None]] = {"real": (truth.voxels, None)}
    for name, floor in floor_images(truth, brain, list(patient.inputs.values())).items():
        images[name] = floor, None
    images[MODEL] = found.volume.voxels, found.uncertainty.voxels
    for teacher in teachers:
        tuned = taught(patient, teacher)
        images[f"fine-tuned on {teacher.name}"] = tuned.volume.voxels, tuned.uncertainty.voxels
    return [
        [patient.name, name, *scores(patient, brain, image, half)] for name, (image, half) in images.items()
    ]


def taught(patient: Patient, teacher: Patient) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        case: Mapping[str, Volume] = {**teacher.inputs, TARGET: teacher.volumes[TARGET]}
        bundle, report = finetune(bundles.find(MODEL), [case], Path(folder) / "m", TARGET, threads=1)
        print(teacher.name, report["text"], flush=True)
        return synthesize(patient.inputs, TARGET, bundle.folder, register="off", threads=1)


def scores(
    patient: Patient, brain: np.ndarray, image: np.ndarray, half: np.ndarray | None
) -> list[float | None]:
    """What the columns of HEAD from the third on say of an image and the half-width of its interval."""
    truth = patient.volumes[TARGET].voxels
    alike = matched(truth, image, brain)
    top = float(np.percentile(truth[brain], BRIGHTEST))
    same = image is truth
    lesions, wanted = (contrast(x, brain, patient.lesions) for x in (image, truth))
    covered = None
    if half is not None:
        level = float(np.median(truth[brain]) / np.median(image[brain]))
        covered = 100 * float((np.abs(level * image - truth) <= level * half)[brain].mean())
    return [
        None if same else psnr(truth, alike, brain, top),
        None if same else ssim(truth, alike, brain, top),
        lesions,
        lesions / wanted,
        fluid_to_white(patient, brain, alike),
        covered,
    ]


def contrast(image: np.ndarray, brain: np.ndarray, lesions: np.ndarray) -> float:
    spread = float(image[brain].std())
    return float(image[lesions].mean() - image[brain].mean()) / spread if spread > 1e-6 else 0.0


def fluid_to_white(patient: Patient, brain: np.ndarray, image: np.ndarray) -> float:
    t1, t2 = (patient.volumes[name].voxels for name in ("T1", "T2"))
    low, high = np.percentile(t1[brain], WHITE)
    near = ndimage.binary_dilation(patient.lesions, iterations=2)
    white = ndimage.binary_erosion(brain & (t1 > low) & (t1 < high) & ~near)
    dark, bright = np.percentile(t1[brain], FLUID[0]), np.percentile(t2[brain], FLUID[1])
    fluid = ndimage.binary_erosion(brain & (t1 < dark) & (t2 > bright))
    return float(np.median(image[fluid]) / np.median(image[white]))


if __name__ == "__main__":
    main()
