"""The modality-invariant model (Chartsias 2018; papers: Joyce 2017, sections 3 and 4).

An encoder for each sequence maps its slice into one latent space, a shared spatial transformer moves the
latents onto one of them, their voxel-wise maximum is decoded. Deviations from the paper:

- a decoder for each target on shared encoders (the paper has one target),
- the spatial transformer aligns to the first *present* input, is rigid and matches blocks (the paper's is
  affine, regresses, and aligns to input 1, which may be missing),
- where most of an aligned input still shows something else, as after a turn out of the plane, what differs is
  not fused,
- the encoder's last convolution has an activation, and decoders predict the ends of a 90 % interval too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from mrinr.errors import InputError
from mrinr.synthesis.prediction import Prediction

SLOPE = 0.3  # of LeakyReLU, as in the paper
LEAST_PIXELS = 4  # two poolings
# The spatial transformer looks at the middle SEEN x SEEN pixels of a slice, averaged over COARSE x COARSE,
# and shifts each of BLOCKS x BLOCKS blocks by up to REACH coarse pixels.
SEEN, COARSE, REACH, BLOCKS = 96, 2, 4, 4
# Latents are compared over squares of NEARBY coarse pixels, so large that a lesion in one of them does not
# matter. From the second of ALIKE on (cosine of their features) both are fused, below the first only one.
NEARBY, ALIKE = 31, (0.35, 0.6)


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
                with torch.no_grad():  # it learns by practice, see `mrinr.training.multimodal`
                    motions[name] = self.transformer(latents[reference], latent)
                latent = moved_by(latent, motions[name])
            moved[name] = latent
        return moved, motions

    def matches(
        self, latents: Mapping[str, torch.Tensor], reference: str | None = None
    ) -> dict[str, torch.Tensor]:
        """How far each aligned latent shows what that of `reference` shows, (n, 1, h, w), 0 to 1."""
        reference = reference or next(iter(latents))
        return {
            name: self.transformer.alike(latents[reference], latent)
            for name, latent in latents.items()
            if name != reference
        }

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
    """The rigid motion between two latents, by matching blocks of learned features.

    The paper's transformer (Jaderberg 2015) regresses the motion from both images and starts at the identity;
    matching needs far fewer examples, since it moves nothing where all shifts fit alike.
    """

    def __init__(self, latent: int, width: int = 16) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(latent, width, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, width, 3, padding=1),
        )
        self.sharpness = nn.Parameter(torch.tensor(math.log(10.0)))

    def forward(self, fixed: torch.Tensor, moving: torch.Tensor) -> torch.Tensor:
        """Latents (n, latent, h, w) to motions (n, 3), see `Multimodal.align`.

        Least squares over the blocks' shifts, the surest count most.
        """
        shifts, sure = self._shifts(self._look(fixed), self._look(moving))
        middles = (torch.arange(BLOCKS, device=sure.device) + 0.5 - BLOCKS / 2) * (SEEN / BLOCKS)
        down, right = torch.meshgrid(middles, middles, indexing="ij")
        one, zero = torch.ones_like(down), torch.zeros_like(down)
        # a small turn by a and a shift take (down, right) to (down + a right, right - a down), shifted
        rows = torch.stack([torch.stack([right, one, zero], -1), torch.stack([-down, zero, one], -1)], -2)
        matrix = torch.einsum("nij,ijak,ijal->nkl", sure, rows, rows)
        vector = torch.einsum("nij,ijak,nija->nk", sure, rows, shifts)
        return torch.linalg.solve(matrix + torch.diag(matrix.new_tensor([1.0, 1e-3, 1e-3])), vector)

    def alike(self, fixed: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
        """(n, 1, h, w): 1 where two latents show the same, 0 where `moved` shows something else."""

        def mean(x: torch.Tensor) -> torch.Tensor:
            x, half = x.sum(1, keepdim=True), NEARBY // 2
            for size, around in (((NEARBY, 1), (half, 0)), ((1, NEARBY), (0, half))):
                x = functional.avg_pool2d(x, size, 1, around, count_include_pad=False)
            return x

        a, b = (self.features(functional.avg_pool2d(latent, COARSE)).float() for latent in (fixed, moved))
        a, b = (x - x.mean((2, 3), keepdim=True) for x in (a, b))
        cosine = mean(a * b) / ((mean(a * a) * mean(b * b)).sqrt() + 1e-4)
        found = ((cosine - ALIKE[0]) / (ALIKE[1] - ALIKE[0])).clamp(0, 1)
        return functional.interpolate(found, fixed.shape[-2:], mode="bilinear")

    def _look(self, latent: torch.Tensor) -> torch.Tensor:
        """Features of the middle of the slice on coarse pixels, mean 0 and mean square 1."""
        x = self.features(functional.avg_pool2d(_middle(latent), COARSE)).float()
        x = x - x.mean((2, 3), keepdim=True)
        return x / (x.square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-4)

    def _shifts(self, fixed: torch.Tensor, moving: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """How each block of `fixed` lies in `moving`, (n, BLOCKS, BLOCKS, 2) pixels, and how sure that is."""
        h, w = fixed.shape[-2:]
        padded = functional.pad(moving, (REACH,) * 4)
        tried = [(down, right) for down in range(2 * REACH + 1) for right in range(2 * REACH + 1)]
        alike = torch.cat(
            [(fixed * padded[:, :, d : d + h, r : r + w]).sum(1, keepdim=True) for d, r in tried], 1
        )
        alike = functional.adaptive_avg_pool2d(alike, BLOCKS)
        chance = torch.softmax(self.sharpness.exp() * alike, 1)
        shifts = (chance.new_tensor(tried) - REACH) * COARSE
        return torch.einsum("nsij,sa->nija", chance, shifts), chance.square().sum(1)


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


def _conv(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(SLOPE))


def _pair(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(*_conv(before, after), *_conv(after, after))


def _twice(x: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")
