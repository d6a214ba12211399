"""A simulated head as it lies in one volume: its planes, cut short or in thick slices as scans are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mrinr.simulation.corruption import imperfect_strip, thick
from mrinr.simulation.heads import ALL_TISSUES, INDEX, Head
from mrinr.simulation.tissue import Scan
from mrinr.synthesis.recogniser import VIEWS, box_rows, planes, shrunk
from mrinr.training.simulated import played, signal_of

UPRIGHT = (0, 1, 2)
OFF = 0.03  # of the brain's box: standard deviation of its faces where a brain is found, not drawn
CUT, CUT_MOST = 0.4, 0.12  # chance of a field of view that ends early, and the share of the brain lost
THICK, THICKEST = 0.6, 6.0  # chance of thick slices, mm
FACELESS = 0.3  # share of heads whose face was cut away
BRAIN_BIT, KEPT_BIT = 32, 64
INSIDE, OUTSIDE = 0.08, 0.4  # how far the tissues of the brain and others stray from physics (logarithms)
BRAIN = ("white matter", "grey matter", "deep grey", "pallidum", "brainstem", "CSF")


class Sitter:
    """A head, ready to be posed.

    packed : (i, j, k) uint8, its tissue, with two bits more for the brain and what stripping leaves
    low, high : first and last voxel of the brain's box
    """

    def __init__(self, head: Head, rng: np.random.Generator) -> None:
        inside = np.argwhere(head.brain)
        self.low, self.high = inside.min(0), inside.max(0)
        tissue = head.tissue
        if rng.random() < FACELESS:
            tissue = tissue * ~(self._face(rng, tissue.shape) & ~head.brain)
        self.packed = tissue + BRAIN_BIT * head.brain + KEPT_BIT * imperfect_strip(head.brain, rng)

    def _face(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """What lies in front of and below the brain, where defacing cuts."""
        start, top = rng.uniform((0.6, 0.2), (0.85, 0.5)) * (self.high - self.low)[1:] + self.low[1:]
        _, ahead, up = np.ogrid[tuple(slice(n) for n in shape)]
        return (ahead > start) & (up < top)


class Posed:
    """Five planes (see `planes`) of one head, and how its volume was acquired.

    order : axes of the head that lie along R, A and S
    flipped : which of A and S run the wrong way
    """

    def __init__(
        self,
        sitter: Sitter,
        rng: np.random.Generator,
        flipped: Sequence[bool] = (False, False),
        order: tuple[int, ...] = UPRIGHT,
    ) -> None:
        self.rng = rng
        turns = [axis + 1 for axis in range(2) if flipped[axis]]
        low, high = sitter.low[list(order)], sitter.high[list(order)]
        for axis in turns:
            last = sitter.packed.shape[order[axis]] - 1
            low[axis], high[axis] = last - high[axis], last - low[axis]
        off = OFF * (high - low) * rng.standard_normal((2, 3))
        self.low, self.high = (np.rint(x).astype(int) for x in (low + off[0], high + off[1]))

        turned = np.flip(sitter.packed.transpose(order), tuple(turns))
        packed = [plane.astype(np.uint8) for plane in planes(turned, self.low, self.high)]
        self.tissue = [plane % BRAIN_BIT for plane in packed]
        self.brain, self.kept = (
            shrunk([(plane & bit > 0).astype(np.float32) for plane in packed]) > 0.5
            for bit in (BRAIN_BIT, KEPT_BIT)
        )

    @property
    def head(self) -> np.ndarray:
        """(views, SIDE, SIDE) bool."""
        return shrunk([(plane > 0).astype(np.float32) for plane in self.tissue]) > 0.3

    def acquired(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Planes of 1 mm as (views, SIDE, SIDE), in thick slices and with what the scan left out."""
        rng, made = self.rng, []
        sliced = int(rng.choice(3, p=(0.15, 0.15, 0.7)))  # the axis across them
        thickness = rng.uniform(1, THICKEST) if rng.random() < THICK else 1.0
        lost = self._lost() if rng.random() < CUT else None
        for image, (across, _) in zip(images, VIEWS, strict=True):
            axes = [axis for axis in UPRIGHT if axis != across]
            if sliced in axes:
                image = thick(image, thickness, axes.index(sliced), int(rng.integers(int(thickness) + 1)))
            if lost and lost[0] in axes:
                box = [slice(None)] * 2
                box[axes.index(lost[0])] = lost[1]
                image = image.copy()
                image[tuple(box)] = 0
            made.append(np.ascontiguousarray(image, np.float32))
        return shrunk(made)

    def image(self, name: str, scan: Scan) -> np.ndarray:
        """(views, SIDE, SIDE), of no particular scale, of what a hospital may have meant by `name`."""
        sequence = played(name, self.rng)
        signals = self.strayed(
            [0.0, *(signal_of(sequence, scan, t, textured=False) for t in ALL_TISSUES[1:])]
        )
        return self.acquired([signals[plane] for plane in self.tissue])

    def strayed(self, signals: Sequence[float]) -> np.ndarray:
        """Signals by tissue as other scanners may have made them; fat is often suppressed."""
        rng, spread = self.rng, np.full(len(ALL_TISSUES), OUTSIDE)
        spread[[INDEX[name] for name in BRAIN]] = INSIDE
        spread *= rng.uniform(0, 1.5)
        made = np.array(signals) * np.exp(spread * rng.standard_normal(len(spread)))
        if rng.random() < 0.3:
            made[INDEX["fat"]] *= rng.uniform(0.05, 0.5)
        return made

    def _lost(self) -> tuple[int, slice]:
        """The axis and the rows of a plane where the field of view has ended."""
        rng = self.rng
        axis = int(rng.choice(3, p=(0.1, 0.2, 0.7)))
        rows = box_rows(int(self.low[axis]), int(self.high[axis]))
        inside = int(self.low[axis] - rows[0])  # rows around the brain
        lost = int(rng.uniform(0, inside + CUT_MOST * (self.high[axis] - self.low[axis])))
        return axis, slice(0, lost) if rng.random() < 0.5 else slice(len(rows) - lost, None)
