"""Training the contrast representation model: all pairs of sources and targets, and what sources share."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import nn

from mrinr.contrast.network import ContrastRepresentation, split
from mrinr.simulation.sequences import SEQUENCES
from mrinr.synthesis.calibration import calibrate
from mrinr.synthesis.prediction import Prediction
from mrinr.training.contrast_sequences import BOX, UNSEEN, distance, nearest
from mrinr.training.contrast_slices import Contrasts
from mrinr.training.export import KEPT, judge
from mrinr.training.recipe import descend, mean_absolute, pinball, warm_cosine

OUTSIDE = 0.15  # weight of what is not brain
DISEASE = 3.0  # added to the weight of lesions
SHARED = 0.1  # weight of the structural consistency, as in the paper
SQUARED = 6.0  # weight of the squared error: the mean, not the median, scores best in PSNR
FAINT, FAINTNESS = 0.1, 0.03  # weight of the relative error, and the signal below which it becomes absolute
APART = 2  # voxels decoded in a step, along each axis
INTERVALS = 1  # targets a step whose interval is learned
EPSILON = 1e-6
PRESETS = {"attention": {"rate": 1e-3}}  # arguments of the recipe; this variant's image has no bounds


class ContrastRecipe:
    """L1, squared and relative errors of every target from each source and from several; consistency."""

    def __init__(self, network: ContrastRepresentation, rate: float = 2e-3) -> None:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.networks: dict[str, nn.Module] = {"generator": network}
        self.optimizers = {"generator": torch.optim.Adam(network.parameters(), rate, betas=(0.9, 0.99))}

    def decay(self, fraction: float) -> float:
        return warm_cosine(fraction)

    def step(self, batch: Contrasts, accelerator: Any) -> dict[str, float]:
        model, optimizer = self.networks["generator"], self.optimizers["generator"]
        assert isinstance(model, ContrastRepresentation)
        with accelerator.autocast():
            losses = terms(model, batch)
        return descend(model, optimizer, losses, accelerator)

    def facts(self, held_out: Sequence[Contrasts]) -> dict[str, Any]:
        """What a bundle carries beside what every bundle does."""
        network = self.networks["generator"].eval()
        return {
            "normalisation": {
                "method": "image / gain, gain = weighted mean of percentiles in the brain / the usual ones"
            },
            "box": {name: list(ends) for name, ends in BOX.items()},
            "metrics": judge(self, network, held_out)[0],
            "metrics_of": "Brain PSNR in dB of the paper's sequences from a scan of random times (range: the "
            "truth's 99.9th percentile in the slice's brain; median over slices of held-out people, inputs "
            "with noise and shading). The floors are fitted to the truth itself.",
            "calibration": {"any": calibration(self, network, held_out)},
        }

    @property
    def limits(self) -> list[str]:
        """What the card has to say about what was never shown."""
        said = ["Spin echoes and inversion recovery only, the last echo at 2 TE; TR, TE and TI in the box."]
        for name in UNSEEN:
            asked, near = SEQUENCES[name], nearest(name)
            said.append(
                f"{name} (TR {asked.TR:g}, TE {asked.TE:g}) was never shown; of 20,000 draws the nearest had "
                f"TR {near.TR:.0f}, TE {near.TE:.1f} ({100 * distance(near, asked):.1f} % away)."
            )
        return said

    def predict(self, network: nn.Module, batch: Contrasts, target: str) -> Prediction:
        assert isinstance(network, ContrastRepresentation)
        found = [
            network.encode(image, batch.times[name], batch.levels[name]) for name, image in batch.seen.items()
        ]
        return network.decode(network.fuse(found), batch.times[target])


def terms(model: ContrastRepresentation, batch: Contrasts) -> dict[str, torch.Tensor]:
    """The terms of the loss. Each source is encoded once and decoded to every target.

    Voxels are decoded one by one, so some of them, drawn anew each step, stand for all.
    """
    names = list(batch.seen)
    times, levels = (torch.cat([each[n] for n in names]) for each in (batch.times, batch.levels))
    some = (..., slice(random.randrange(APART), None, APART), slice(random.randrange(APART), None, APART))
    encoded = model.encode(torch.cat(list(batch.seen.values())), times, levels, some)
    features = list(encoded.chunk(len(names)))
    chosen = random.sample(range(len(names)), random.randint(min(2, len(names)), len(names)))
    together = model.fuse([features[n] for n in chosen])
    ratio = torch.cat([*(batch.ratio[name] for name in names), batch.ratio[names[chosen[0]]]])
    unit = batch.gain.repeat(len(names) + 1, 1, 1, 1) / ratio
    decoded = model.decoding(torch.cat([*features, together]))

    weight = (OUTSIDE + (1 - OUTSIDE) * batch.brain + DISEASE * batch.lesions)[some]
    weight = weight.repeat(len(names) + 1, 1, 1, 1)
    losses = dict.fromkeys(("image", "faint", "interval"), batch.brain.new_zeros(()))
    interval = set(random.sample(list(batch.clean), min(INTERVALS, len(batch.clean))))
    for target, clean in batch.clean.items():
        asked = batch.times[target]
        # Errors count by what they are of the target's range, whatever the gain of the source.
        top = model.times.brightest(asked)[..., None, None].repeat(len(names) + 1, 1, 1, 1) / unit
        truth = clean[some].repeat(len(names) + 1, 1, 1, 1) * ratio / top
        found = Prediction(*(x.float() / top for x in decoded(asked.repeat(len(names) + 1, 1))))
        error = mean_absolute(found.mean, truth, weight)
        squared = ((found.mean - truth) ** 2 * weight).sum() / weight.sum()
        # Where one tissue is bright the others must decay as they should, too.
        least = FAINTNESS / unit / top
        relative = mean_absolute((found.mean + least).log(), (truth + least).log(), weight)
        losses["image"] = losses["image"] + (error + SQUARED * squared) / len(batch.clean)
        losses["faint"] = losses["faint"] + FAINT * relative / len(batch.clean)
        if target in interval:
            losses["interval"] = losses["interval"] + pinball(found, truth, weight) / len(interval)
    if len(names) > 1:
        losses["shared"] = SHARED * consistency([split(each)[0].flatten(1, 2) for each in features])
    return losses


def consistency(features: Sequence[torch.Tensor]) -> torch.Tensor:
    """1 - the correlation of each channel (paper, Eq. 4, with the structural part of SSIM), mean over pairs.

    features : of the scans of one subject, each (n, c, h, w)
    """
    flat = [each.float().flatten(2) for each in features]
    centred = [each - each.mean(2, keepdim=True) for each in flat]
    squares = [(each**2).mean(2) for each in centred]
    found = [
        ((centred[a] * centred[b]).mean(2) + EPSILON) / (squares[a] * squares[b] + EPSILON**2).sqrt()
        for a, b in combinations(range(len(flat)), 2)
    ]
    return 1 - torch.stack(found).mean()


def calibration(recipe: ContrastRecipe, network: nn.Module, held_out: Sequence[Contrasts]) -> dict[str, Any]:
    """The interval's factors, whatever the target; on the physical scale."""
    rng = np.random.default_rng(0)
    raw, error = [], []
    for batch in held_out:
        inside = batch.brain > 0
        some = rng.choice(int(inside.sum()), min(KEPT, int(inside.sum())), replace=False)
        for target, truth in batch.clean.items():
            with torch.no_grad():
                found = recipe.predict(network, batch, target)
            raw.append(((found.low + found.high) / 2)[inside].numpy()[some])
            error.append((found.mean - truth).abs()[inside].numpy()[some])
    return calibrate(np.concatenate(raw), np.concatenate(error))
