"""Disease in an anatomy: MS lesions as soft ellipsoids (RAS mm), tumours and strokes as tissues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from mrinr.geometry import Grid
from mrinr.simulation.anatomy import Anatomy
from mrinr.simulation.labels import TISSUE_OF_LABEL
from mrinr.simulation.pathology import Place, stroke, tumour
from mrinr.simulation.shape import box_of

EDGE = 0.5  # mm over which a lesion fades out
NEAR = 13  # voxels: how much fluid there is in a cube of this size makes lesions likely


@dataclass(frozen=True, eq=False)
class Lesion:
    """An ellipsoid of diseased white matter.

    centre : RAS mm
    radii : mm along the columns of `axes` (3x3, orthonormal)
    only : the one sequence that shows it, or None when all do (tests ask what happens to such a lesion)
    """

    centre: np.ndarray
    radii: np.ndarray
    axes: np.ndarray
    only: str | None = None

    def add_to(self, occupancy: np.ndarray, grid: Grid) -> None:
        """Raise `occupancy` (the shape of `grid`, 0..1) to how full each voxel is of this lesion."""
        inverse = np.linalg.inv(grid.affine)
        middle = inverse[:3, :3] @ self.centre + inverse[:3, 3]
        reach = (self.radii.max() + EDGE) / grid.spacing
        low = np.maximum(np.floor(middle - reach), 0).astype(int)
        high = np.minimum(np.ceil(middle + reach) + 1, grid.shape).astype(int)
        if (low >= high).any():
            return
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        index = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing="ij"), axis=-1)
        scaled = (grid.world(index) - self.centre) @ self.axes / self.radii
        depth = (1 - np.linalg.norm(scaled, axis=-1)) * self.radii.mean()
        occupancy[box] = np.maximum(occupancy[box], np.clip(depth / EDGE + 0.5, 0, 1))


def draw_ms(anatomy: Anatomy, rng: np.random.Generator, count: int = 15) -> list[Lesion]:
    """Draw MS-like lesions: in white matter, most of them near the ventricles, long axes of 2 to 7 mm."""
    low, high = box_of(anatomy.brain)
    box = tuple(map(slice, low, high))
    white, fluid = (
        anatomy.fractions[anatomy.tissues.index(name)][box] * anatomy.brain[box]
        for name in ("white matter", "CSF")
    )
    near = torch.from_numpy(np.ascontiguousarray(fluid))[None]
    for size in ((NEAR, 1, 1), (1, NEAR, 1), (1, 1, NEAR)):
        near = functional.avg_pool3d(near, size, stride=1, padding=tuple(n // 2 for n in size))
    candidates = np.argwhere(white > 0.8)
    weight = 0.02 + near[0].numpy()[white > 0.8]
    chosen = rng.choice(len(candidates), count, p=weight / weight.sum())
    centres = anatomy.grid.world(candidates[chosen] + low + rng.random((count, 3)) - 0.5)
    lesions = []
    for centre in centres:
        axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
        radii = np.clip(2.8 * np.exp(0.35 * rng.standard_normal()), 1.5, 7) * np.array([1, 0.8, 0.6])
        lesions.append(Lesion(centre, radii, axes))
    return lesions


def diseased(anatomy: Anatomy, kind: str, rng: np.random.Generator) -> Anatomy:
    """`anatomy` (1 mm voxels) with a "tumour" or a "stroke" whose parts are tissues of their own."""
    place = Place(TISSUE_OF_LABEL[anatomy.labels], anatomy.labels, anatomy.brain)
    if kind == "tumour":
        tumour(place, rng, enhancing=1.0)
    else:
        stroke(place, rng)
    return anatomy.painted(place.tissue)
