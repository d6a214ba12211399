"""A shelf of small models in place of those that ship, and small heads that they know."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from model_folders import CARD, FACTS

from mrinr import bundles
from mrinr.context import Context
from mrinr.synthesis import INPUTS
from mrinr.synthesis.brain import BrainMask, halved
from mrinr.synthesis.multimodal import Multimodal
from mrinr.volume import Volume

SHELF = "MRINR_TEST_SHELF"  # the variable that tells the worker where it is
TISSUES = {  # scalp, skull and fluid, grey matter, white matter; a median brain is about 100
    "T1": (160, 25, 80, 120),
    "T2": (70, 260, 120, 90),
    "FLAIR": (90, 20, 120, 95),
}
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
    """Models named as those that ship: a brain finder taught on these heads, and one that makes sequences."""
    torch.manual_seed(0)
    everything = {name: dict.fromkeys(INPUTS, 1.0) for name in INPUTS}
    arguments: dict[str, Any] = {"inputs": list(INPUTS), "targets": list(INPUTS)}
    facts = {**FACTS, **arguments, "normalisation": {"ratios": everything}, "calibration": {}}
    sizes = {"width": 2, "decoder_width": 2, "latent": 2}
    bundles.save(
        folder / "multimodal-compact",
        Multimodal(**arguments, **sizes),
        "multimodal",
        {**arguments, **sizes},
        facts,
        CARD,
    )
    brain = {**facts, "inputs": list(INPUTS), "targets": ["brain"]}
    sizes = {"width": 4, "levels": 3}
    bundles.save(folder / "brain-compact", _brain_finder(sizes), "brain", sizes, brain, CARD)
    return folder


def _brain_finder(sizes: dict[str, int]) -> BrainMask:
    affine = centred(np.eye(3), 1.0, (88, 96, 88))
    index = np.moveaxis(np.indices((88, 96, 88)), 0, -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    brain = np.linalg.norm(world / (1.0, 1.15, 1.0), axis=-1) < RADII[2]
    images = [head(name, affine, (88, 96, 88)).voxels / 100 for name in TISSUES]

    def slices(voxels: np.ndarray) -> torch.Tensor:
        return halved(torch.from_numpy(voxels[..., ::6].transpose(2, 0, 1)[:, None].astype(np.float32)))

    seen = torch.cat([slices(image) for image in images])
    wanted = (slices(brain) > 0.5).float().repeat(len(images), 1, 1, 1)
    network = BrainMask(**sizes)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(seen), wanted)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2
    return network.eval()


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
