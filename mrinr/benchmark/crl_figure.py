"""The figure of the contrast benchmark (CRL, Figure 4): one scan to all nine sequences, beside the truth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from mrinr.benchmark.crl_people import Slab
from mrinr.metrics import PROTOCOLS, psnr
from mrinr.pictures import panel, slice_image, window
from mrinr.training.contrast_sequences import UNSEEN
from mrinr.volume import Volume

HEIGHT = 132  # pixels of a picture


def figure(person: Slab, source: str, made: Mapping[str, np.ndarray]) -> Image.Image:
    """Above what was made from `source`, (i, j, k) by sequence, below the truth; the brain only."""
    level = person.inside.shape[2] // 2
    rows: list[list[Image.Image]] = [[], []]
    captions: list[list[str]] = [[], []]
    for name, image in made.items():
        truth, brain = person.truth[name].voxels, person.inside
        shades = window(person.truth[name], brain)
        for row, voxels in zip(rows, (image, truth), strict=True):
            volume = Volume(voxels * brain, person.brain.affine)
            row.append(slice_image(volume, 2, level, shades, HEIGHT))
        reached = psnr(truth, image, brain, PROTOCOLS["honest"](truth, image, brain)[2])
        captions[0].append(f"{reached:.1f} dB")
        captions[1].append(
            f"{name[3:]}{'*' if name in UNSEEN else ''}" + (" (given)" if name == source else "")
        )
    return panel(rows, captions, f"From {source}: made, and true").convert("L")
