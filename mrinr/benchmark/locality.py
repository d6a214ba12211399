"""The locality experiment of the local INR (Chen 2023, Figure 4): one tile's perceptron for every pixel."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from mrinr.metrics import psnr
from mrinr.pictures import panel, slice_image
from mrinr.synthesis.local_inr import LocalINR
from mrinr.synthesis.slicewise import stacked
from mrinr.training.batch import Batch
from mrinr.volume import Volume

HEIGHT = 260  # pixels of a picture
SEARCHED = 0.95  # of a tile's pixels are brain


def picture(network: LocalINR, batch: Batch, target: str) -> tuple[Image.Image, dict[str, float]]:
    """A row for each tile chosen, and brain PSNR (dB) with each tile's own perceptron and with that one."""
    n = int(batch.brain.sum((1, 2, 3)).argmax())
    first = network.inputs[0]
    seen = {name: image[n : n + 1] for name, image in batch.seen.items()}
    place, truth, brain = batch.place[n : n + 1], batch.clean[target][n, 0], batch.brain[n, 0]
    stack = stacked(seen, network.inputs, place)
    top = float(np.percentile(truth[brain > 0], 99.9))

    def quality(image: torch.Tensor) -> float:
        return psnr(truth.numpy(), image.numpy(), brain.numpy() > 0, top)

    with torch.inference_mode():
        codes = network.encode(stack)
        own = network.render(codes, stack, place).mean[0, 0]
        found = {"every tile its own": quality(own)}
        rows, captions = [], []
        for name, (row, column) in tiles(seen[first], brain[None, None], network.tile or 1).items():
            one = codes[:, :, row : row + 1, column : column + 1].expand_as(codes).contiguous()
            everywhere = network.render(one, stack, place).mean[0, 0]
            found[name] = quality(everywhere)
            rows.append([_grey(x) for x in (seen[first][0, 0], truth, own, everywhere)])
            captions.append([
                first, f"{target}, truth", f"{target}\n{found['every tile its own']:.1f} dB",
                f"tile in {name}\n{found[name]:.1f} dB",
            ])  # fmt: skip
    return panel(rows, captions, "One tile's perceptron everywhere"), found


def tiles(image: torch.Tensor, brain: torch.Tensor, tile: int) -> dict[str, tuple[int, int]]:
    """Row and column of a tile in white matter (the darkest of a T2's brain), fluid (the brightest), air."""
    value, inside = (functional.avg_pool2d(x, tile)[0, 0] for x in (image, brain))
    within = inside >= min(SEARCHED, float(inside.max()))
    chosen = {
        "white matter": value.masked_fill(~within, torch.inf).argmin(),
        "fluid": value.masked_fill(~within, -torch.inf).argmax(),
        "the background": value.masked_fill(inside > 0, torch.inf).argmin(),
    }
    columns = value.shape[1]
    return {name: (int(at) // columns, int(at) % columns) for name, at in chosen.items()}


def _grey(image: torch.Tensor) -> Image.Image:
    return slice_image(Volume(image.numpy()[..., None], np.eye(4)), 2, 0, (0.0, 2.2), HEIGHT)
