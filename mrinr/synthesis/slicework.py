"""A model applied to all slices of a head, some at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from mrinr.context import Context
from mrinr.synthesis.explained import DARK
from mrinr.synthesis.multimodal import Multimodal, fuse, moved_by
from mrinr.synthesis.prediction import Prediction

# Of six simulated heads .72 (a stroke that only DWI shows) to 1 match; turned by up to 8 degrees .0 to .62.
MATCHED, LOOKED_AT = 0.67, 8  # share; slices
AT_ONCE = 8  # slices; halved while a GPU has no memory for them


@dataclass(eq=False)
class Slices:
    """What a model made of a head, (k, h, w) float32 arrays in units of the brain's median.

    mean, half : the image and half of the (uncalibrated) 90 % interval
    shown : by input, the scan where the network saw it, moved onto the reference
    disagreement : standard deviation of the predictions from each input alone; None with one input
    checks : by input, its prediction from the others
    elsewhere : inputs most of which show something else than the reference in the same place
    """

    mean: np.ndarray
    half: np.ndarray
    shown: dict[str, np.ndarray]
    disagreement: np.ndarray | None = None
    checks: dict[str, np.ndarray] = field(default_factory=dict)
    elsewhere: tuple[str, ...] = ()


def predict(
    network: nn.Module,
    images: Mapping[str, np.ndarray],
    place: np.ndarray,
    target: str,
    device: torch.device,
    context: Context,
    show: Callable[[np.ndarray, int], None] | None = None,
    reference: str | None = None,
) -> Slices:
    """Run `network` on `images` (by sequence, (k, h, w)); `place` is (2, h, w).

    `reference` is the input that the others are aligned to (default: the model's first).
    `show` is called now and then with the image so far and how many slices of it are done.
    """
    count, h, w = next(iter(images.values())).shape
    several = isinstance(network, Multimodal) and len(images) > 1
    found = Slices(np.zeros((count, h, w), np.float32), np.zeros((count, h, w), np.float32), {**images})
    if several:
        found.disagreement = np.zeros_like(found.mean)
        found.shown = {name: np.copy(x) for name, x in images.items()}
        assert isinstance(network, Multimodal)
        found.checks = {name: np.zeros_like(found.mean) for name in images if name in network.targets}
        found.elsewhere = _elsewhere(network, images, device, reference)
    where = torch.from_numpy(place)[None].to(device)
    start, at_once = 0, AT_ONCE
    while start < count:
        context.progress(start / count, f"Predicting {target}")
        rows = slice(start, min(start + at_once, count))
        try:
            part = {name: torch.from_numpy(x[rows])[:, None].to(device) for name, x in images.items()}
            with torch.inference_mode():
                if isinstance(network, Multimodal):
                    _multimodal(network, part, target, found, rows, reference)
                else:
                    _keep(network(part, where.expand(rows.stop - rows.start, -1, -1, -1)), found, rows)
        except torch.cuda.OutOfMemoryError:
            if at_once == 1:
                raise
            at_once //= 2
            torch.cuda.empty_cache()
            continue
        start = rows.stop
        if show is not None:
            show(found.mean, start)
    return found


def _multimodal(
    network: Multimodal,
    images: dict[str, torch.Tensor],
    target: str,
    found: Slices,
    rows: slice,
    reference: str | None,
) -> None:
    latents, motions = network.align(network.encode(images), reference)
    kept = dict(latents)
    if found.elsewhere:
        first, matches = latents[reference or next(iter(latents))], network.matches(latents, reference)
        kept |= {name: torch.lerp(first, latents[name], matches[name]) for name in found.elsewhere}
    for name, motion in motions.items():
        found.shown[name][rows] = moved_by(images[name], motion)[:, 0].float().cpu().numpy()
    _keep(network.decode(fuse(kept), target), found, rows)
    if found.disagreement is None:
        return
    own = torch.stack([network.decode(latent, target).mean for latent in latents.values()])
    found.disagreement[rows] = own.std(0, correction=0)[:, 0].float().cpu().numpy()
    for name, check in found.checks.items():
        others = {other: latent for other, latent in latents.items() if other != name}
        check[rows] = network.decode(fuse(others), name).mean[:, 0].float().cpu().numpy()


def _elsewhere(
    network: Multimodal, images: Mapping[str, np.ndarray], device: torch.device, reference: str | None
) -> tuple[str, ...]:
    """The aligned inputs less than MATCHED of which match the reference, in a few slices of the head."""
    lit = np.max(list(images.values()), axis=0) > DARK
    area = lit.sum((1, 2))
    there = np.flatnonzero(area >= area.max() / 2)
    shares: dict[str, list[float]] = {}
    for n in there[np.linspace(0, len(there) - 1, min(LOOKED_AT, len(there))).round().astype(int)]:
        part = {name: torch.from_numpy(x[[n]])[:, None].to(device) for name, x in images.items()}
        with torch.inference_mode():
            latents, _ = network.align(network.encode(part), reference)
            for name, alike in network.matches(latents, reference).items():
                shares.setdefault(name, []).append(float(alike[0, 0].cpu()[torch.from_numpy(lit[n])].mean()))
    return tuple(name for name, each in shares.items() if np.mean(each) < MATCHED)


def _keep(predicted: Prediction, found: Slices, rows: slice) -> None:
    found.mean[rows] = predicted.mean[:, 0].float().cpu().numpy()
    found.half[rows] = ((predicted.low + predicted.high) / 2)[:, 0].float().cpu().numpy()
