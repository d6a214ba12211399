"""What every synthesis network returns."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Prediction(NamedTuple):
    """A synthesised slice and how far the truth may lie from it, all (n, 1, h, w), in units of the brain.

    mean : the image
    low, high : distance (0 or more) from `mean` down and up to the ends of the 90 % interval
    """

    mean: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
