"""Images that are no MR head in one of the sequences, or none that lies as a head does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mrinr.simulation.fields import smooth_noise
from mrinr.simulation.heads import ALL_TISSUES, INDEX
from mrinr.simulation.tissue import draw_scan
from mrinr.synthesis import INPUTS
from mrinr.synthesis.recogniser import SIDE, VIEWS
from mrinr.training.posed import Posed, Sitter

# Hounsfield units after the usual tables; bone is what else the skin encloses.
AIR_HU, BRAIN_HU, BONE_HU = -1000.0, 38.0, 900.0
HU = {"white matter": 30, "brainstem": 30, "CSF": 8, "fat": -90, "muscle": 55, "vessel": 45}
TURNS = ((1, 0, 2), (0, 2, 1), (2, 1, 0), (1, 2, 0), (2, 0, 1))


def computed_tomography(sitter: Sitter, rng: np.random.Generator) -> np.ndarray:
    """Linear in Hounsfield units: with or without an offset, windowed or not."""
    posed = Posed(sitter, rng)
    units = np.array([AIR_HU, *(HU.get(name, BRAIN_HU) for name in ALL_TISSUES[1:])], np.float32)
    units[1:] += 3 * rng.standard_normal(len(units) - 1)
    bone = BONE_HU * rng.uniform(0.6, 1.5)
    found = [np.where((p == 0) & _enclosed(p > 0), bone, units[p]).astype(np.float32) for p in posed.tissue]
    noise = rng.uniform(1, 8)
    images = posed.acquired([image - AIR_HU for image in found]) + AIR_HU
    images = images + noise * rng.standard_normal(images.shape)
    kind = rng.random()
    if kind < 0.4:
        return images - AIR_HU  # as stored without the sign
    return images.clip(0, None if kind < 0.7 else rng.uniform(70, 120))


def noise(sitter: Sitter, rng: np.random.Generator) -> np.ndarray:
    """Noise of any grain and distribution, in all of the volume or in the shape of a head or brain."""
    shape = (len(VIEWS) * SIDE, SIDE)
    grains = smooth_noise(shape, rng, rng.uniform(1.5, 16)) if rng.random() < 0.4 else rng.normal(size=shape)
    made = [np.abs(grains), np.exp(rng.uniform(0.3, 1) * grains), (grains + rng.uniform(1, 4)).clip(0)]
    return _somewhere(made[rng.integers(3)].reshape(-1, SIDE, SIDE), sitter, rng)


def shapes(sitter: Sitter, rng: np.random.Generator) -> np.ndarray:
    """Blobs of one brightness each, as in phantoms and masks."""
    fields = smooth_noise((len(VIEWS) * SIDE, SIDE), rng, rng.uniform(6, 40)).reshape(-1, SIDE, SIDE)
    steps = np.floor(np.abs(fields) * rng.uniform(0, 3))
    return _somewhere(1 + steps * rng.uniform(-0.5, 1.5), sitter, rng)


def inverted(sitter: Sitter, rng: np.random.Generator) -> np.ndarray:
    """Bright where a scan is dark."""
    posed, image = _scan(sitter, rng)
    top = float(np.percentile(image[posed.brain], 99)) * rng.uniform(0.9, 1.3)
    inside = posed.head if rng.random() < 0.5 else np.ones_like(posed.head)
    return (top - image).clip(0) * inside


def diffusion(sitter: Sitter, rng: np.random.Generator) -> np.ndarray:
    """A map of the apparent diffusion coefficient, which has no skull."""
    posed, scan = Posed(sitter, rng), draw_scan((1, 1, 1), rng)
    values = np.array([0.0, *(scan.values[name].ADC for name in ALL_TISSUES[1:])], np.float32)
    values[INDEX["fat"]] = rng.uniform(0, 0.5)
    image = posed.acquired([values[plane] for plane in posed.tissue])
    return image * (posed.kept if rng.random() < 0.7 else posed.head)


def turned(sitter: Sitter, rng: np.random.Generator) -> np.ndarray:
    """Axes in another order, as where a header is lost."""
    order = TURNS[rng.integers(len(TURNS))]
    posed, image = _scan(sitter, rng, order)
    return image * (posed.kept if rng.random() < 0.5 else 1)


def bright_air(sitter: Sitter, rng: np.random.Generator) -> np.ndarray:
    """Any brightness for any tissue, air among them."""
    posed = Posed(sitter, rng)
    values = rng.uniform(0, 3, len(ALL_TISSUES)).astype(np.float32)
    values[0] = rng.uniform(0.6, 3)
    return posed.acquired([values[plane] for plane in posed.tissue])


def _scan(
    sitter: Sitter, rng: np.random.Generator, order: tuple[int, ...] = (0, 1, 2)
) -> tuple[Posed, np.ndarray]:
    posed = Posed(sitter, rng, order=order)
    return posed, posed.image(INPUTS[rng.integers(len(INPUTS))], draw_scan((1, 1, 1), rng))


def _somewhere(image: np.ndarray, sitter: Sitter, rng: np.random.Generator) -> np.ndarray:
    posed = Posed(sitter, rng)
    return image * (np.ones_like(posed.head), posed.head, posed.kept)[rng.integers(3)]


def _enclosed(inside: np.ndarray) -> np.ndarray:
    """What has `inside` on all four sides."""
    found = np.ones_like(inside)
    for axis in range(2):
        for way in (1, -1):
            seen = np.logical_or.accumulate(np.flip(inside, axis) if way < 0 else inside, axis)
            found &= np.flip(seen, axis) if way < 0 else seen
    return found


OTHERS: dict[Callable[[Sitter, np.random.Generator], np.ndarray], float] = {
    computed_tomography: 0.3,
    noise: 0.2,
    shapes: 0.1,
    inverted: 0.1,
    diffusion: 0.1,
    turned: 0.15,
    bright_air: 0.05,
}
