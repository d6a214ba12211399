"""What every synthesis network returns."""

from __future__ import annotations

from typing import NamedTuple

import torch

BRIGHTEST = 8.0  # brain medians: inputs are cut here in training and in use, and no network goes beyond


class Prediction(NamedTuple):
    """A synthesised slice and how far the truth may lie from it, all (n, 1, h, w), in units of the brain.

    mean : the image
    low, high : distance (0 or more) from `mean` down and up to the ends of the 90 % interval
    """

    mean: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
