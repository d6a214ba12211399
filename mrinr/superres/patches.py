"""Patch features on a plane, and the small network that predicts a voxel from them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RADIUS = 3  # 7 x 7 patches


def patch_offsets(first: int, second: int, radius: int = RADIUS) -> list[tuple[int, int, int]]:
    """Offsets (i, j, k) of the patch in the plane of axes `first` (rows) and `second` (columns)."""
    out = []
    for a in range(-radius, radius + 1):
        for b in range(-radius, radius + 1):
            offset = [0, 0, 0]
            offset[first] += a
            offset[second] += b
            out.append((offset[0], offset[1], offset[2]))
    return out


class Patches:
    """Patches of several volumes (equal shapes), gathered voxel by voxel without unfolding the volumes."""

    def __init__(self, volumes: list[Tensor], first: int, second: int) -> None:
        self.channels = len(volumes)
        self._padded = [F.pad(v[None, None], (RADIUS,) * 6, mode="replicate")[0, 0] for v in volumes]
        _, nj, nk = self._padded[0].shape
        self._strides = (nj * nk, nk, 1)
        offsets = [
            sum(o * s for o, s in zip(offset, self._strides, strict=True))
            for offset in patch_offsets(first, second)
        ]
        self._offsets = torch.tensor(offsets, device=volumes[0].device)

    def __call__(self, index: Tensor) -> Tensor:
        """(n, 3) voxel indices -> (n, channels, 49) intensities."""
        strides = torch.tensor(self._strides, device=index.device)
        base = ((index + RADIUS) * strides).sum(1)
        where = base[:, None] + self._offsets
        return torch.stack([v.flatten()[where] for v in self._padded], dim=1)


class PatchNetwork(nn.Module):
    """Predicts how far the first channel's centre voxel is from the truth.

    Inputs are each channel's patch minus its centre, the centres, and where the voxel lies between the
    slices, which decides how much the patch can say: position (n, 4) holds its phase in [0, 1) within its
    slice and whether the previous, the own and the next slice are missing (0 or 1).
    """

    def __init__(self, channels: int, hidden: tuple[int, ...] = (128, 64)) -> None:
        super().__init__()
        self.middle = (2 * RADIUS + 1) ** 2 // 2
        sizes = [channels * (2 * self.middle + 1) + channels + 5, *hidden]
        layers: list[nn.Module] = []
        for a, b in zip(sizes[:-1], sizes[1:], strict=True):
            layers += [nn.Linear(a, b), nn.GELU()]
        last = nn.Linear(sizes[-1], 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*layers, last)
        self.register_buffer("difference_scale", torch.ones(channels, 1))
        self.register_buffer("centre_mean", torch.zeros(channels))
        self.register_buffer("centre_scale", torch.ones(channels))
        self.register_buffer("target_scale", torch.ones(()))

    def normalise_for(self, patches: Tensor, target: Tensor) -> None:
        """Take the scales of the inputs (n, channels, 49) and of the target from a sample."""
        centre = patches[:, :, self.middle]
        self.difference_scale = (patches - centre[..., None]).std(dim=(0, 2))[:, None] + 1e-6
        self.centre_mean, self.centre_scale = centre.mean(0), centre.std(0) + 1e-6
        self.target_scale = target.std() + 1e-6

    def forward(self, patches: Tensor, position: Tensor) -> Tensor:
        """(n, channels, 49), (n, 4) -> (n,) in units of the target's scale."""
        centre = patches[:, :, self.middle]
        angle = 2 * torch.pi * position[:, :1]
        features = [
            ((patches - centre[..., None]) / self.difference_scale).flatten(1),
            (centre - self.centre_mean) / self.centre_scale,
            torch.cos(angle),
            torch.sin(angle),
            position[:, 1:],
        ]
        return self.layers(torch.cat(features, dim=1))[:, 0]


def train(
    network: PatchNetwork,
    patches: Tensor,
    position: Tensor,
    target: Tensor,
    steps: int,
    report: Callable[[float], None],
    generator: torch.Generator,
    batch: int = 2048,
    rate: float = 2e-3,
) -> None:
    """Fit by Adam with a one-cycle rate; patches are flipped at random (with their positions)."""
    network.normalise_for(patches[:50_000], target)
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=max(steps, 20), pct_start=0.1)
    side = 2 * RADIUS + 1
    scaled = target / network.target_scale
    for step in range(steps):
        if step % 20 == 0:
            report(step / steps)
        pick = torch.randint(len(target), (batch,), generator=generator).to(target.device)
        x, p = patches[pick], position[pick]
        flips = torch.randint(2, (2,), generator=generator).tolist()
        if any(flips):
            square = x.unflatten(2, (side, side))
            square = square.flip([2 + axis for axis in (0, 1) if flips[axis]])
            x = square.flatten(2)
            if flips[0]:
                p = torch.stack([1 - p[:, 0], p[:, 3], p[:, 2], p[:, 1]], dim=1)
        loss = F.mse_loss(network(x, p), scaled[pick])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
