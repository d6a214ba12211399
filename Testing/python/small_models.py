"""A shelf of small models in place of those that ship, taught a little on small heads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from model_folders import CARD, FACTS
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits, cosine_similarity

from mrinr import bundles
from mrinr.context import Context
from mrinr.synthesis import INPUTS
from mrinr.synthesis.brain import BrainMask, halved
from mrinr.synthesis.levels import known
from mrinr.synthesis.multimodal import COARSE, Multimodal, fuse
from mrinr.volume import Volume

SHELF = "MRINR_TEST_SHELF"  # the variable that tells the worker where it is
TISSUES = {  # scalp, skull and fluid, grey matter, white matter; a median brain is about 100
    "T1": (160, 25, 80, 120),
    "T2": (70, 260, 120, 90),
    "FLAIR": (90, 20, 120, 95),
    "brain": (0, 0, 1, 1),
}
MEDIANS = {"T1": 85.0, "T2": 115.0, "FLAIR": 115.0, "PD": 100.0, "DWI": 100.0, "T1ce": 90.0}  # of the brain
AT_ONCE = 32  # slices that the finder of the brain learns from in a step
RADII = (38.0, 34.0, 29.0, 22.0)  # mm


def head(contrast: str, affine: np.ndarray, shape: tuple[int, ...], noise: float = 1.0) -> Volume:
    """Nested spheroids around the origin of the world, with fluid to the right of the middle."""
    index = np.moveaxis(np.indices(shape), 0, -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    distance = np.linalg.norm(world / (1.0, 1.15, 1.0), axis=-1)
    scalp, fluid, grey, white = TISSUES[contrast]
    voxels = np.zeros(shape)
    for radius, value in zip(RADII, (scalp, fluid, grey, white), strict=True):
        voxels[distance < radius] = value
    voxels[np.linalg.norm((world - (6, 0, 0)) / (4, 9, 6), axis=-1) < 1] = fluid  # left is not right
    voxels += np.random.default_rng(0).normal(0, noise, shape)
    return Volume(voxels.clip(0), affine, contrast)


def centred(directions: np.ndarray, spacing: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The affine of a grid around the origin of the world."""
    affine = np.eye(4)
    affine[:3, :3] = directions * np.asarray(spacing, float)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def make(folder: Path) -> Path:
    """Models named as those that ship: one that makes sequences and one that finds the brain."""
    torch.manual_seed(3)  # few steps teach it; this start is a good one
    arguments: dict[str, Any] = {"inputs": list(INPUTS), "targets": list(INPUTS)}
    levels = known(INPUTS, np.log([MEDIANS[name] for name in INPUTS]), 0.01 * np.eye(len(INPUTS)))
    facts = {**FACTS, **arguments, "normalisation": {"levels": levels}, "calibration": {}}
    facts["limits"] = ["It knows nothing of brains."]
    sizes = {"width": 4, "decoder_width": 4, "latent": 4}
    network = _sequence_maker(Multimodal(**arguments, **sizes))
    bundles.save(folder / "multimodal-compact", network, "multimodal", {**arguments, **sizes}, facts, CARD)
    facts = {**facts, "targets": ["brain"]}
    sizes = {"width": 4, "levels": 3}
    bundles.save(folder / "brain-compact", _brain_finder(sizes), "brain", sizes, facts, CARD)
    return folder


def _slices(name: str, some: slice) -> torch.Tensor:
    """(n, 1, h, w) axial slices at 1 mm of the head, its brain's median at 1."""
    shape = (88, 96, 88)
    voxels = head(name, centred(np.eye(3), 1.0, shape), shape, noise=0 if name == "brain" else 1).voxels
    return torch.from_numpy(voxels[..., some].transpose(2, 0, 1)[:, None]) / MEDIANS.get(name, 1.0)


def _taught(network: Any, steps: int, loss_of: Callable[[], torch.Tensor]) -> Any:
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
    return network.eval()


def _sequence_maker(network: Any) -> Any:
    """With a transformer that takes every shift for as good as another, and all inputs for alike."""
    torch.nn.init.constant_(network.transformer.sharpness, -20.0)
    some = slice(36, 60, 12)
    slices = {name: _slices(name, some) for name in ("T1", "T2", "FLAIR")}
    weight = 1 + 4 * _slices("brain", some)

    def loss() -> torch.Tensor:
        latents = network.encode(slices)
        fused = fuse({name: latents[name] for name in ("T1", "T2")})
        errors = [(network.decode(fused, name).mean - slices[name]).abs() * weight for name in slices]
        seen = [
            network.transformer.features(avg_pool2d(latent.detach(), COARSE)) for latent in latents.values()
        ]
        first, *others = (x - x.mean((2, 3), keepdim=True) for x in seen)
        unlike = [1 - cosine_similarity(first.flatten(1), x.flatten(1)).mean() for x in others]
        return torch.stack(errors).mean() + 0.1 * torch.stack(unlike).mean()

    return _taught(network, 110, loss)


def _brain_finder(sizes: dict[str, int]) -> Any:
    torch.manual_seed(0)
    network = BrainMask(**sizes)
    some = slice(0, None, 4)
    brain = (_slices("brain", some) > 0.5).float()
    whole = torch.cat([_slices(name, some) for name in ("T1", "T2", "FLAIR")])
    seen = torch.cat([halved(whole), halved(whole * brain.repeat(3, 1, 1, 1))])  # and stripped
    wanted = (halved(brain) > 0.5).float().repeat(6, 1, 1, 1)

    def loss() -> torch.Tensor:
        drawn = torch.randperm(len(seen))[:AT_ONCE]
        return binary_cross_entropy_with_logits(network(seen[drawn]), wanted[drawn])

    return _taught(network, 150, loss)


def on_the_shelf() -> dict[str, Path]:
    """What `mrinr.bundles` finds where the shelf takes the place of Resources/bundles."""
    return {path.name: path for path in Path(os.environ[SHELF]).iterdir() if path.is_dir()}


def run(volumes: dict[str, Volume], parameters: dict[str, Any], context: Context) -> Any:
    """The task "synthesize" with the models of the shelf."""
    from mrinr.synthesis import task

    bundles._shipped_folders = on_the_shelf
    return task.run(volumes, parameters, context)


def finetune(volumes: dict[str, Volume], parameters: dict[str, Any], context: Context) -> Any:
    """The task "finetune" with the models of the shelf, for a few steps."""
    from mrinr.training import task

    bundles._shipped_folders = on_the_shelf
    return task.run(volumes, {**parameters, "steps": 2}, context)
