"""A shelf with a small contrast model, taught on a head whose tissues have the signals of the closed form."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from model_folders import CARD, FACTS
from small_models import RADII, _brain_finder, centred

from mrinr import bundles
from mrinr.context import Context
from mrinr.contrast.network import ContrastRepresentation
from mrinr.contrast.parameters import times
from mrinr.contrast.scale import PERCENTS, expected
from mrinr.simulation.signal import Sequence, signal
from mrinr.simulation.tissue import TISSUES
from mrinr.volume import Volume

SHELF = "MRINR_TEST_CONTRAST_SHELF"  # the variable that tells the worker where it is
BOX = {"TR": [400.0, 10000.0], "TE": [8.0, 200.0], "TI": [150.0, 3000.0]}
LAYERS = ("fat", "CSF", "grey matter", "white matter")
GAIN = 200.0  # of the heads that the tests scan
STEPS = 240  # of the training
T1, T2, FLAIR = Sequence(600, 10), Sequence(5000, 100), Sequence(9000, 120, 2350)


def tissues(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(i, j, k): 0 air, then 1 + the index in LAYERS; spheroids around the origin, fluid to the right."""
    world = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    distance = np.linalg.norm(world / (1.0, 1.15, 1.0), axis=-1)
    found = np.zeros(shape, int)
    for number, radius in enumerate(RADII, start=1):
        found[distance < radius] = number
    found[np.linalg.norm((world - (8, 0, 0)) / (5, 10, 7), axis=-1) < 1] = 2
    return found


def scan(
    played: Sequence, affine: np.ndarray, shape: tuple[int, ...], gain: float = GAIN, noise: float = 0.005
) -> Volume:
    """The head as `played` shows it; noise relative to water."""
    voxels = _values(played)[tissues(affine, shape)]
    voxels = np.abs(voxels + np.random.default_rng(0).normal(0, noise, shape))
    return Volume(gain * voxels, affine, f"scan {played.TR:g}")


def _values(played: Sequence) -> np.ndarray:
    """Signals of air and of LAYERS."""
    return signal(played, *np.array([[1.0, 1.0, 0.0], *(TISSUES[name][:3] for name in LAYERS)]).T)


def make(folder: Path) -> Path:
    """crl-compact and brain-compact, small, in place of those that ship."""
    torch.manual_seed(0)
    facts: dict[str, Any] = {**FACTS, "inputs": ["any"], "targets": ["any"], "normalisation": {}, "box": BOX}
    facts |= {"calibration": {"any": {"edges": [0.02, 0.05], "factors": [1.5, 1.2, 1.0]}}}
    sizes = {"width": 12, "blocks": 2, "features": 10, "hidden": 32, "layers": 2, "atoms": 12}
    network = _taught(ContrastRepresentation(**sizes))  # type: ignore[arg-type]
    bundles.save(folder / "crl-compact", network, "crl", sizes, facts, CARD)
    brain = {"width": 4, "levels": 3}
    facts = {**FACTS, "targets": ["brain"]}
    bundles.save(folder / "brain-compact", _brain_finder(brain), "brain", brain, facts, CARD)
    return folder


def _taught(network: ContrastRepresentation) -> ContrastRepresentation:
    """On the coarse half of one axial slice, in which all tissues are."""
    rng = np.random.default_rng(0)
    shape = (48, 52, 1)
    known = tissues(centred(np.eye(3), (1.8, 1.8, 1.0), shape), shape)[..., 0]
    with (
        torch.no_grad()
    ):  # as brains of ellipsoids are unlike any other, nothing is made of their percentiles
        network.encoder.known[0].weight[:, -len(PERCENTS) :] = 0
    optimizer = torch.optim.Adam(network.parameters())
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / STEPS)
        sources, targets = ([_drawn(rng) for _ in range(6)] for _ in range(2))
        images, wanted = (
            torch.from_numpy(np.stack([_values(each)[known] for each in some])[:, None].astype(np.float32))
            for some in (sources, targets)
        )
        off = torch.from_numpy(
            rng.uniform(0.7, 1.4, (len(images), 1, 1, 1)).astype(np.float32)
        )  # of the gain
        images, wanted = off * (images + 0.005 * torch.randn_like(images)), off * wanted
        given, asked = (torch.tensor([times(each) for each in some]) for some in (sources, targets))
        found = network.decode(network.encode(images, given), asked)
        unit = torch.tensor([expected(each) for each in targets])[:, None, None, None]
        loss = ((found.mean - wanted).abs() / unit).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return network.eval()


def _drawn(rng: np.random.Generator) -> Sequence:
    near = (T1, T2, FLAIR, Sequence(3000, 15), Sequence(2000, 10, 869))[rng.integers(5)]
    return Sequence(near.TR * rng.uniform(0.95, 1.05), near.TE, near.TI)


def on_the_shelf() -> dict[str, Path]:
    """What `mrinr.bundles` finds where the shelf takes the place of Resources/bundles."""
    return {path.name: path for path in Path(os.environ[SHELF]).iterdir() if path.is_dir()}


def task(name: str) -> Any:
    """A task of `mrinr.contrast.task` with the models of the shelf."""

    def run(volumes: dict[str, Volume], parameters: dict[str, Any], context: Context) -> Any:
        from mrinr.contrast import task

        bundles._shipped_folders = on_the_shelf
        return getattr(task, name)(volumes, parameters, context)

    return run


run, encode, slices, sweep, search = (task(name) for name in ("run", "encode", "slices", "sweep", "search"))


def reference(volumes: dict[str, Volume], parameters: dict[str, Any], context: Context) -> Any:
    """The task of that name on few simulated people."""
    from mrinr.contrast import reference as looked_up
    from mrinr.contrast import task

    looked_up.LEARNED, looked_up.CHOSEN, looked_up.TESTED = 4, 1, 2  # type: ignore[misc]
    return task.reference(volumes, parameters, context)
