"""Sentences about inputs that look unlike what they are said to be, or unlike anything trained on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from mrinr import bundles
from mrinr.synthesis import INPUTS
from mrinr.synthesis.head import Head
from mrinr.synthesis.recogniser import ANSWERS, FLIPS, likely, views
from mrinr.volume import Volume

MODEL = "recogniser-compact"
# Warnings that are wrong are soon ignored: they need a network that is sure.
SURE_OF_FLIP, SURE_OF_OTHER = 0.95, 0.9
LIKELY, NOT_AT_ALL = 0.5, 0.005  # what it looks like, and what it is said to be
ALIKE = ({"T1", "T1ce"}, {"T1", "PD"}, {"T2", "PD"}, {"FLAIR", "DWI"})  # not told apart
FLIPPED = dict(zip(FLIPS, ("to lie back to front", "to be upside down"), strict=True))


def unlike(head: Head, inputs: Mapping[str, Volume]) -> list[str]:
    """See `sentences`; none where the network does not ship."""
    if not bundles.ships(MODEL):
        return []
    return sentences(head, inputs, bundles.find(MODEL).network())


def sentences(head: Head, inputs: Mapping[str, Volume], network: nn.Module) -> list[str]:
    """What to say of each of the head's images; nothing of those that look as they should."""
    said = []
    for name, image in head.images.items():
        found = chances(network, views(image, head.brain))
        label = f"{name} ({inputs[name].name})"
        if found["other"] > SURE_OF_OTHER:
            said.append(
                f"{label} looks unlike any MR head that the model has seen; the result may mean nothing."
            )
            continue
        said += [
            f"{label} seems {FLIPPED[flip]}; check its orientation."
            for flip in FLIPS
            if found[flip] > SURE_OF_FLIP
        ]
        sequence = max(INPUTS, key=lambda each: found[each])
        if (
            found[sequence] > LIKELY
            and found[name] < NOT_AT_ALL
            and not any({name, sequence} <= pair for pair in ALIKE)
        ):
            said.append(f"{label} looks like {sequence}; check its role.")
    return said


def chances(network: nn.Module, shown: np.ndarray) -> dict[str, float]:
    """By answer, how likely it is of one volume's views."""
    with torch.inference_mode():
        found = likely(network(torch.from_numpy(shown)[None]))[0]
    return dict(zip(ANSWERS, found.tolist(), strict=True))
