"""LPIPS (Zhang et al., CVPR 2018, equation 1) with weights that the user names: no package carries them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mrinr.errors import InputError

LEAST = 31  # voxels along each side of a slice, for AlexNet's two poolings
AT_ONCE = 32  # slices
# AlexNet's convolutions by their place in torchvision's `features`; each is followed by a ReLU, whose output
# is compared.
CONVOLUTIONS = {
    0: nn.Conv2d(3, 64, 11, stride=4, padding=2, device="meta"),
    3: nn.Conv2d(64, 192, 5, padding=2, device="meta"),
    6: nn.Conv2d(192, 384, 3, padding=1, device="meta"),
    8: nn.Conv2d(384, 256, 3, padding=1, device="meta"),
    10: nn.Conv2d(256, 256, 3, padding=1, device="meta"),
}
POOLED = (3, 6)  # maxima over 3x3 come before
# ImageNet's means and deviations on the scale from -1 to 1
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)


class Lpips:
    """Distance of images in the features of an AlexNet trained on photographs; 0 for the same image.

    alexnet : torchvision's state dict (`alexnet-owt-7be5be79.pth`)
    heads : LPIPS's state dict of linear weights, version 0.1 (`alex.pth`)

    Raises InputError for files that are missing, broken or hold something else.
    """

    def __init__(self, alexnet: Path, heads: Path) -> None:
        known, linear = _state(alexnet), _state(heads)
        self.layers = []
        for n, (place, empty) in enumerate(CONVOLUTIONS.items()):
            names = [f"features.{place}.{part}" for part in ("weight", "bias")]
            weight = _taken(known, names[0], empty.weight.shape, alexnet, "torchvision's AlexNet")
            bias = _taken(known, names[1], empty.weight.shape[:1], alexnet, "torchvision's AlexNet")
            head = _taken(
                linear,
                f"lin{n}.model.1.weight",
                torch.Size([1, len(bias), 1, 1]),
                heads,
                "LPIPS's linear weights for AlexNet",
            )
            self.layers.append((place, empty, weight, bias, head))

    def __call__(self, reference: np.ndarray, prediction: np.ndarray, data_range: float) -> float:
        """Mean over the slices of all axes of two volumes (i, j, k) from 0 to `data_range`.

        As in multi-contrast INR (McGinnis 2023, section 3). Raises InputError for less than 31 voxels along
        an axis.
        """
        if min(reference.shape) < LEAST:
            raise InputError(f"LPIPS needs at least {LEAST} voxels along each axis; leave its weights out.")
        found = []
        for axis in range(reference.ndim):
            a, b = (
                torch.from_numpy(np.moveaxis(x, axis, 0).astype(np.float32) * 2 / data_range - 1)
                for x in (reference, prediction)
            )
            for start in range(0, len(a), AT_ONCE):
                found.append(self.of_slices(a[start : start + AT_ONCE], b[start : start + AT_ONCE]))
        return float(torch.cat(found).mean())

    @torch.no_grad()
    def of_slices(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """The distance (n,) of slices (n, h, w) with intensities from -1 to 1."""
        total = torch.zeros(len(a))
        for one, other, head in zip(
            self._features(a), self._features(b), (layer[-1] for layer in self.layers), strict=True
        ):
            difference = (_unit(one) - _unit(other)).square()
            total += nn.functional.conv2d(difference, head).mean(dim=(1, 2, 3))
        return total

    def _features(self, slices: torch.Tensor) -> Iterator[torch.Tensor]:
        shift, scale = (torch.tensor(x)[:, None, None] for x in (SHIFT, SCALE))
        x = (slices[:, None] - shift) / scale
        for place, kind, weight, bias, _ in self.layers:
            if place in POOLED:
                x = nn.functional.max_pool2d(x, 3, 2)
            x = nn.functional.conv2d(x, weight, bias, kind.stride, kind.padding).relu()
            yield x


def _unit(features: torch.Tensor) -> torch.Tensor:
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _state(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise InputError(f"{path} does not exist; name the two files of LPIPS's weights.")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file that is none of torch's makes torch raise
        raise InputError(f"{path} cannot be read as weights of PyTorch; download it again.") from error
    return found if isinstance(found, dict) else {}


def _taken(
    state: dict[str, torch.Tensor], name: str, shape: torch.Size, path: Path, what: str
) -> torch.Tensor:
    value = state.get(name)
    if not isinstance(value, torch.Tensor) or value.shape != shape or not torch.isfinite(value).all():
        raise InputError(f"{path} does not hold {what} ({name} is missing or not as it should be).")
    return value.float()
