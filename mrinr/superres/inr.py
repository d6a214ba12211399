"""Implicit neural representations: networks from points to intensities, and the functions they represent.

Networks take points in world millimetres (RAS) relative to the middle of the target grid and give the scaled
intensities of every contrast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mrinr.context import Context
from mrinr.geometry import Grid

PREVIEW_POINTS = 30_000
FLOPS_AT_ONCE = 8e9  # between two looks at Cancel, on a CPU
POINTS_AT_ONCE = 65_536  # on a GPU


class FourierFeatures(nn.Module):
    """cos(2 pi B x), sin(2 pi B x) of points x in mm; B ~ N(0, bandwidth^2) in cycles/mm (Tancik 2020)."""

    B: Tensor

    def __init__(self, features: int, bandwidth: float) -> None:
        super().__init__()
        self.register_buffer("B", torch.randn(features // 2, 3) * bandwidth)

    def forward(self, points: Tensor) -> Tensor:
        with torch.autocast(points.device.type, enabled=False):  # phases need all their digits
            phase = 2 * math.pi * points @ self.B.T
            return torch.cat([phase.cos(), phase.sin()], dim=-1)


def perceptron(sizes: list[int], last: bool) -> nn.Sequential:
    """Linear layers with ReLU between them, and after the last one unless `last` is True."""
    layers: list[nn.Module] = []
    for a, b in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*(layers[:-1] if last else layers))


class Representation(nn.Module):
    """Base of all networks: points (n, 3) in mm -> (n, contrasts).

    A subclass defines `trunk`, points -> hidden, and `heads`: one for each contrast, or a single one with an
    output for each contrast. `arguments` are those of its constructor, by which it can be built again.
    """

    arguments: dict[str, Any]
    trunk: nn.Module
    heads: nn.ModuleList

    def forward(self, points: Tensor) -> Tensor:
        hidden = self.trunk(points)
        return torch.cat([head(hidden) for head in self.heads], dim=-1)

    def own(self, points: Tensor, counts: list[int]) -> Tensor:
        """(n,): the first counts[0] points in the first contrast, the next counts[1] in the second, ..."""
        parts = self.trunk(points).split(counts)
        if len(self.heads) == 1:
            return torch.cat([self.heads[0](part)[:, n] for n, part in enumerate(parts)])
        return torch.cat([head(part)[:, 0] for head, part in zip(self.heads, parts, strict=True)])


class SplitHead(Representation):
    """Fourier features, `layers` shared layers of `width`, a head width, width / 2, 1 for each contrast."""

    def __init__(self, contrasts: int, features: int, bandwidth: float, width: int, layers: int) -> None:
        super().__init__()
        self.arguments = {
            "contrasts": contrasts,
            "features": features,
            "bandwidth": bandwidth,
            "width": width,
            "layers": layers,
        }
        shared = perceptron([features] + [width] * layers, last=False)
        self.trunk = nn.Sequential(FourierFeatures(features, bandwidth), shared)
        self.heads = nn.ModuleList(perceptron([width, width // 2, 1], last=True) for _ in range(contrasts))


class Field:
    """A continuous function of space: a network, its contrasts and where its coordinates start.

    half : calculate in bfloat16 where the device is faster so (outputs come back in float32)
    """

    def __init__(
        self, network: Representation, contrasts: list[str], centre: np.ndarray, half: bool = False
    ) -> None:
        self.network, self.contrasts, self.centre = network, contrasts, centre
        self.device = next(network.parameters()).device
        self.parameters = sum(p.numel() for p in network.parameters())
        self._half = half and fast_bfloat16(self.device)

    def precision(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._half)

    @torch.no_grad()
    def at(self, grid: Grid, flat: Tensor | None, context: Context) -> Tensor:
        """(n, contrasts) at the voxels of `grid` numbered `flat` in row-major order (None: all of them)."""
        training = self.network.training
        self.network.eval()
        parts = []
        for some in self._portions(grid, flat):
            context.check()
            with self.precision():
                parts.append(self.network(self._points(grid, some)).float())
        self.network.train(training)
        return torch.cat(parts)

    def on(self, grid: Grid, context: Context) -> dict[str, Tensor]:
        """The function on `grid`, by contrast."""
        values = self.at(grid, None, context)
        return {c: values[:, n].reshape(grid.shape).clone() for n, c in enumerate(self.contrasts)}

    def glimpse(self, grid: Grid, context: Context) -> dict[str, Tensor]:
        """A quick look: the function on a coarser grid, interpolated linearly to `grid`."""
        factor = max(1.0, (grid.size / PREVIEW_POINTS) ** (1 / 3))
        a, b, c = grid.spacing * factor
        coarse = self.on(grid.with_spacing((a, b, c)), context)
        size = list(grid.shape)
        return {
            name: F.interpolate(x[None, None], size=size, mode="trilinear", align_corners=False)[0, 0]
            for name, x in coarse.items()
        }

    def _portions(self, grid: Grid, flat: Tensor | None) -> Iterator[Tensor]:
        on_cpu = self.device.type == "cpu"
        size = max(256, int(FLOPS_AT_ONCE / (2 * self.parameters))) if on_cpu else POINTS_AT_ONCE
        count = grid.size if flat is None else len(flat)
        for start in range(0, count, size):
            stop = min(start + size, count)
            yield torch.arange(start, stop, device=self.device) if flat is None else flat[start:stop]

    def _points(self, grid: Grid, flat: Tensor) -> Tensor:
        _, nj, nk = grid.shape
        index = torch.stack([flat // (nj * nk), flat // nk % nj, flat % nk], dim=1).float()
        affine = grid.affine.copy()
        affine[:3, 3] -= self.centre
        matrix = torch.tensor(affine, dtype=torch.float32, device=flat.device)
        return index @ matrix[:3, :3].T + matrix[:3, 3]


class Continuous:
    """A function of grids for `Solution.sample` that knows the fitted networks in it."""

    def __init__(self, fields: Sequence[Field], function: Callable[[Grid], dict[str, Tensor]]) -> None:
        self.fields, self._function = list(fields), function

    def __call__(self, grid: Grid) -> dict[str, Tensor]:
        return self._function(grid)


def fields_of(sample: Callable[[Grid], dict[str, Tensor]] | None) -> list[Field]:
    """The networks that a solution was fitted with; none where it has voxels only."""
    return sample.fields if isinstance(sample, Continuous) else []


def fast_bfloat16(device: torch.device) -> bool:
    """True where the hardware multiplies bfloat16 itself; elsewhere it would be slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and supported is not None and bool(supported())
