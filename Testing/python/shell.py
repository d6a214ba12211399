"""Small heads as files, and the shell command as a person runs it, for tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy import ndimage

from mrinr.degrade import degrade
from mrinr.volume import Volume, write

ROOT = Path(__file__).parents[2]


def head(contrast: int = 0, shape: tuple[int, int, int] = (36, 40, 32)) -> Volume:
    """A bright textured ellipsoid with dark folds in air, oblique; two contrasts share edges."""
    random = np.random.default_rng(7)
    texture = ndimage.gaussian_filter(random.normal(size=shape), 1.5)
    labels = np.digitize(texture / texture.std(), (-0.6, 0.6))
    values = np.array([(40, 110, 80), (100, 45, 70)][contrast], dtype=float)
    centre = (np.array(shape) - 1) / 2
    radius = np.linalg.norm(
        (np.indices(shape) - centre[:, None, None, None]) / centre[:, None, None, None], axis=0
    )
    image = ndimage.gaussian_filter(values[labels] * (radius < 0.85), 0.5)
    a = np.deg2rad(8)
    affine = np.eye(4)
    affine[:3, :3] = [[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]
    affine[:3, 3] = [-12, -25, 40]
    return Volume(image, affine, "head")


def write_stacks(folder: Path) -> dict[str, Path]:
    """T1.nii.gz and T2.nii.gz (truth), T1_ax.nii.gz and T2_cor.nii.gz (slices of 4 mm)."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        "T1": head(0),
        "T2": head(1),
        "T1_ax": degrade(head(0), 2, 4, noise=0.01),
        "T2_cor": degrade(head(1), 1, 4, noise=0.01, seed=1),
    }
    for name, volume in made.items():
        write(volume, folder / f"{name}.nii.gz")
    return {name: folder / f"{name}.nii.gz" for name in made}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "mrinr", *map(str, arguments)]


def environment() -> dict[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`mrinr ...` as a real process."""
    return subprocess.run(command(*arguments), env=environment(), capture_output=True, text=True)
