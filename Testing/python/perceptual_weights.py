"""Files like the published weights of AlexNet and LPIPS, with random numbers."""

from __future__ import annotations

from pathlib import Path

import torch

# torchvision's AlexNet: place in `features`, channels in and out, size, stride, padding, pooling before
LAYERS = (
    (0, 3, 64, 11, 4, 2, False),
    (3, 64, 192, 5, 1, 2, True),
    (6, 192, 384, 3, 1, 1, True),
    (8, 384, 256, 3, 1, 1, False),
    (10, 256, 256, 3, 1, 1, False),
)


def random_weights(folder: Path) -> tuple[Path, Path]:
    """Where they were written to: torchvision's file and LPIPS's."""
    random = torch.Generator().manual_seed(0)
    alexnet, heads = {}, {}
    for n, (place, before, after, size, *_) in enumerate(LAYERS):
        scale = (2 / (before * size * size)) ** 0.5
        alexnet[f"features.{place}.weight"] = scale * torch.randn(after, before, size, size, generator=random)
        alexnet[f"features.{place}.bias"] = 0.1 * torch.randn(after, generator=random)
        heads[f"lin{n}.model.1.weight"] = torch.rand(1, after, 1, 1, generator=random)
    alexnet["classifier.1.weight"] = torch.zeros(3, 3)  # the published file holds more than is needed
    paths = folder / "alexnet.pth", folder / "alex.pth"
    torch.save(alexnet, paths[0])
    torch.save(heads, paths[1])
    return paths
