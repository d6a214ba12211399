"""Disease painted on a map of tissues: MS lesions, tumours, strokes and cavities. 1 mm voxels throughout.

Each function changes `tissue` in place. What they draw is our rule for drawing disease, no model of disease.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mrinr.simulation.fields import blurred, smooth_noise
from mrinr.simulation.shape import VENTRICLES
from mrinr.simulation.tissue import INDEX

SULCI = 24
STRIDE = 3  # voxels between the places where a lesion may have its centre
LOAD, MANY = (0.001, 0.1), 0.01  # shares of white matter that MS takes; where lesions are larger
MOST = 400  # lesions of MS
RIM_CHANCE = 0.8  # of a tumour that it has a rim which enhances
PARENCHYMA = ("white matter", "grey matter", "deep grey", "pallidum", "brainstem")


@dataclass(frozen=True, eq=False)
class Place:
    """A head to paint on.

    tissue : (i, j, k) uint8 into ALL_TISSUES; labels : FreeSurfer numbers; brain : bool
    """

    tissue: np.ndarray
    labels: np.ndarray
    brain: np.ndarray

    def among(self, *names: str) -> np.ndarray:
        """(n, 3) voxels, `STRIDE` apart, of the brain that are one of these tissues."""
        found = np.isin(self.tissue[::STRIDE, ::STRIDE, ::STRIDE], [INDEX[name] for name in names])
        return np.argwhere(found & self.brain[::STRIDE, ::STRIDE, ::STRIDE]) * STRIDE

    def near_ventricles(self, where: np.ndarray) -> np.ndarray:
        """How much ventricle there is within about 8 mm of the voxels `where`, as a weight."""
        soft = blurred(np.isin(self.labels[::STRIDE, ::STRIDE, ::STRIDE], VENTRICLES).astype(np.float32), 2.5)
        return soft[tuple((where // STRIDE).T)]


@dataclass(frozen=True, eq=False)
class Blob:
    """A ragged ellipsoid: `distance` is 1 at its border, within the box of voxels `box`."""

    box: tuple[slice, slice, slice]
    distance: np.ndarray


def blob(
    place: Place,
    centre: np.ndarray,
    radius: float,
    rng: np.random.Generator,
    ragged: float = 0.2,
    reach: float = 1.3,
) -> Blob:
    """An ellipsoid about `centre` (voxel) of about `radius` mm, known to `reach` times that.

    ragged : standard deviation of the logarithm of where the border lies
    """
    extent = np.array([reach * radius * np.exp(2 * ragged) * 1.2 + 2] * 3)
    low = np.maximum(np.floor(centre - extent), 0).astype(int)
    high = np.minimum(np.ceil(centre + extent) + 1, place.tissue.shape).astype(int)
    box = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    axes = (axes / (radius * np.exp(rng.uniform(-0.2, 0.2, 3)))).astype(np.float32)
    i, j, k = (np.arange(a, b, dtype=np.float32) - c for a, b, c in zip(low, high, centre, strict=True))
    squared = sum(
        ((i * x[0])[:, None, None] + (j * x[1])[None, :, None] + (k * x[2])[None, None, :]) ** 2
        for x in axes.T
    )
    noise = smooth_noise(squared.shape, rng, max(radius / 1.5, 2.0))
    return Blob(box, np.sqrt(squared) * np.exp(ragged * noise))


def ms(place: Place, rng: np.random.Generator) -> None:
    """Lesions in white matter, most of them near the ventricles, where large loads flow together.

    Long axes of 3 to 20 mm; in all a thousandth to a tenth of the white matter, 0.5 to 50 ml.
    """
    where = place.among("white matter")
    if not len(where):
        return
    weight = 0.02 + place.near_ventricles(where)
    load = np.exp(rng.uniform(*np.log(LOAD)))
    left, usual = load * len(where) * STRIDE**3, 2.8 + 1.4 * rng.random() * (load > MANY)
    for n in rng.choice(len(where), min(MOST, len(where)), replace=False, p=weight / weight.sum()):
        radius = np.clip(usual * np.exp(0.4 * rng.standard_normal()), 1.5, 10)
        one = blob(place, where[n] + rng.uniform(-1, 1, 3), radius, rng, ragged=0.15)
        part = place.tissue[one.box]
        sick = (one.distance < 1) & (part == INDEX["white matter"])
        part[sick] = INDEX["MS lesion"]
        left -= sick.sum()
        if left < 0:
            break


def tumour(place: Place, rng: np.random.Generator, enhancing: float = RIM_CHANCE) -> None:
    """One tumour of 8 to 30 mm radius: tumour, in most a rim that enhances around necrosis, oedema about it.

    enhancing : chance that there are rim and necrosis

    Oedema spreads in white matter only; nothing is painted into the ventricles or outside the brain.
    """
    where = place.among("white matter")
    if not len(where):
        return
    centre = where[rng.integers(len(where))]
    radius = np.exp(rng.uniform(np.log(8), np.log(30)))
    spread = rng.uniform(1.1, 2.0)
    one = blob(place, centre, radius, rng, reach=spread)
    part, labels = place.tissue[one.box], place.labels[one.box]
    parenchyma = np.isin(part, [INDEX[name] for name in PARENCHYMA])
    # Cortical folds disappear within a tumour; the fluid at its border does not.
    allowed = parenchyma | ((labels == SULCI) & (one.distance < 0.8))
    white = part == INDEX["white matter"]
    fingers = np.exp(0.25 * smooth_noise(part.shape, rng, max(radius / 3, 2.0)))
    part[white & (one.distance * fingers < spread)] = INDEX["oedema"]
    core = allowed & (one.distance < 1)
    part[core] = INDEX["tumour"]
    if rng.random() < enhancing:
        inner, outer = sorted(rng.uniform(0.35, 1.0, 2))
        outer = max(outer, min(inner + 2 / radius, 1.0))
        part[core & (one.distance < outer)] = INDEX["enhancing rim"]
        part[core & (one.distance < inner)] = INDEX["necrosis"]


def stroke(place: Place, rng: np.random.Generator) -> None:
    """An acute stroke: a wedge of grey and white matter out to the cortex, or a small deep one."""
    if rng.random() < 0.4:
        where = place.among("white matter", "deep grey")
        if len(where):
            one = blob(place, where[rng.integers(len(where))], rng.uniform(3, 8), rng)
            _paint(place, one.box, one.distance < 1, "stroke")
        return
    where = place.among("grey matter")
    if not len(where):
        return
    middle = where.mean(axis=0)
    outward = where[rng.integers(len(where))] - middle
    length = max(float(np.linalg.norm(outward)), 20.0)
    outward = outward / length
    start, angle = rng.uniform(0.35, 0.7) * length, np.deg2rad(rng.uniform(10, 28))
    radius = (1.3 * length - start) / 2
    one = blob(place, middle + outward * (start + radius), radius, rng, ragged=0.1)
    grid = np.ogrid[one.box]
    i, j, k = (axis - c for axis, c in zip(grid, middle + outward * start, strict=True))
    along = i * outward[0] + j * outward[1] + k * outward[2]
    across = np.sqrt(np.maximum(i * i + j * j + k * k - along * along, 0))
    ragged = np.exp(0.25 * smooth_noise(one.distance.shape, rng, 8.0))
    wedge = across * ragged < (along + 6) * np.tan(angle)
    _paint(place, one.box, wedge & (along > 0), "stroke")


def cavity(place: Place, rng: np.random.Generator) -> None:
    """A hole of 5 to 20 mm radius filled with CSF, as after an operation or an old stroke."""
    where = place.among("white matter", "grey matter")
    if len(where):
        one = blob(place, where[rng.integers(len(where))], rng.uniform(5, 20), rng)
        _paint(place, one.box, one.distance < 1, "CSF")


def _paint(place: Place, box: tuple[slice, slice, slice], inside: np.ndarray, name: str) -> None:
    part = place.tissue[box]
    part[inside & np.isin(part, [INDEX[p] for p in PARENCHYMA])] = INDEX[name]


KINDS: dict[str, Callable[[Place, np.random.Generator], None]] = {
    "ms": ms,
    "tumour": tumour,
    "stroke": stroke,
}
DISEASED = ("MS lesion", "oedema", "tumour", "enhancing rim", "necrosis", "stroke")
