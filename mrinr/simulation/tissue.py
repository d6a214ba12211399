"""What tissues are made of at 3 T, and how it varies from scan to scan and from place to place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Tissue(NamedTuple):
    T1: float  # ms
    T2: float  # ms
    PD: float  # relative to water


# After the 3 T tables of MRzero and mri-q and Stanisz 2005 (doi 10.1002/mrm.20605). Lesions are estimates.
TISSUES = {
    "white matter": Tissue(850, 72, 0.70),
    "grey matter": Tissue(1500, 90, 0.82),
    "deep grey": Tissue(1250, 78, 0.80),
    "pallidum": Tissue(1000, 60, 0.76),
    "brainstem": Tissue(950, 75, 0.74),
    "CSF": Tissue(4000, 1500, 1.0),
    "fat": Tissue(375, 110, 0.90),
    "muscle": Tissue(1100, 42, 0.80),
    "MS lesion": Tissue(1500, 140, 0.88),
}
ALIKE = {"brainstem": "white matter", "pallidum": "deep grey"}  # vary from scan to scan as these do
FLUIDS = ("CSF",)  # the same everywhere: no texture
SPREAD = np.array([0.10, 0.10, 0.03])  # of T1, T2, PD: standard deviation of the logarithm, one draw a scan
TEXTURE = 0.05  # relative standard deviation of the smooth variation in place
TEXTURE_STEP = 6  # anatomy voxels between two nodes of the texture


@dataclass(frozen=True)
class Scan:
    """The tissue of one simulated person on one day.

    values : by tissue, T1 and T2 in ms and relative PD
    texture : by tissue, (3, a, b, c) factors of T1, T2 and PD at nodes `TEXTURE_STEP` voxels apart
    """

    values: dict[str, Tissue]
    texture: dict[str, np.ndarray]

    def at_nodes(self, tissue: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """T1, T2 (ms) and PD of `tissue` at the nodes of the texture."""
        T1, T2, PD = (
            value * field for value, field in zip(self.values[tissue], self.texture[tissue], strict=True)
        )
        return T1, T2, PD


def node_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Nodes along each axis of an anatomy of `shape` voxels, from voxel 0 to beyond the last."""
    return tuple(2 + n // TEXTURE_STEP for n in shape)


def draw_scan(shape: tuple[int, ...], rng: np.random.Generator) -> Scan:
    """Draw the tissues of one scan for an anatomy of `shape` voxels."""
    values, texture = {}, {}
    factors = {name: np.exp(SPREAD * rng.standard_normal(3)) for name in TISSUES}
    for name, tissue in TISSUES.items():
        values[name] = Tissue(*(np.array(tissue) * factors[ALIKE.get(name, name)]).tolist())
        amount = 0.0 if name in FLUIDS else TEXTURE
        waves = rng.standard_normal((3, *node_shape(shape))).astype(np.float32)
        texture[name] = np.exp(amount * waves)
    return Scan(values, texture)
