"""The modality-invariant model (Chartsias 2018; papers: Joyce 2017, sections 3 and 4).

An encoder for each sequence maps its slice into one latent space, a shared spatial transformer moves the
latents onto the first one present, their voxel-wise maximum is decoded. Deviations from the paper:

- a decoder for each target on shared encoders (the paper has one target),
- the spatial transformer aligns to the first *present* input and is rigid (the paper's is affine and
  aligns to input 1, which may be missing),
- the encoder's last convolution has an activation, and decoders predict the ends of a 90 % interval too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from mrinr.errors import InputError
from mrinr.synthesis.prediction import Prediction

SLOPE = 0.3  # of LeakyReLU, as in the paper
LEAST_PIXELS = 4  # two poolings
LARGEST_TURN = 0.3  # radians
LARGEST_SHIFT = 12.0  # pixels
SEEN = 96  # pixels in the middle of a slice that the spatial transformer looks at


class Multimodal(nn.Module):
    """Any non-empty subset of `inputs` in, any of `targets` out.

    Parameters
    ----------
    inputs, targets : sequence names
    width : channels of the encoder's first level (the paper's 32)
    decoder_width : channels of a decoder
    latent : channels of the shared latent space (the paper's 16)
    """

    def __init__(
        self,
        inputs: Sequence[str],
        targets: Sequence[str],
        width: int = 32,
        decoder_width: int = 32,
        latent: int = 16,
    ) -> None:
        super().__init__()
        if not inputs or not targets or min(width, decoder_width, latent) < 1:
            raise InputError("A multimodal model needs inputs, targets and widths of at least 1.")
        self.inputs, self.targets = tuple(inputs), tuple(targets)
        self.encoders = nn.ModuleDict({name: Encoder(width, latent) for name in inputs})
        self.transformer = SpatialTransformer(latent)
        self.decoders = nn.ModuleDict({name: Decoder(latent, decoder_width) for name in targets})
        self.apply(_start)

    def forward(
        self, images: Mapping[str, torch.Tensor], place: torch.Tensor | None = None, target: str | None = None
    ) -> Prediction:
        """Synthesise `target` (default: the first) from `images`, each (n, 1, h, w); `place` is not used."""
        latents, _ = self.align(self.encode(images))
        return self.decode(fuse(latents), target or self.targets[0])

    def encode(self, images: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Latents (n, latent, h, w) of the images, in the order of `inputs`."""
        unknown = [name for name in images if name not in self.encoders]
        if unknown or not images:
            raise InputError(
                f"This model takes {', '.join(self.inputs)}, not {', '.join(unknown) or 'nothing'}."
            )
        return {name: self.encoders[name](images[name]) for name in self.inputs if name in images}

    def align(
        self, latents: Mapping[str, torch.Tensor], reference: str | None = None
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Latents moved onto that of `reference` (default: the first), and the motions that were applied.

        A motion is (n, 3): angle in radians, shift along rows and columns in pixels, about the middle of the
        slice; the moved image at x is the given one at the motion of x.
        """
        reference = reference or next(iter(latents))
        moved, motions = {}, {}
        for name, latent in latents.items():
            if name != reference:
                motions[name] = self.transformer(latents[reference], latent)
                latent = moved_by(latent, motions[name])
            moved[name] = latent
        return moved, motions

    def decode(self, latent: torch.Tensor, target: str) -> Prediction:
        return self.decoders[target](latent)


def fuse(latents: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The voxel-wise maximum over the latents that are there."""
    return torch.stack(list(latents.values())).amax(0)


def moved_by(image: torch.Tensor, motion: torch.Tensor) -> torch.Tensor:
    """(n, c, h, w) sampled at the rigid `motion` (n, 3) of each pixel, linearly; zero outside."""
    h, w = image.shape[-2:]
    angle, down, right = motion.float().unbind(1)
    cos, sin = angle.cos(), angle.sin()
    # affine_grid counts x along w, y along h, both -1..1
    rows = [
        torch.stack([cos, -sin * h / w, 2 * right / w], dim=1),
        torch.stack([sin * w / h, cos, 2 * down / h], dim=1),
    ]
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(image.shape), align_corners=False)
    return functional.grid_sample(image.float(), grid, align_corners=False).to(image.dtype)


class Encoder(nn.Module):
    """U-Net of two poolings, (n, 1, h, w) to (n, latent, h, w) (paper, Figure 3 left). No normalisation."""

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        self.top = _pair(1, width)
        self.middle = _pair(width, 2 * width)
        self.bottom = _pair(2 * width, 4 * width)
        self.up_middle = nn.Conv2d(4 * width, 2 * width, 3, padding=1)
        self.back_middle = _pair(4 * width, 2 * width)
        self.up_top = nn.Conv2d(2 * width, width, 3, padding=1)
        self.back_top = _pair(2 * width, width)
        self.last = _conv(width, latent)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        h, w = image.shape[-2:]
        padding = (0, -w % LEAST_PIXELS, 0, -h % LEAST_PIXELS)
        top = self.top(functional.pad(image, padding))
        middle = self.middle(functional.max_pool2d(top, 2))
        x = self.bottom(functional.max_pool2d(middle, 2))
        x = self.back_middle(torch.cat([self.up_middle(_twice(x)), middle], 1))
        x = self.back_top(torch.cat([self.up_top(_twice(x)), top], 1))
        return self.last(x)[..., :h, :w]


class Decoder(nn.Module):
    """Latent to image (paper, Figure 3 right), with two more outputs for the interval."""

    def __init__(self, latent: int, width: int) -> None:
        super().__init__()
        self.first = _pair(latent, width)
        self.second = _pair(width + latent, width)
        self.image = nn.Conv2d(width + latent, 1, 1)
        self.interval = nn.Conv2d(width + latent, 2, 1)

    def forward(self, latent: torch.Tensor) -> Prediction:
        x = self.first(latent)
        x = torch.cat([self.second(torch.cat([x, latent], 1)), latent], 1)
        # The interval learns from what the image knows and does not change it.
        low, high = functional.softplus(self.interval(x.detach())).split(1, 1)
        image = self.image(x)
        # A ReLU that is dead at the start never learns, so it comes in only when the model is used.
        return Prediction(image if self.training else functional.relu(image), low, high)


class SpatialTransformer(nn.Module):
    """The rigid motion between two latents (Jaderberg 2015), the identity at the start."""

    def __init__(self, latent: int, width: int = 32) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(2 * latent, width, 5, stride=2, padding=2),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, width, 5, stride=2, padding=2),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.AdaptiveAvgPool2d((5, 6)),
            nn.Flatten(),
            nn.Linear(30 * width, 64),
            nn.LeakyReLU(SLOPE),
        )
        self.motion = nn.Linear(64, 3)

    def forward(self, fixed: torch.Tensor, moving: torch.Tensor) -> torch.Tensor:
        """Latents (n, latent, h, w) to motions (n, 3), see `Multimodal.align`."""
        both = functional.avg_pool2d(_middle(torch.cat([fixed, moving], 1)), 2)
        motion = torch.tanh(self.motion(self.features(both)))
        return motion * motion.new_tensor([LARGEST_TURN, LARGEST_SHIFT, LARGEST_SHIFT])


def _middle(image: torch.Tensor) -> torch.Tensor:
    """The middle SEEN x SEEN pixels, so that a motion looks the same in slices of any size; zero outside."""
    h, w = image.shape[-2:]
    return functional.pad(image, ((SEEN - w) // 2, -((w - SEEN) // 2), (SEEN - h) // 2, -((h - SEEN) // 2)))


def _start(part: nn.Module) -> None:
    """Weights that keep the variance from layer to layer (He 2015): without norm layers nothing else does."""
    if isinstance(part, (nn.Conv2d, nn.Linear)):
        nn.init.kaiming_normal_(part.weight, a=SLOPE)
        if part.bias is not None:
            nn.init.zeros_(part.bias)
    elif isinstance(part, Decoder):
        for last, start in ((part.image, 0.5), (part.interval, -2.0)):
            last.weight.data *= 0.1
            if last.bias is not None:
                nn.init.constant_(last.bias, start)
    elif isinstance(part, SpatialTransformer):
        nn.init.zeros_(part.motion.weight)


def _conv(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(SLOPE))


def _pair(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(*_conv(before, after), *_conv(after, after))


def _twice(x: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")
