"""Tissue fractions and tissue parameters turned into images, brick by brick."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch

from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.simulation.anatomy import LESION_LABEL, Anatomy
from mrinr.simulation.lesions import Lesion
from mrinr.simulation.pathology import DISEASED
from mrinr.simulation.signal import Sequence, signal
from mrinr.simulation.tissue import TEXTURE_STEP, Scan

BRICK = (
    24  # anatomy voxels along each edge of what is rendered at once: most bricks hold few tissues, many none
)
Index = tuple[int, int, int]
MAPS = ("T1map", "T2map", "PDmap")


def pooling(anatomy: Anatomy, spacing: float) -> int:
    """How many half voxels of the anatomy make one of `spacing` mm; InputError unless a power of two."""
    pool = spacing / (float(anatomy.grid.spacing[0]) / 2)
    if min(abs(pool - n) for n in (1, 2, 4, 8, 16)) > 1e-3:
        raise InputError(f"A spacing of {spacing:g} mm does not divide the anatomy; use 0.5, 1, 2 or 4 mm.")
    return round(pool)


def pooled_grid(grid: Grid, pool: int) -> Grid:
    """The grid of blocks of `pool` half voxels of `grid`; what is left over at the far ends is dropped."""
    ratio = pool / 2
    affine = grid.affine.copy()
    affine[:3, :3] *= ratio
    affine[:3, 3] = grid.world(np.full(3, ratio / 2 - 0.5))
    a, b, c = (n * 2 // pool for n in grid.shape)
    return Grid((a, b, c), affine)


class Renderer:
    """Fills `images`: the sequences, MAPS, "brain", "lesions" and "labels", (i, j, k) float32 on `grid`."""

    def __init__(
        self,
        anatomy: Anatomy,
        scan: Scan,
        sequences: dict[str, Sequence],
        lesions: list[Lesion],
        pool: int,
    ) -> None:
        self.anatomy, self.pool = anatomy, pool
        self.grid = pooled_grid(anatomy.grid, pool)
        # Lesions that one sequence alone shows are tissues of their own; to the others they are white matter.
        self.kinds = sorted({lesion.only or "" for lesion in lesions})
        self.lesions = lesions
        tissues = (*anatomy.tissues, *("MS lesion" for _ in self.kinds))
        parameters = np.stack([np.stack(scan.at_nodes(tissue)[:3]) for tissue in tissues], axis=1)
        nodes = dict(zip(MAPS, parameters, strict=True))
        for name, sequence in sequences.items():
            hidden = ("MS lesion" if kind in ("", name) else "white matter" for kind in self.kinds)
            shown = (*anatomy.tissues, *hidden)
            nodes[name] = np.stack(
                [signal(sequence, *scan.at_nodes(tissue, sequence.agent)) for tissue in shown]
            )
        self.names = tuple(nodes)
        self.nodes = torch.tensor(np.stack(list(nodes.values())), dtype=torch.float32)
        self.diseased = [n for n, tissue in enumerate(tissues) if tissue in DISEASED]
        # Where the voxels of the grid lie in the anatomy, in its voxels.
        places = [((np.arange(n) + 0.5) * pool / 2 - 0.5).clip(0) for n in self.grid.shape]
        self.weights = [
            torch.tensor(_linear(place / TEXTURE_STEP, count), dtype=torch.float32)
            for place, count in zip(places, parameters.shape[2:], strict=True)
        ]
        nearest = np.ix_(*(place.round().astype(int) for place in places))
        self.images = {name: np.zeros(self.grid.shape, np.float32) for name in (*self.names, "lesions")}
        self.images["brain"] = anatomy.brain[nearest].astype(np.float32)
        self.images["labels"] = anatomy.labels[nearest].astype(np.float32)

    def bricks(self) -> list[tuple[Index, Index]]:
        """Parts of the anatomy (low and high index) for `add`, which together fill the grid."""
        ends = [n * self.pool // 2 for n in self.grid.shape]
        return [
            ((i, j, k), (min(i + BRICK, ends[0]), min(j + BRICK, ends[1]), min(k + BRICK, ends[2])))
            for i, j, k in product(*(range(0, end, BRICK) for end in ends))
        ]

    def add(self, low: Index, high: Index) -> None:
        """Render the anatomy's part low <= index < high."""
        around = tuple(slice(max(a - 1, 0), b + 1) for a, b in zip(low, high, strict=True))
        present = [n for n, fraction in enumerate(self.anatomy.fractions) if fraction[around].any()]
        if not present:
            return
        fractions = self._add_lesions(self.anatomy.finer(low, high, present), low, high, present)
        fractions = _averaged(fractions, self.pool)
        box = tuple(slice(a * 2 // self.pool, b * 2 // self.pool) for a, b in zip(low, high, strict=True))
        for name, mixed in zip(self.names, self._mixed(fractions, present, box).numpy(), strict=True):
            self.images[name][box] = mixed
        # Relaxation times belong to what gives signal, however little that is; PD counts what is missing.
        weight = fractions.sum(0).clamp_min_(1e-3).numpy()
        self.images["T1map"][box] /= weight
        self.images["T2map"][box] /= weight
        rows = [row for row, n in enumerate(present) if n in self.diseased]
        if rows:
            diseased = (fractions[rows].sum(0) > 0.5).numpy()
            self.images["lesions"][box] = diseased
            self.images["labels"][box][diseased] = LESION_LABEL

    def _add_lesions(
        self, fractions: torch.Tensor, low: Index, high: Index, present: list[int]
    ) -> torch.Tensor:
        """A brick's `fractions` with white matter given over to lesions; `present` gains their rows."""
        white = self.anatomy.tissues.index("white matter")
        if white not in present:
            return fractions
        healthy = fractions[present.index(white)]
        fine = pooled_grid(self.anatomy.grid.crop(low, high), 1)
        for row, kind in enumerate(self.kinds, start=len(self.anatomy.tissues)):
            occupancy = np.zeros(fine.shape, np.float32)
            for lesion in self.lesions:
                if (lesion.only or "") == kind:
                    lesion.add_to(occupancy, fine)
            if occupancy.any():
                diseased = torch.from_numpy(occupancy) * healthy
                healthy -= diseased
                fractions = torch.cat([fractions, diseased[None]])
                healthy = fractions[present.index(white)]
                present.append(row)
        return fractions

    def _mixed(self, fractions: torch.Tensor, present: list[int], box: tuple[slice, ...]) -> torch.Tensor:
        """Part `box` of all images (m, i, j, k): `fractions` (tissue, i, j, k) weigh what each looks like."""
        x = self.nodes[:, present]
        weights = []
        for axis, (every, part) in enumerate(zip(self.weights, box, strict=True)):
            used = every[part].any(0).nonzero()
            first, count = int(used[0]), int(used[-1] - used[0]) + 1
            weights.append(every[part].narrow(1, first, count))
            x = x.narrow(axis + 2, first, count)
        wi, wj, wk = weights
        x = wj @ (x @ wk.T)  # (m, tissue, a, j, k)
        x = wi @ x.flatten(3)
        return x.mul_(fractions.flatten(2)).sum(1).reshape(-1, *fractions.shape[1:])


def _linear(place: np.ndarray, count: int) -> np.ndarray:
    """(places, count) weights of linear interpolation between `count` nodes."""
    return (1 - np.abs(place[:, None] - np.arange(count))).clip(0)


def _averaged(x: torch.Tensor, pool: int) -> torch.Tensor:
    """Means of blocks of `pool`^3 (a power of two) over the last three axes; leftovers are dropped."""
    for axis in (1, 2, 3):
        x = x.narrow(axis, 0, x.shape[axis] // pool * pool)
        for _ in range(pool.bit_length() - 1):
            even, odd = (x[(slice(None),) * axis + (slice(n, None, 2),)] for n in (0, 1))
            x = (even + odd).mul_(0.5)
    return x
