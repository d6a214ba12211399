"""What tissues are made of at 3 T, and how it varies from scan to scan and from place to place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Tissue(NamedTuple):
    T1: float  # ms
    T2: float  # ms
    PD: float  # relative to water
    ADC: float  # 1e-3 mm2/s


# After the 3 T tables of MRzero and mri-q and Stanisz 2005 (doi 10.1002/mrm.20605). Estimates are: all rows
# from "MS lesion" on, and every ADC but those of grey and white matter, CSF, oedema and stroke. The ADC of
# fat stands for the fat suppression that diffusion imaging always has; the PD of vessels for the void that
# flow leaves in a spin echo.
TISSUES = {
    "white matter": Tissue(850, 72, 0.70, 0.75),
    "grey matter": Tissue(1500, 90, 0.82, 0.83),
    "deep grey": Tissue(1250, 78, 0.80, 0.80),
    "pallidum": Tissue(1000, 60, 0.76, 0.78),
    "brainstem": Tissue(950, 75, 0.74, 0.75),
    "CSF": Tissue(4000, 1500, 1.0, 3.0),
    "fat": Tissue(375, 110, 0.90, 3.0),
    "muscle": Tissue(1100, 42, 0.80, 1.5),
    "MS lesion": Tissue(1500, 140, 0.88, 1.1),
    "oedema": Tissue(1700, 180, 0.90, 1.4),
    "tumour": Tissue(1900, 160, 0.90, 1.1),
    "enhancing rim": Tissue(1500, 120, 0.87, 1.0),
    "necrosis": Tissue(2600, 400, 0.95, 2.0),
    "stroke": Tissue(1650, 115, 0.84, 0.45),
    "vessel": Tissue(1700, 120, 0.10, 1.6),
    "mucosa": Tissue(1400, 95, 0.85, 1.3),
    "choroid plexus": Tissue(1800, 160, 0.93, 1.8),
}
ALL_TISSUES = ("air", *TISSUES)  # what maps of tissues number; 0 gives no signal
INDEX = {name: n for n, name in enumerate(ALL_TISSUES)}
FIRST = tuple(TISSUES)[:9]  # drawn first, so that tissues added later leave the draws of a seed as they were
ALIKE = {"brainstem": "white matter", "pallidum": "deep grey"}  # vary from scan to scan as these do
FLUIDS = ("CSF",)  # the same everywhere: no texture
SPREAD = np.array([0.10, 0.10, 0.03])  # of T1, T2, PD: standard deviation of the logarithm, one draw a scan
SPREAD_ADC = 0.05
TEXTURE = 0.05  # relative standard deviation of the smooth variation in place
# Old MS lesions hold more water than young ones, of one person and among people: an estimate.
UNLIKE = {"MS lesion": (2.0, 2.0)}  # times SPREAD of T1 and T2, times TEXTURE
TEXTURE_STEP = 6  # anatomy voxels between two nodes of the texture
# Grey matter relative to white: the two are drawn independently, and beyond these ratios they would lose the
# T1 contrast that every real scan has, so draws are held here.
LEAST_T1_RATIO, MOST_T2_RATIO, MOST_PD_RATIO = 1.6, 1.4, 1.22

# Contrast agent. Relaxivities in 1/s per mM.
R1_AGENT, R2_AGENT = 4.5, 5.5
# Mean and standard deviation of the drop in T1 (ms): rim and oedema Noeth 2020; the others are estimates.
T1_DROP = {
    "enhancing rim": (838, 210),
    "oedema": (123, 74),
    "tumour": (200, 100),
    "necrosis": (150, 80),
}
# Concentrations (mM) where uptake is little, or where there is blood; estimates, scaled by one dose a scan.
UPTAKE = {
    "white matter": 0.003,
    "grey matter": 0.004,
    "deep grey": 0.004,
    "pallidum": 0.004,
    "brainstem": 0.003,
    "MS lesion": 0.01,
    "stroke": 0.005,
    "muscle": 0.04,
    "mucosa": 0.3,
    "choroid plexus": 0.4,
    "vessel": 1.0,
}
SPREAD_DOSE = 0.2
VESSEL_PD = 0.75  # of vessels after the agent: T1ce is usually a gradient echo, in which flow is bright


@dataclass(frozen=True)
class Scan:
    """The tissue of one simulated person on one day.

    values : by tissue, T1 and T2 in ms, relative PD and ADC
    enhanced : the same after contrast agent
    texture : by tissue, (3, a, b, c) factors of T1, T2 and PD at nodes `TEXTURE_STEP` voxels apart
    """

    values: dict[str, Tissue]
    enhanced: dict[str, Tissue]
    texture: dict[str, np.ndarray]

    def at_nodes(self, tissue: str, agent: bool = False) -> tuple[np.ndarray, ...]:
        """T1, T2 (ms), PD and ADC of `tissue` at the nodes of the texture."""
        T1, T2, PD, ADC = (self.enhanced if agent else self.values)[tissue]
        a, b, c = self.texture[tissue]
        return T1 * a, T2 * b, PD * c, np.full(a.shape, ADC)


def node_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Nodes along each axis of an anatomy of `shape` voxels, from voxel 0 to beyond the last."""
    return tuple(2 + n // TEXTURE_STEP for n in shape)


def draw_scan(shape: tuple[int, ...], rng: np.random.Generator) -> Scan:
    """Draw the tissues of one scan for an anatomy of `shape` voxels."""
    other = rng.spawn(1)[0]  # for what came later; does not advance `rng`
    factors = {name: np.exp(SPREAD * rng.standard_normal(3)) for name in FIRST}
    factors |= {name: np.exp(SPREAD * other.standard_normal(3)) for name in TISSUES if name not in FIRST}
    values, texture = {}, {}
    for name, tissue in TISSUES.items():
        spread, waving = UNLIKE.get(name, (1.0, 1.0))
        factor = factors[ALIKE.get(name, name)] ** np.array([spread, spread, 1.0])
        T1, T2, PD = (np.array(tissue[:3]) * factor).tolist()
        values[name] = Tissue(T1, T2, PD, tissue.ADC * float(np.exp(SPREAD_ADC * other.standard_normal())))
        amount = 0.0 if name in FLUIDS else waving * TEXTURE
        source = rng if name in FIRST else other
        waves = source.standard_normal((3, *node_shape(shape))).astype(np.float32)
        texture[name] = np.exp(amount * waves)
    white, grey = values["white matter"], values["grey matter"]
    values["grey matter"] = grey._replace(
        T1=max(grey.T1, LEAST_T1_RATIO * white.T1),
        T2=min(grey.T2, MOST_T2_RATIO * white.T2),
        PD=min(grey.PD, MOST_PD_RATIO * white.PD),
    )
    return Scan(values, draw_agent(values, other), texture)


def draw_agent(values: dict[str, Tissue], rng: np.random.Generator) -> dict[str, Tissue]:
    """`values` after contrast agent, with concentrations drawn once for a scan."""
    dose = np.exp(SPREAD_DOSE * rng.standard_normal())
    enhanced = {}
    for name, tissue in values.items():
        amount = UPTAKE.get(name, 0.0) * dose
        if name in T1_DROP:
            mean, deviation = T1_DROP[name]
            drop = np.clip(mean + deviation * rng.standard_normal(), 0, 0.85 * tissue.T1)
            amount = concentration(tissue.T1, float(drop))
        enhanced[name] = with_agent(tissue, amount)
    enhanced["vessel"] = enhanced["vessel"]._replace(PD=VESSEL_PD)
    return enhanced


def with_agent(tissue: Tissue, mM: float) -> Tissue:
    """`tissue` with `mM` of contrast agent in it: R1 and R2 rise linearly."""
    return tissue._replace(
        T1=1 / (1 / tissue.T1 + R1_AGENT * mM / 1000), T2=1 / (1 / tissue.T2 + R2_AGENT * mM / 1000)
    )


def concentration(T1: float, drop: float) -> float:
    """The mM of agent that shorten a T1 (ms) by `drop` ms."""
    return (1 / (T1 - drop) - 1 / T1) * 1000 / R1_AGENT
