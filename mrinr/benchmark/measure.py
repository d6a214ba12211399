"""One synthesis scored: honestly beside floors, as the multi-modal paper does, and its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mrinr.benchmark.people import Person, groups
from mrinr.context import Context
from mrinr.metrics import PROTOCOLS, floor_images, mse, psnr, ssim
from mrinr.synthesis import synthesize
from mrinr.synthesis.head import cut
from mrinr.volume import Volume

# Pixels along R and A, of 2 mm: ISLES's 230 x 230 trimmed to 160 x 224, BraTS's 240 x 240 padded.
FRAMES = {"ISLES": (80, 112), "BraTS": (128, 128)}
FLOORS = ("constant", "identity", "linear")
KEPT = 20_000  # voxels of a group and person that coverage is counted on
KEEP = tuple(n / 10 for n in range(1, 11))  # of the brain, the surest voxels first


def measure(
    person: Person,
    inputs: Mapping[str, Volume],
    truth: Volume,
    target: str,
    model: str | Path,
    context: Context,
    like: str | None = None,
    intervals: Intervals | None = None,
) -> dict[str, Any]:
    """Synthesise `target`, trusting the headers, and score it.

    psnr, ssim, lesion (PSNR) as it comes; floors: PSNR by name; matched, mse: see `matched_scores`.
    """
    found = synthesize(inputs, target, model, like, register="off", context=context.quiet())
    brain, image, wanted = person.brain.voxels > 0, found.volume.voxels, truth.voxels
    sick = None if person.lesions is None else person.lesions.voxels > 0
    top = PROTOCOLS["honest"](wanted, image, brain)[2]
    if intervals is not None:
        errors = [np.abs(x - wanted) / top for x in (image, matched(wanted, image, brain))]
        intervals.add(groups(person), found.uncertainty.voxels / top, *errors)
    return {
        "person": person.name,
        "inputs": list(inputs),
        "target": target,
        "psnr": psnr(wanted, image, brain, top),
        "ssim": ssim(wanted, image, brain, top),
        "lesion": None if sick is None else psnr(wanted, image, sick, top),
        "floors": floors(person, truth, list(inputs.values())),
        **matched_scores(person, truth, image),
    }


def floors(person: Person, truth: Volume, inputs: Sequence[Volume]) -> dict[str, float]:
    """PSNR in the brain of each of FLOORS, fitted to the truth itself."""
    brain = person.brain.voxels > 0
    found, top = floor_images(truth, brain, inputs), PROTOCOLS["honest"](truth.voxels, truth.voxels, brain)[2]
    return {name: psnr(truth.voxels, found[name], brain, top) for name in FLOORS}


def matched_scores(person: Person, truth: Volume, image: np.ndarray) -> dict[str, float]:
    """What does not depend on the gain of `image`.

    matched: PSNR in the brain after a two-parameter match of intensities there, as the floors are fitted
    mse: as the paper has it, in its frame for ISLES, or for BraTS where the person has no DWI
    """
    brain, wanted = person.brain.voxels > 0, truth.voxels
    top = PROTOCOLS["honest"](wanted, image, brain)[2]
    frame = FRAMES["ISLES" if "DWI" in person.truth else "BraTS"]
    return {
        "matched": psnr(wanted, matched(wanted, image, brain), brain, top),
        "mse": papers_mse(truth, image, brain, frame),
    }


def papers_mse(truth: Volume, image: np.ndarray, brain: np.ndarray, frame: tuple[int, int]) -> float:
    """Mean squared error of all voxels that are not background, as Joyce 2017 prepares its images.

    Stripped, the slices of the brain, 2 x 2 pixels averaged, `frame` (pixels along R and A) around the brain
    kept or padded with zeros, each image divided by the mean of all of this.
    """
    order = [int(np.abs(truth.affine[world, :3]).argmax()) for world in range(3)]
    images = [(x * brain).transpose(order) for x in (truth.voxels, image)]
    inside = np.argwhere(brain.transpose(order))
    first, last = inside.min(0), inside.max(0) + 1
    a, b = (_halved(x[..., first[2] : last[2]], (first + last) // 2, frame) for x in images)
    lit = a > 0
    return mse(*PROTOCOLS["multimodal"](a, b, lit)[:2], lit)


def _halved(image: np.ndarray, middle: np.ndarray, frame: tuple[int, int]) -> np.ndarray:
    """(k, *frame): means over 2 x 2 pixels of what lies in the frame around `middle`."""
    rows, columns = (int(at) - n + np.arange(2 * n) for at, n in zip(middle, frame, strict=False))
    return cut(image, rows, columns).reshape(-1, frame[0], 2, frame[1], 2).mean((2, 4))


def matched(truth: np.ndarray, image: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """`image` with the gain and offset that fit it to `truth` in `brain` by least squares."""
    design = np.stack([image[brain], np.ones(int(brain.sum()), np.float32)], 1).astype(np.float64)
    gain, offset = np.linalg.lstsq(design, truth[brain].astype(np.float64), rcond=None)[0]
    return (gain * image + offset).astype(np.float32)


@dataclass
class Intervals:
    """Half-widths and errors (as they come, and after the match) of voxels by group, range 1."""

    parts: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(
        self, masks: Mapping[str, np.ndarray], half: np.ndarray, error: np.ndarray, matched: np.ndarray
    ) -> None:
        rng = np.random.default_rng(0)
        for name, mask in masks.items():
            where = np.flatnonzero(mask)
            if len(where):
                some = rng.choice(where, min(KEPT, len(where)), replace=False)
                self.parts.setdefault(name, []).append(
                    np.stack([x.ravel()[some] for x in (half, error, matched)])
                )

    def coverage(self) -> dict[str, dict[str, float]]:
        """By group, % of voxels inside the interval, as it comes and after the match, and its half-width."""
        found = {}
        for name, parts in self.parts.items():
            half, error, matched = np.concatenate(parts, axis=1)
            found[name] = {
                "voxels": half.size,
                "coverage": 100 * float((error <= half).mean()),
                "matched": 100 * float((matched <= half).mean()),
                "half_width": 100 * float(half.mean()),
            }
        return found

    def risk(self) -> dict[float, float]:
        """By how much of the brain is kept, the surest first: root mean square error in % of the range."""
        half, error, _ = np.concatenate(self.parts["brain"], axis=1)
        squared = error[np.argsort(half, kind="stable")] ** 2
        return {
            keep: 100 * float(np.sqrt(squared[: max(1, round(keep * half.size))].mean())) for keep in KEEP
        }
