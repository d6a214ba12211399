"""Tissue fractions and tissue parameters turned into images, slab by slab."""

from __future__ import annotations

import numpy as np
import torch

from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.simulation.anatomy import LESION_LABEL, Anatomy
from mrinr.simulation.lesions import Lesion
from mrinr.simulation.signal import Sequence, signal
from mrinr.simulation.tissue import TEXTURE_STEP, Scan

ROWS = 8  # anatomy voxels rendered at once, so that memory holds the fractions of a slab only
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
        self.nodes = {name: torch.tensor(values, dtype=torch.float32) for name, values in nodes.items()}
        # Where the voxels of the grid lie in the anatomy, in its voxels.
        self.places = [((np.arange(n) + 0.5) * pool / 2 - 0.5).clip(0) for n in self.grid.shape]
        self.weights = [
            torch.tensor(_linear(place / TEXTURE_STEP, count), dtype=torch.float32)
            for place, count in zip(self.places, parameters.shape[2:], strict=True)
        ]
        names = (*self.nodes, "brain", "lesions", "labels")
        self.images = {name: np.zeros(self.grid.shape, np.float32) for name in names}

    def slabs(self) -> list[tuple[int, int]]:
        """Rows of the anatomy for `add`, which together fill the grid."""
        rows = self.grid.shape[0] * self.pool // 2 if self.pool > 1 else self.anatomy.labels.shape[0]
        return [(start, min(start + ROWS, rows)) for start in range(0, rows, ROWS)]

    def add(self, start: int, stop: int) -> None:
        """Render the anatomy's rows start..stop."""
        fractions = self._fractions(start, stop)
        rows = slice(start * 2 // self.pool, start * 2 // self.pool + fractions.shape[1])
        for name, nodes in self.nodes.items():
            self.images[name][rows] = self._mixed(nodes, fractions, rows).numpy()
        # Relaxation times belong to what gives signal, however little that is; PD counts what is missing.
        present = fractions.sum(0).clamp_min_(1e-3).numpy()
        self.images["T1map"][rows] /= present
        self.images["T2map"][rows] /= present
        diseased = (fractions[len(self.anatomy.tissues) :].sum(0) > 0.5).numpy()
        nearest = [place.round().astype(int) for place in self.places]
        box = np.ix_(nearest[0][rows], nearest[1], nearest[2])
        self.images["lesions"][rows] = diseased
        self.images["brain"][rows] = self.anatomy.brain[box]
        self.images["labels"][rows] = np.where(diseased, LESION_LABEL, self.anatomy.labels[box])

    def _fractions(self, start: int, stop: int) -> torch.Tensor:
        """(tissues and kinds of lesion, rows, j, k) of the grid."""
        fractions = self.anatomy.finer(start, stop)
        _, b, c = self.anatomy.grid.shape
        fine = pooled_grid(self.anatomy.grid.crop((start, 0, 0), (stop, b, c)), 1)
        for kind in self.kinds:
            occupancy = np.zeros(fine.shape, np.float32)
            for lesion in self.lesions:
                if (lesion.only or "") == kind:
                    lesion.add_to(occupancy, fine)
            white = fractions[self.anatomy.tissues.index("white matter")]
            diseased = torch.from_numpy(occupancy) * white
            white -= diseased
            fractions = torch.cat([fractions, diseased[None]])
        return _averaged(fractions, self.pool)

    def _mixed(self, nodes: torch.Tensor, fractions: torch.Tensor, rows: slice) -> torch.Tensor:
        """(tissue, a, b, c) at the nodes of the texture -> (rows, j, k), summed over a voxel's tissues."""
        wi, wj, wk = self.weights
        x = torch.einsum("tabc,ia->tibc", nodes, wi[rows])
        x = torch.einsum("tibc,jb->tijc", x, wj) @ wk.T
        return x.mul_(fractions).sum(0)


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
