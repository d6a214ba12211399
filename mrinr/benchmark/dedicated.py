"""Models trained for one subset of inputs alone, and one for all subsets, with equal steps (Table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from mrinr import bundles
from mrinr.bundles import Bundle
from mrinr.context import Context
from mrinr.training.export import card
from mrinr.training.kinds import build
from mrinr.training.loop import Budget, fit
from mrinr.training.simulated import Wanted
from mrinr.training.sources import Source
from mrinr.training.train import describe


def train(
    source: Source,
    subset: Sequence[str],
    any_subset: bool,
    target: str,
    steps: int,
    folder: Path,
    context: Context,
) -> Bundle:
    """A compact model of `target` from `subset`: always all of it, or any subset of it."""
    torch.manual_seed(0)
    inputs, targets = tuple(subset), (target,)
    recipe, arguments, data = build("multimodal", "compact", inputs, targets)
    stream = source.slices(Wanted(inputs, targets, len(inputs) if any_subset else None), seed=0, **data)
    loader = DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=8)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    done = fit(recipe, loader, [], Budget(steps), folder.with_suffix(".work"), device, context)
    facts = describe("multimodal", recipe, [], source, inputs, targets, 0, done)
    network = recipe.networks["generator"]
    return bundles.save(folder, network, "multimodal", arguments, facts, card(folder.name, facts))
