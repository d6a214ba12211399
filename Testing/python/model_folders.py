"""A small model that was never trained, and ways to change its folder, for tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from mrinr.synthesis.multimodal import Multimodal

ARGUMENTS = {"inputs": ["T1", "T2"], "targets": ["FLAIR"], "width": 2, "decoder_width": 2, "latent": 2}
CARD = "# A model for tests\n\nIt was never trained.\n"
FACTS = {
    "inputs": ["T1", "T2"],
    "targets": ["FLAIR"],
    "spacing_mm": [1.0, 1.0],
    "normalisation": {
        "levels": {"names": ["FLAIR", "T1", "T2"], "mean": [0.0, 0.2, 0.5], "covariance": np.eye(3).tolist()}
    },
    "training": {
        "data": "nothing",
        "licence": "Apache-2.0",
        "command": "mrinr train multimodal",
        "seed": 0,
        "steps": 0,
        "hours": 0.0,
        "hardware": "none",
    },
    "metrics": {},
    "calibration": {"FLAIR": {"edges": [0.05, 0.1], "factors": [1.2, 1.0, 0.9]}},
    "statistics": {},
    "intended_use": "tests",
}


def small_network() -> Multimodal:
    """The same weights every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Multimodal(**ARGUMENTS)


def put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def change_metadata(folder: Path, change: Callable[[dict], object]) -> None:
    path = folder / "configs/metadata.json"
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))
