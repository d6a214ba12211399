"""Rivals tried on a person: the pixels that a head gives them, and what they make of it, on its grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from mrinr.benchmark.dedicated import Predict
from mrinr.benchmark.measure import floors, matched_scores
from mrinr.benchmark.people import Person
from mrinr.context import Context
from mrinr.synthesis.head import canvas, cut, prepare, uncut, window
from mrinr.synthesis.space import onto
from mrinr.volume import Volume

AT_ONCE = 8  # slices
AROUND = (
    9  # pixels: the width of a square around each pixel of the brain that is predicted, for SSIM's windows
)


def compare(
    person: Person,
    inputs: Mapping[str, Volume],
    truth: Volume,
    rivals: Mapping[str, Predict],
    context: Context,
) -> list[dict[str, Any]]:
    """What each of `rivals` (its "kind") makes of `inputs`: `matched_scores`, for rivals know no gain.

    Inputs are on one grid and taken as aligned, as in `measure`.
    """
    like = next(iter(inputs))
    head = prepare(inputs, like, torch.device("cpu"), context.quiet())
    images, place = canvas(head, list(inputs))
    rows, columns, levels = window(head)
    brain = cut(head.brain[..., levels].astype(np.float32), rows, columns)
    found, low = [], floors(person, truth, list(inputs.values()))
    for kind, predict in rivals.items():
        made = uncut(_slice_by_slice(predict, images, place, brain), head)
        image = onto(Volume(np.clip(made, 0, None), head.grid.affine), inputs[like].grid)
        scores = matched_scores(person, truth, image)
        found.append({"person": person.name, "kind": kind, "inputs": list(inputs), "floors": low, **scores})
    return found


def _slice_by_slice(
    predict: Predict, images: Mapping[str, np.ndarray], place: np.ndarray, brain: np.ndarray
) -> np.ndarray:
    """(k, h, w)."""
    made = np.zeros(brain.shape, np.float32)
    where = torch.from_numpy(place)[None]
    for start in range(0, len(brain), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        inside = functional.max_pool2d(torch.from_numpy(brain[part])[:, None], AROUND, 1, AROUND // 2)
        seen = {name: torch.from_numpy(image[part])[:, None] for name, image in images.items()}
        with torch.inference_mode():
            made[part] = predict(seen, where.expand(len(inside), -1, -1, -1), inside)[:, 0].numpy()
    return made
