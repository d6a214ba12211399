"""What the generators that make one target from fixed inputs, slice by slice, have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import softplus

from mrinr.errors import InputError
from mrinr.synthesis.prediction import BRIGHTEST

START = 1.0  # where an untrained network begins
INTERVAL_START = -3.0  # raw; about 0.05 to each side


def one_target(inputs: Sequence[str], targets: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """`inputs` and `targets` as tuples of names; InputError unless they fit a model with one target."""
    names = [*inputs, *targets]
    if any(isinstance(x, str) for x in (inputs, targets)) or not all(isinstance(x, str) for x in names):
        raise InputError("Inputs and targets of a model must be lists of sequence names.")
    if not inputs or len(targets) != 1 or len(set(names)) != len(names):
        raise InputError(
            "This kind of model needs one or more inputs and exactly one target, all different, "
            f"not {', '.join(inputs) or 'nothing'} to {', '.join(targets) or 'nothing'}."
        )
    return tuple(inputs), tuple(targets)


def stacked(images: Mapping[str, Tensor], inputs: Sequence[str], place: Tensor) -> Tensor:
    """The images, (n, 1, h, w) each, as channels (n, m, h, w) in the order of `inputs`."""
    missing = [name for name in inputs if name not in images]
    if missing:
        raise InputError(f"This model needs {', '.join(inputs)} and did not get {', '.join(missing)}.")
    n, _, h, w = place.shape
    for name in inputs:
        if images[name].shape != (n, 1, h, w):
            raise InputError(
                f"{name} has the shape {tuple(images[name].shape)} where {(n, 1, h, w)} is needed: "
                "all inputs must be slices on one grid."
            )
    return torch.cat([images[name] for name in inputs], dim=1)


def reflected(x: Tensor, h: int, w: int) -> Tensor:
    """Continued to (h, w) by reflection at the last row and column, as often as it takes."""

    def index(before: int, after: int) -> Tensor:
        n = torch.arange(after, device=x.device) % max(1, 2 * before - 2)
        return torch.minimum(n, 2 * before - 2 - n) if before > 1 else n

    if x.shape[-2:] == (h, w):
        return x
    return x[..., index(x.shape[-2], h), :][..., index(x.shape[-1], w)]


def image_from(raw: Tensor) -> Tensor:
    """The final tanh, mapped to 0..BRIGHTEST; in float32 whatever the network calculates in."""
    return (raw.float().tanh() + 1) * (BRIGHTEST / 2)


def image_start() -> float:
    """The `raw` from which the image starts at START."""
    return math.atanh(2 * START / BRIGHTEST - 1)


def interval_from(raw: Tensor) -> Tensor:
    """Distances down and up to the ends of the interval, 0 or more."""
    return softplus(raw.float())
