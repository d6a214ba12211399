"""The local implicit neural representation (Chen, Staring, Wolterink, Tao: ISBI 2023; sections 2.2 and 2.3).

A convolutional hypernetwork looks at the input slices and writes the parameters of a grid of small
perceptrons. Each turns the inputs' values at a point and the point's encoded position into the target's value
there, so the result is a function of continuous space. Deviations from the paper:

- tiles have a fixed size in pixels and the grid follows the size of the slice,
- the outputs of the four nearest perceptrons can be blended, which removes the seams between tiles,
- intensities are in units of the brain's median; the final tanh covers 0 to BRIGHTEST (the paper's -1 to 1),
- two more linear outputs of each perceptron, which read its last hidden layer and do not change the image,
  give the 90 % interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mrinr.errors import InputError
from mrinr.synthesis.prediction import Prediction
from mrinr.synthesis.slicewise import (
    INTERVAL_START,
    image_from,
    image_start,
    interval_from,
    one_target,
    reflected,
    stacked,
)

SLOPE = 0.01  # of LeakyReLU, as in the paper
FIRST_WIDTH = 64
LARGEST_TILE = 32
WHOLE_STRIDES = 4  # poolings of the hypernetwork when one perceptron serves the whole image
POINTS_AT_ONCE = 16_384  # keeps a CPU's caches warm; a GPU wants as many as there are

PRESETS: dict[str, dict] = {
    "paper": {"tile": 4, "hyper_width": 1024, "blocks": 7, "mlp_width": 64, "mlp_layers": 5, "blend": False},
    "compact": {"tile": 4, "hyper_width": 192, "blocks": 7, "mlp_width": 32, "mlp_layers": 5, "blend": True},
}


class LocalINR(nn.Module):
    """Synthesis of `targets[0]` from all of `inputs`.

    Parameters
    ----------
    inputs, targets : sequence names; one target
    tile : pixels along the side of a tile, a power of 2 up to 32 (on the paper's 160 x 128 crops 16, 8, 4, 2
        are its grids of 10 x 8 to 80 x 64), or None for one perceptron for the whole image (1 x 1)
    hyper_width, blocks : channels of the hypernetwork's 3x3 blocks and their number
    mlp_width, mlp_layers : of the local perceptrons' hidden layers
    bands : frequencies of the positional encoding, `4 * bands` numbers
    blend : mix the outputs of the four nearest perceptrons bilinearly
    """

    def __init__(
        self,
        inputs: Sequence[str],
        targets: Sequence[str],
        tile: int | None = 4,
        hyper_width: int = 1024,
        blocks: int = 7,
        mlp_width: int = 64,
        mlp_layers: int = 5,
        bands: int = 6,
        blend: bool = False,
    ) -> None:
        super().__init__()
        self.inputs, self.targets = one_target(inputs, targets)
        if min(hyper_width, blocks, mlp_width, mlp_layers, bands) < 1:
            raise InputError("Widths, layers, blocks and bands of a local INR must be at least 1.")
        if tile is not None and (not 2 <= tile <= LARGEST_TILE or tile & (tile - 1)):
            raise InputError(
                f"The tile of a local INR must be 2, 4, 8, 16 or 32 pixels, or none, not {tile}."
            )
        if tile is None and blend:
            raise InputError("A single perceptron for the whole image has no neighbours to blend with.")
        self.tile, self.bands, self.blend = tile, bands, blend
        strides = WHOLE_STRIDES if tile is None else tile.bit_length() - 1
        self.hypernetwork = hypernetwork(len(self.inputs), hyper_width, strides, blocks)
        sizes = [len(self.inputs) + 4 * bands] + [mlp_width] * mlp_layers
        self.layers = nn.ModuleList(
            Generated(hyper_width, a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True)
        )
        self.image = Generated(hyper_width, mlp_width, 1, bias=image_start())
        self.interval = Generated(hyper_width, mlp_width, 2, bias=INTERVAL_START)

    def forward(self, images: Mapping[str, Tensor], place: Tensor) -> Prediction:
        """Synthesise from `images` (n, 1, h, w) each, any h and w.

        place : (n, 2, h, w), position of each pixel, -1..1 over the box of the brain (see `places`)
        """
        return self.at(images, place, 1)

    def at(self, images: Mapping[str, Tensor], place: Tensor, scale: int) -> Prediction:
        """The same on a grid `scale` times as fine, ((h - 1) * scale + 1, (w - 1) * scale + 1).

        Every `scale`-th point is a pixel; between pixels the inputs' values are interpolated linearly.
        """
        stack = stacked(images, self.inputs, place)
        return self.render(self.encode(stack), stack, place, scale)

    def encode(self, stack: Tensor) -> Tensor:
        """Inputs (n, m, h, w) to codes (n, hyper_width, rows, columns), one for each perceptron."""
        side = 2**WHOLE_STRIDES if self.tile is None else self.tile
        # two tiles at least: instance norm cannot work on a single one
        rows, columns = (max(2, math.ceil(length / side)) for length in stack.shape[-2:])
        codes = self.hypernetwork(reflected(stack, rows * side, columns * side))
        return codes.mean((2, 3), keepdim=True) if self.tile is None else codes

    def render(self, codes: Tensor, stack: Tensor, place: Tensor, scale: int = 1) -> Prediction:
        """Evaluate the perceptrons of `codes` at the pixels, or at finer points (see `at`).

        Codes may be rearranged before: one of them everywhere shows what its perceptron knows (Figure 4).
        """
        if scale < 1:
            raise InputError(f"A slice can be synthesised 1 or more times as fine, not {scale}.")
        h, w = ((length - 1) * scale + 1 for length in stack.shape[-2:])
        points = torch.cat([finer(stack, h, w), encoded(finer(place, h, w), self.bands)], dim=1)
        n, _, rows, columns = codes.shape
        windows = Windows(rows, columns, h, w, self.tile, scale, self.blend)
        codes = codes.permute(0, 2, 3, 1).flatten(0, 2)
        values = [self._perceptrons(c, p) for c, p in self._portions(codes, windows.cut(points))]
        return Prediction(*windows.joined(torch.cat(values), n).split(1, dim=1))

    def perceptron_parameters(self) -> int:
        """Parameters of one perceptron, without its two outputs for the interval."""
        return sum(layer.parameters_each for layer in [*self.layers, self.image])

    def _portions(self, codes: Tensor, points: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Tiles in portions of about POINTS_AT_ONCE on a CPU."""
        size = max(1, POINTS_AT_ONCE // points.shape[1]) if codes.device.type == "cpu" else len(codes)
        yield from zip(codes.split(size), points.split(size), strict=True)

    def _perceptrons(self, codes: Tensor, points: Tensor) -> Tensor:
        """Codes (t, c) and their points (t, p, m + 4 bands) to image, low and high (t, p, 3)."""
        x = points
        for layer in self.layers:
            x = F.leaky_relu(layer(codes, x), SLOPE)
        # The interval learns from what the image knows and does not change it.
        ends = self.interval(codes.detach(), x.detach())
        return torch.cat([image_from(self.image(codes, x)), interval_from(ends)], dim=-1)


def hypernetwork(channels: int, width: int, strides: int, blocks: int) -> nn.Sequential:
    """(n, channels, h, w) to codes (n, width, h / 2^strides, w / 2^strides).

    A convolution to 64 channels, stride-2 3x3 convolutions that double them (the last one makes `width`),
    `blocks` 3x3 convolutions; instance norm and ReLU after each. The paper's last 1x1 convolution, which
    writes the parameters, is `Generated`.
    """
    sizes = [min(width, FIRST_WIDTH * 2**n) for n in range(strides)] + [width]
    layers = [*_convolution(channels, sizes[0], 1)]
    for before, after in zip(sizes[:-1], sizes[1:], strict=True):
        layers += _convolution(before, after, 2)
    for _ in range(blocks):
        layers += _convolution(width, width, 1)
    return nn.Sequential(*layers)


def _convolution(before: int, after: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)  # the norm would remove a bias
    return [convolution, nn.InstanceNorm2d(after, affine=True), nn.ReLU()]


class Generated(nn.Module):
    """A linear layer of every perceptron, its parameters a linear function of the perceptron's code.

    At the start all perceptrons are nearly the same, initialised as usual, with this `bias`. Codes are scaled
    down: a step of Adam on so many products would otherwise turn the perceptrons over.
    """

    def __init__(self, code: int, inputs: int, outputs: int, bias: float = 0.0) -> None:
        super().__init__()
        self.shape = inputs, outputs
        self.scale = code**-0.5
        self.parameters_each = (inputs + 1) * outputs
        self.write = nn.Linear(code, self.parameters_each)
        with torch.no_grad():
            weights = torch.randn(inputs * outputs) * math.sqrt(2 / inputs)
            self.write.bias.copy_(torch.cat([weights, torch.full([outputs], bias)]))

    def forward(self, codes: Tensor, x: Tensor) -> Tensor:
        """Codes (t, c), values (t, p, inputs) to (t, p, outputs)."""
        inputs, outputs = self.shape
        weight, bias = self.write(codes * self.scale).split([inputs * outputs, outputs], dim=1)
        return torch.baddbmm(bias[:, None], x.to(weight.dtype), weight.view(-1, inputs, outputs))


class Windows:
    """Cuts a map into the points of each perceptron, and joins what they say.

    Perceptron m along an axis is centred on the middle of its tile, pixel m * tile + (tile - 1) / 2. Without
    blending its window is the tile; with it, two tiles wide and weighted by a tent, so neighbours overlap.
    """

    def __init__(
        self, rows: int, columns: int, h: int, w: int, tile: int | None, scale: int, blend: bool
    ) -> None:
        self.size = h, w
        self.step = (h, w) if tile is None else (tile * scale, tile * scale)
        self.window = tuple(2 * s if blend else s for s in self.step)
        before = 0 if tile is None else scale * (tile + 1) // 2 if blend else scale // 2
        self.before = before, before
        self.padded = tuple(
            (n - 1) * s + k for n, s, k in zip((rows, columns), self.step, self.window, strict=True)
        )
        self.tents: list[Tensor] | None = None
        if blend and tile is not None:
            offset = torch.arange(2 * tile * scale) - before
            tent = 1 - (offset / scale - (tile - 1) / 2).abs() / tile
            self.tents = [tent[:, None], tent]

    def cut(self, points: Tensor) -> Tensor:
        """(n, c, h, w) to (n * tiles, points of a window, c)."""
        (top, left), (h, w) = self.before, self.size
        # what lies outside of the image is cut off again: its value does not matter
        points = F.pad(points, (left, self.padded[1] - left - w, top, self.padded[0] - top - h))
        views = points.unfold(2, self.window[0], self.step[0]).unfold(3, self.window[1], self.step[1])
        return views.permute(0, 2, 3, 4, 5, 1).flatten(3, 4).flatten(0, 2)

    def joined(self, values: Tensor, n: int) -> Tensor:
        """(n * tiles, points of a window, c) to (n, c, h, w)."""
        values = values.unflatten(0, (n, -1)).permute(0, 3, 2, 1)
        if self.tents is None:
            return self._fold(values)
        weight = (self.tents[0] * self.tents[1]).to(values).view(1, 1, -1, 1)
        total = self._fold(weight.expand(1, 1, -1, values.shape[-1]))  # 1 but at the border of the image
        return self._fold(values * weight) / total

    def _fold(self, values: Tensor) -> Tensor:
        (top, left), (h, w) = self.before, self.size
        whole = F.fold(values.flatten(1, 2), self.padded, self.window, stride=self.step)
        return whole[..., top : top + h, left : left + w]


def encoded(place: Tensor, bands: int) -> Tensor:
    """Positions (n, 2, h, w) in -1..1 to (n, 4 * bands, h, w): sin, cos of 2^k pi x, x in 0..1."""
    x = (place.float() + 1) / 2
    phase = torch.cat([2**k * math.pi * x for k in range(bands)], dim=1)
    return torch.cat([phase.sin(), phase.cos()], dim=1)


def finer(x: Tensor, h: int, w: int) -> Tensor:
    """(n, c, ...) interpolated linearly between its first and last pixels."""
    if x.shape[-2:] == (h, w):
        return x
    return F.interpolate(x, (h, w), mode="bilinear", align_corners=True)
