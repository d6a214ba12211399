"""Slices of simulated people, made while the network trains: a new contrast, noise and motion every time.

Anatomies are drawn now and then (seconds each) and kept in a pool; tissue parameters, sequences and
corruption are drawn for every slice (milliseconds).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from mrinr.simulation.corruption import bias_field, gamma, imperfect_strip, rician
from mrinr.simulation.heads import ALL_TISSUES, Head, draw_head
from mrinr.simulation.sequences import SEQUENCES, jittered
from mrinr.simulation.signal import Sequence as MRSequence
from mrinr.simulation.signal import signal
from mrinr.simulation.tissue import TEXTURE_STEP, Scan, draw_scan
from mrinr.synthesis.levels import learned
from mrinr.synthesis.multimodal import moved_by
from mrinr.synthesis.place import places
from mrinr.synthesis.prediction import BRIGHTEST
from mrinr.training.batch import Batch, stack
from mrinr.volume import read

# What hospitals call T1 is one of several sequences.
MEANT = {
    "T1": (("T1", 0.55), ("MPRAGE", 0.25), ("T1FLAIR", 0.2)),
    "T1ce": (("T1", 0.7), ("MPRAGE", 0.3)),
}
SCANS_FOR_LEVELS = 30  # of each head
BLUR = 0.6  # voxels: the partial volume that a label map lacks
POOR = 0.6  # share of slices from scans that are thick, blurred, misaligned or on another scale of grey
MARGIN = 10  # pixels simulated around a window, so that motion brings in what is there
SLICES_PER_HEAD = 150  # then a new head takes the place of an old one
FEWEST_BRAIN = 300  # pixels of brain that a slice must have


@dataclass(frozen=True)
class Wanted:
    """Which sequences a batch shows and which it asks for.

    inputs, targets : names to draw from
    least, most : how many inputs are drawn; without `most` all of `inputs` are shown always
    at_once : targets drawn, never one that is shown
    """

    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    most: int | None = None
    least: int = 1
    at_once: int = 1

    def draw(self, rng: np.random.Generator) -> tuple[list[str], list[str]]:
        shown = list(self.inputs)
        if self.most is not None:
            most = min(self.most, len(self.inputs))
            count = int(rng.integers(min(self.least, most), most + 1))
            chosen = set(rng.choice(self.inputs, count, replace=False).tolist())
            shown = [name for name in self.inputs if name in chosen]
            if not set(self.targets) - chosen:
                return self.draw(rng)
        missing = [name for name in self.targets if name not in shown]
        asked = rng.choice(missing, min(self.at_once, len(missing)), replace=False).tolist()
        return shown, asked


class SimulatedSlices(IterableDataset[Batch]):
    """An endless stream of batches from FreeSurfer-numbered label maps.

    Parameters
    ----------
    maps : label maps of whole heads
    wanted : see `Wanted`; one draw a batch
    size : (h, w) pixels of 1 mm
    batch : slices; each is another head, slice, scan and corruption
    pool : heads kept at once by each worker
    everywhere : slices above and below the brain, too
    """

    def __init__(
        self,
        maps: Sequence[Path],
        wanted: Wanted,
        size: tuple[int, int] = (128, 128),
        batch: int = 4,
        seed: int = 0,
        pool: int = 8,
        everywhere: bool = False,
    ) -> None:
        super().__init__()
        self.maps, self.wanted, self.size, self.batch = list(maps), wanted, size, batch
        self.seed, self.pool, self.everywhere = seed, pool, everywhere

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        people: deque[Person] = deque(maxlen=self.pool)
        for drawn in count():
            # The pool fills while training has begun, then a new head takes the place of the oldest.
            if drawn % (SLICES_PER_HEAD if len(people) == self.pool else SLICES_PER_HEAD // 5) == 0:
                path = self.maps[rng.integers(len(self.maps))]
                people.append(Person(draw_head(read(path), rng, lesions="any"), rng, self.everywhere))
            if drawn % self.batch == 0:
                slices, (shown, asked) = [], self.wanted.draw(rng)
            slices.append(people[rng.integers(len(people))].slice(shown, asked, self.size, rng))
            if len(slices) == self.batch:
                yield stack(slices)


class Person:
    """One drawn head, ready to give slices."""

    def __init__(self, head: Head, rng: np.random.Generator, everywhere: bool = False) -> None:
        self.head = head
        inside = np.argwhere(head.brain)
        self.low, self.high = inside.min(0), inside.max(0)
        fewest = 0 if everywhere else FEWEST_BRAIN
        self.levels = np.flatnonzero(head.brain.sum((0, 1)) >= fewest)
        self.stripped = imperfect_strip(head.brain, rng)
        self.composition = np.bincount(head.tissue[head.brain], minlength=len(ALL_TISSUES)).astype(float)
        self.composition /= self.composition.sum()

    def slice(
        self, shown: Sequence[str], asked: Sequence[str], size: tuple[int, int], rng: np.random.Generator
    ) -> dict[str, Any]:
        """The fields of `Batch` for one slice: a window around a random place in the brain."""
        level = int(rng.choice(self.levels))
        corner = [self.corner(axis, n, rng) for axis, n in enumerate(size)]
        outer = [np.arange(c - MARGIN, c + n + MARGIN) for c, n in zip(corner, size, strict=True)]
        rows, columns = (at[MARGIN:-MARGIN] for at in outer)
        scan = draw_scan((len(outer[0]), len(outer[1]), 1), rng)
        strip, poor = rng.random() < 0.5, rng.random() < POOR
        inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
        kept = window(self.stripped[:, :, level], *outer) if strip else None

        seen, motion = {}, {}
        for n, name in enumerate(shown):
            sequence = played(name, rng)
            thickness = int(rng.integers(2, 6)) if poor and rng.random() < 0.6 else 1
            image, mask = self._image(sequence, scan, self.fractions(level, outer, thickness), rng), kept
            if poor:
                image = blurred_in_plane(image, rng)
            moved = draw_motion(rng) if n and poor else np.zeros(3, np.float32)
            if moved.any():
                image = moved_image(image, undone(moved))
                mask = None if mask is None else moved_image(mask.astype(np.float32), undone(moved)) > 0.5
            if n:
                motion[name] = moved
            seen[name] = delivered(image[inner], None if mask is None else mask[inner], rng, poor)

        sharp = self.fractions(level, outer, 1)
        clean = {}
        for name in asked:
            image = self._image(SEQUENCES[name], scan, sharp, rng)
            clean[name] = (image if kept is None else image * kept)[inner]
        return {
            "seen": seen,
            "clean": clean,
            "brain": window(self.head.brain[:, :, level], rows, columns),
            "lesions": window(self.head.lesions[:, :, level], rows, columns),
            "place": places(rows, columns, self.low[:2], self.high[:2]),
            "motion": motion,
        }

    def corner(self, axis: int, size: int, rng: np.random.Generator) -> int:
        """Where a window of `size` begins: within the brain's box where it is smaller, else around it."""
        slack = self.high[axis] - self.low[axis] + 1 - size
        return int(self.low[axis] + min(slack, 0) + rng.integers(abs(slack) + 1))

    def fractions(self, level: int, at: Sequence[np.ndarray], thickness: int) -> np.ndarray:
        """(tissue, rows, columns): how much of a voxel of a slice of `thickness` mm is which tissue."""
        first = level - (thickness - 1) // 2
        found = np.zeros((len(ALL_TISSUES), len(at[0]), len(at[1])), np.float32)
        for k in range(first, first + thickness):
            if 0 <= k < self.head.tissue.shape[2]:
                labels = window(self.head.tissue[:, :, k], *at)
                for tissue in np.flatnonzero(np.bincount(labels.ravel(), minlength=len(ALL_TISSUES))):
                    found[tissue] += labels == tissue
        return _smooth(found) / thickness

    def _image(
        self, sequence: MRSequence, scan: Scan, fractions: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """(rows, columns), the brain's median at 1."""
        return self.physical(sequence, scan, fractions) / self.median(sequence, scan, rng)

    def physical(self, sequence: MRSequence, scan: Scan, fractions: np.ndarray) -> np.ndarray:
        """(rows, columns), where the PD of water is 1; tissues mixed in signal."""
        present = [n for n in np.flatnonzero(fractions.any((1, 2))) if n]  # 0 is air
        shape = fractions.shape[1:]
        up, across = (_between_nodes(n) for n in shape)
        image = np.zeros(shape, np.float32)
        for n in present:
            nodes = signal_of(sequence, scan, ALL_TISSUES[n], textured=True)
            image += (up @ nodes @ across.T) * fractions[n]
        return image

    def median(
        self,
        sequence: MRSequence,
        scan: Scan,
        rng: np.random.Generator,
        composition: np.ndarray | None = None,
    ) -> float:
        """The median signal in the whole brain, from its composition; borders mix two tissues."""
        shares = self.composition if composition is None else composition
        signals = np.array(
            [0.0, *(signal_of(sequence, scan, name, textured=False) for name in ALL_TISSUES[1:])]
        )
        drawn = rng.choice(len(signals), (2, 3000), p=shares)
        mixed = np.where(rng.random(3000) < 0.4, signals[drawn].mean(0), signals[drawn[0]])
        return max(float(np.median(mixed)), 1e-4)


def levels(maps: Sequence[Path], names: Sequence[str], seed: int) -> dict[str, Any]:
    """What `mrinr.synthesis.levels` knows of `names`: medians in the brains of people at one gain."""
    rng = np.random.default_rng([seed, 1])
    logs = []
    for path in maps:
        person = Person(draw_head(read(path), rng, lesions="any"), rng)
        for _ in range(SCANS_FOR_LEVELS):
            scan = draw_scan((1, 1, 1), rng)
            logs.append([np.log(person.median(SEQUENCES[name], scan, rng)) for name in names])
    return learned(names, np.array(logs))


def signal_of(sequence: MRSequence, scan: Scan, tissue: str, textured: bool) -> Any:
    """Signal of a tissue: (a, b) float32 at the nodes of the texture, or without it one number."""
    if not textured:
        values = (scan.enhanced if sequence.agent else scan.values)[tissue]
        return float(signal(sequence, *(np.array(value) for value in values)))
    nodes = signal(sequence, *scan.at_nodes(tissue, sequence.agent))
    return nodes[:, :, 0].astype(np.float32)


def played(name: str, rng: np.random.Generator) -> MRSequence:
    """A sequence that a hospital may have meant by `name`."""
    names, chances = zip(*MEANT.get(name, ((name, 1.0),)), strict=True)
    sequence = SEQUENCES[names[rng.choice(len(names), p=chances)]]
    return jittered(replace(sequence, agent=SEQUENCES[name].agent), rng)


def window(plane: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """`plane` at rows x columns; zero outside."""
    out = np.zeros((len(rows), len(columns)), plane.dtype)
    i, j = ((at >= 0) & (at < n) for at, n in zip((rows, columns), plane.shape, strict=True))
    out[np.ix_(i, j)] = plane[np.ix_(rows[i], columns[j])]
    return out


def _smooth(x: np.ndarray) -> np.ndarray:
    """Gaussian of BLUR pixels over the last two axes; air all around."""
    side = float(np.exp(-0.5 / BLUR**2))
    for axis in (1, 2):
        out = x.copy()
        ahead, behind = ([slice(None)] * 3 for _ in range(2))
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        out[tuple(ahead)] += side * x[tuple(behind)]
        out[tuple(behind)] += side * x[tuple(ahead)]
        x = out / (1 + 2 * side)
    return x


def _between_nodes(count: int) -> np.ndarray:
    """(count, nodes) weights that interpolate the texture linearly."""
    place = np.arange(count) / TEXTURE_STEP
    return (1 - np.abs(place[:, None] - np.arange(2 + count // TEXTURE_STEP))).clip(0).astype(np.float32)


def blurred_in_plane(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Larger pixels, or slices that were cut in another plane and resampled, in every third image."""
    if rng.random() > 0.35:
        return image
    widths = [1.0 + rng.random(), 1.0 + rng.random()] if rng.random() < 0.6 else [1.0, rng.uniform(2, 5)]
    if rng.random() < 0.5:
        widths.reverse()
    for axis, width in enumerate(widths):
        half = int(np.ceil(width / 2))
        taps = np.clip(width / 2 + 0.5 - np.abs(np.arange(-half, half + 1)), 0, 1)
        image = np.apply_along_axis(np.convolve, axis, image, taps / taps.sum(), "same")
    return image.astype(np.float32)


def draw_motion(rng: np.random.Generator) -> np.ndarray:
    """(angle in radians, rows, columns): none, small, or as in the paper's experiment."""
    kind = rng.random()
    if kind < 0.35:
        return np.zeros(3, np.float32)
    degrees, pixels = (2.0, 2.0) if kind < 0.75 else (9.0, 3.0)
    return np.array(
        [np.deg2rad(rng.uniform(-degrees, degrees)), *rng.uniform(-pixels, pixels, 2)], np.float32
    )


def undone(motion: np.ndarray) -> np.ndarray:
    """The motion that undoes `motion`."""
    angle, down, right = motion
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([-angle, -(cos * down - sin * right), -(cos * right + sin * down)], np.float32)


def moved_image(image: np.ndarray, motion: np.ndarray) -> np.ndarray:
    moved = moved_by(torch.from_numpy(image)[None, None], torch.from_numpy(motion)[None])
    return moved[0, 0].numpy()


def delivered(image: np.ndarray, mask: np.ndarray | None, rng: np.random.Generator, poor: bool) -> np.ndarray:
    """What becomes of an image until it is loaded: coil, noise, intensity curve, stripping, scale."""
    image = image * bias_field(image.shape, rng, rng.uniform(0, 0.3 if poor else 0.1))
    image = rician(image, 1 / (rng.uniform(15, 80) if poor else rng.uniform(40, 200)), rng)
    if poor:
        image = gamma(image, rng.uniform(0.75, 1.35), 1.0)
    if mask is not None:
        image = image * mask
    if poor and rng.random() < 0.05:  # a slab that is missing
        start = rng.integers(max(image.shape[0] - 20, 1))
        image[start : start + int(rng.integers(5, 20))] = 0
    off = (0.08 if poor else 0.03) * rng.standard_normal()
    return (image * np.exp(off)).clip(0, BRIGHTEST).astype(np.float32)
