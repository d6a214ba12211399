"""The pictures of the multi-modal benchmark: one slice from each subset; how errors grow with coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mrinr.benchmark.chart import chart
from mrinr.benchmark.people import Person
from mrinr.context import Context
from mrinr.metrics import PROTOCOLS, psnr
from mrinr.pictures import panel, plane_axis, slice_image
from mrinr.pictures import window as contrast
from mrinr.synthesis import synthesize
from mrinr.volume import Volume

HEIGHT = 200  # pixels of a slice
GREYS = 64  # of the picture, so that its file is small
WORST = 0.25  # error shown white, of the range


def figure(
    person: Person, target: str, subsets: Sequence[tuple[str, ...]], model: Path, context: Context
) -> Image.Image:
    """The truth and what `model` makes of each subset; below each its error."""
    truth, brain = person.truth[target], person.brain.voxels > 0
    top = PROTOCOLS["honest"](truth.voxels, truth.voxels, brain)[2]
    axis = plane_axis(truth, "axial")
    wanted = brain if person.lesions is None else person.lesions.voxels > 0
    level = int(wanted.sum(tuple(a for a in range(3) if a != axis)).argmax())

    def grey(volume: Volume, white: tuple[float, float]) -> Image.Image:
        return slice_image(volume, axis, level, white, HEIGHT)

    shown = contrast(truth, brain)
    images, errors = [grey(truth, shown)], [grey(truth.with_voxels(0 * truth.voxels), shown)]
    captions, below = [f"{target}, truth"], [f"error, white:\n{100 * WORST:.0f} % of the range"]
    for subset in subsets:
        inputs = {name: person.shown[name] for name in subset}
        made = synthesize(inputs, target, model, register="off", context=context.quiet()).volume
        error = np.abs(made.voxels - truth.voxels) * brain
        images.append(grey(made, shown))
        errors.append(grey(made.with_voxels(error.astype(np.float32)), (0.0, WORST * top)))
        captions.append(f"from {' + '.join(subset)}")
        below.append(f"{psnr(truth.voxels, made.voxels, brain, top):.1f} dB")
    return panel([images, errors], [captions, below], f"{target} of {person.name}").quantize(GREYS)


def curve(risk: Mapping[float, float]) -> Image.Image:
    """Root mean square error (% of the range) by the part of the brain that is kept."""
    points = [(100 * keep, error) for keep, error in risk.items()]
    return chart({"surest voxels first": points}, "% of the brain kept", "RMSE, % of the range")
