"""One synthesis scored: honestly beside floors, as the multi-modal paper does, and its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mrinr.benchmark.people import Person, groups
from mrinr.context import Context
from mrinr.metrics import PROTOCOLS, _floors, mse, psnr, ssim
from mrinr.synthesis import synthesize
from mrinr.volume import Volume

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

    psnr, ssim, lesion (PSNR) as it comes; matched: PSNR after a two-parameter match of intensities in the
    brain, as the floors are fitted there; floors: PSNR by name; mse as in the paper.
    """
    found = synthesize(inputs, target, model, like, register="off", context=context.quiet())
    brain, image, wanted = person.brain.voxels > 0, found.volume.voxels, truth.voxels
    sick = None if person.lesions is None else person.lesions.voxels > 0
    matched = _matched(wanted, image, brain)
    top = PROTOCOLS["honest"](wanted, image, brain)[2]
    if intervals is not None:
        errors = [np.abs(x - wanted) / top for x in (image, matched)]
        intervals.add(groups(person), found.uncertainty.voxels / top, *errors)
    floors = _floors(truth, brain, list(inputs.values()))
    return {
        "person": person.name,
        "inputs": list(inputs),
        "target": target,
        "psnr": psnr(wanted, image, brain, top),
        "ssim": ssim(wanted, image, brain, top),
        "matched": psnr(wanted, matched, brain, top),
        "lesion": None if sick is None else psnr(wanted, image, sick, top),
        "floors": {name: psnr(wanted, floors[name], brain, top) for name in FLOORS},
        "mse": papers_mse(wanted, image, brain),
    }


def papers_mse(truth: np.ndarray, image: np.ndarray, brain: np.ndarray) -> float:
    """MSE over the brain of stripped images, trimmed to its box, each divided by its mean (Joyce 2017)."""
    inside = np.argwhere(brain)
    box = tuple(map(slice, inside.min(0), inside.max(0) + 1))
    a, b, _, _ = PROTOCOLS["multimodal"]((truth * brain)[box], (image * brain)[box], brain[box])
    return mse(a, b, brain[box])


def _matched(truth: np.ndarray, image: np.ndarray, brain: np.ndarray) -> np.ndarray:
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
