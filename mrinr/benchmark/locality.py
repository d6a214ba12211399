"""The locality experiment of the local INR (Chen 2023, Figure 4): one tile's perceptron for every pixel.

And its control, with coordinates that are normalised within the tile (as in ASAP-Net, Shaham, CVPR 2021)
and not over the image.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from mrinr.metrics import psnr
from mrinr.pictures import panel, slice_image
from mrinr.synthesis.local_inr import LocalINR
from mrinr.synthesis.prediction import Prediction
from mrinr.synthesis.slicewise import stacked
from mrinr.training.batch import Batch
from mrinr.volume import Volume

HEIGHT = 110  # pixels of a picture
SHADES = 32  # keep the file small
SEARCHED = 0.95  # of a tile's pixels are brain
OWN = "every tile its own"

Seen = dict[str, dict[str, float]]  # by whose perceptron: "psnr" in the brain, and "pattern"


class LocallyEncoded(LocalINR):
    """The control: a perceptron knows where in its tile a pixel lies, not where in the image."""

    def render(self, codes: Tensor, stack: Tensor, place: Tensor, scale: int = 1) -> Prediction:
        return super().render(codes, stack, within_tiles(place, self.tile or 1), scale)


def within_tiles(place: Tensor, tile: int) -> Tensor:
    """Positions like `place` (n, 2, h, w) that run from -1 to 1 over every tile."""
    n, _, h, w = place.shape
    down, across = ((torch.arange(side) % tile + 0.5) / tile * 2 - 1 for side in (h, w))
    both = torch.stack([down[:, None].expand(h, w), across.expand(h, w)])
    return both.to(place)[None].expand(n, -1, -1, -1)


def locality(network: LocalINR, batch: Batch, target: str) -> Seen:
    """With each tile's own perceptron, and with that of one tile in white matter, fluid or the background.

    psnr : in the brain, range: the truth's 99.9th percentile there
    pattern : standard deviation in the brain of what repeats in every tile, in % of the image's
    """
    n = _fullest(batch)
    truth, brain = batch.clean[target][n, 0].numpy(), batch.brain[n, 0].numpy() > 0
    top = float(np.percentile(truth[brain], 99.9))
    return {
        name: {"psnr": psnr(truth, image, brain, top), "pattern": _pattern(image, brain, network.tile or 1)}
        for name, image in _images(network, batch).items()
    }


def constant(batch: Batch, target: str) -> float:
    """PSNR (dB) of the truth's mean in the brain, on the same slice and range."""
    n = _fullest(batch)
    truth, brain = batch.clean[target][n, 0].numpy(), batch.brain[n, 0].numpy() > 0
    top = float(np.percentile(truth[brain], 99.9))
    return psnr(truth, np.full_like(truth, truth[brain].mean()), brain, top)


def picture(networks: Mapping[str, LocalINR], batch: Batch, target: str) -> Image.Image:
    """A row for each tile: input and truth, then of each network its image and that tile's everywhere."""
    n = _fullest(batch)
    first = next(iter(networks.values())).inputs[0]
    made = {label: _images(network, batch) for label, network in networks.items()}
    levels = {label: locality(network, batch, target) for label, network in networks.items()}
    truth, rows, captions = batch.clean[target][n, 0].numpy(), [], []
    for name in [key for key in next(iter(made.values())) if key != OWN]:
        row, words = [batch.seen[first][n, 0].numpy(), truth], [first, f"{target}, truth"]
        for label, images in made.items():
            encoding = "local" if "local" in label else "global"
            for which, called in (
                (OWN, f"{encoding} encoding"),
                (name, f"tile in {name.removeprefix('the ')}"),
            ):
                row.append(images[which])
                words.append(f"{called}\n{levels[label][which]['psnr']:.1f} dB")
        rows.append([_grey(image) for image in row])
        captions.append(words)
    return panel(rows, captions, "One tile's perceptron everywhere").convert("L").quantize(SHADES)


def _images(network: LocalINR, batch: Batch) -> dict[str, np.ndarray]:
    """By whose perceptron, (h, w), of the slice with the most brain."""
    n = _fullest(batch)
    seen = {name: batch.seen[name][n : n + 1] for name in network.inputs}
    place, brain = batch.place[n : n + 1], batch.brain[n : n + 1]
    stack = stacked(seen, network.inputs, place)
    with torch.inference_mode():
        codes = network.encode(stack)
        found = {OWN: network.render(codes, stack, place).mean[0, 0].numpy()}
        for name, (row, column) in tiles(seen[network.inputs[0]], brain, network.tile or 1).items():
            one = codes[:, :, row : row + 1, column : column + 1].expand_as(codes).contiguous()
            found[name] = network.render(one, stack, place).mean[0, 0].numpy()
    return found


def tiles(image: Tensor, brain: Tensor, tile: int) -> dict[str, tuple[int, int]]:
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


def _pattern(image: np.ndarray, brain: np.ndarray, tile: int) -> float:
    rows, columns = np.nonzero(brain)
    at, values = rows % tile * tile + columns % tile, image[brain]
    counts = np.maximum(np.bincount(at, minlength=tile * tile), 1)
    means = np.bincount(at, values, minlength=tile * tile) / counts
    return 100 * float(means[at].std() / max(float(values.std()), 1e-9))


def _fullest(batch: Batch) -> int:
    """The slice with the most brain."""
    return int(batch.brain.sum((1, 2, 3)).argmax())


def _grey(image: np.ndarray) -> Image.Image:
    return slice_image(Volume(image[..., None], np.eye(4)), 2, 0, (0.0, 2.2), HEIGHT)
