"""Planes for the learned prior: sharp ones of several contrasts, cut into thick slices as a scanner would.

Real planes are axial, because along the slices nothing was measured sharply. Simulated people are healthy
and have planes of any direction: what a diseased brain looks like is left to the patient's own scans.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import IterableDataset, get_worker_info

from mrinr.acquisition import axis_matrix
from mrinr.geometry import profile_points
from mrinr.simulation.corruption import bias_field
from mrinr.simulation.heads import Head, draw_head
from mrinr.simulation.tissue import draw_scan
from mrinr.superres.prior_network import cut
from mrinr.training.contrast_sequences import draw as draw_times
from mrinr.training.folders import Subject
from mrinr.training.simulated import Person, window
from mrinr.volume import read

REAL = 0.65  # share of real planes where there are both
PLANES_PER_HEAD = 600
FOREGROUND = 0.04
ELSEWHERE = 0.1  # weight of what is not foreground
AROUND = 8  # voxels around a plane that its shifts and turns may reach
GUIDES, CHANCES = (0, 1, 2), (0.15, 0.65, 0.2)
MISSING = 0.25  # chance that slices are missing, as where some are hidden
AS_IS = 0.35  # chance that greys stay as scanned


@dataclass(eq=False)
class Planes:
    """n planes of h x w voxels, float32; see `PlanePrior.forward` for the inputs.

    truth : (n, 1, h, w)
    brain : (n, 1, h, w), how much a voxel counts: 1 in the foreground
    """

    target: torch.Tensor
    target_cut: torch.Tensor
    guides: torch.Tensor
    guides_cut: torch.Tensor
    truth: torch.Tensor
    brain: torch.Tensor

    @property
    def seen(self) -> dict[str, torch.Tensor]:
        """What is shown, by name, (n, 1, h, w)."""
        guides = {f"guide {n + 1}": x[:, None] for n, x in enumerate(self.guides.unbind(1))}
        return {"target": self.target, **guides}

    @property
    def clean(self) -> dict[str, torch.Tensor]:
        return {"any": self.truth}

    def to(self, device: torch.device | str) -> Planes:
        return Planes(**{name: value.to(device) for name, value in vars(self).items()})


class PriorPlanes(IterableDataset[Planes]):
    """An endless stream of batches from label maps and from folders of scans that lie on one grid."""

    def __init__(
        self,
        maps: Sequence[Path],
        subjects: Sequence[Subject],
        size: tuple[int, int] = (96, 96),
        batch: int = 8,
        seed: int = 0,
        pool: int = 6,
    ) -> None:
        super().__init__()
        self.maps, self.size, self.batch, self.seed, self.pool = list(maps), size, batch, seed, pool
        self.scans = [scans for subject in subjects if len(scans := _scans(subject))]

    def __iter__(self) -> Iterator[Planes]:
        worker = get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        people: deque[Person] = deque(maxlen=self.pool)
        shape = tuple(n + 2 * AROUND for n in self.size)
        real = 0.0 if not self.scans else REAL if self.maps else 1.0
        for drawn in count():
            if self.maps and drawn % (PLANES_PER_HEAD if len(people) == self.pool else 24) == 0:
                people.append(_person(self.maps[rng.integers(len(self.maps))], rng))
            if drawn % self.batch == 0:
                made, guides = [], int(rng.choice(GUIDES, p=CHANCES))
            if rng.random() < real:
                sharp = _real(self.scans[rng.integers(len(self.scans))], 1 + guides, shape, rng)
            else:
                sharp = _simulated(people[rng.integers(len(people))], 1 + guides, shape, rng)
            made.append(planes(sharp, rng))
            if len(made) == self.batch:
                yield Planes(*(torch.from_numpy(np.stack(each)) for each in zip(*made, strict=True)))


def planes(sharp: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """The fields of `Planes` for one plane from (contrasts, h, w), the target first, cropped by AROUND."""
    inner = np.s_[AROUND:-AROUND, AROUND:-AROUND]
    there = sharp.max(0) > FOREGROUND
    images = [_greys(image, sharp, there, rng) for image in sharp]
    if rng.random() < 0.3:
        _odd_one_out(images, there, rng)
    truth = images[0][inner]
    rows = Cut(truth.shape[0], rng)
    target = rows.applied(truth, rng)
    guides, cuts = [], []
    for image in images[1:]:
        moved = (image * bias_field(image.shape, rng, rng.uniform(0, 0.15))).astype(np.float32)
        shift = rng.normal(0, 0.25 if rng.random() < 0.8 else 1.0, 2)
        moved = _sampled(moved[None], np.eye(2), (np.array(moved.shape) - 1) / 2 + shift, truth.shape)[0]
        columns = Cut(truth.shape[1], rng, fine=rng.random() < 0.15)
        guides.append(columns.applied(moved.T, rng).T)
        cuts.append(columns.told[:, None, :])
    weight = np.where(there[inner], 1.0, ELSEWHERE)
    none = np.zeros((0, *truth.shape)), np.zeros((0, 3, 1, truth.shape[1]))
    fields = (
        target[None],
        rows.told[:, :, None],
        np.stack(guides) if guides else none[0],
        np.stack(cuts) if cuts else none[1],
        truth[None],
        weight[None],
    )
    return tuple(np.ascontiguousarray(each, np.float32) for each in fields)


class Cut:
    """How one axis is cut into slices and interpolated back: drawn anew each time.

    told : what the network is told of it, (CUT, size)
    """

    def __init__(self, size: int, rng: np.random.Generator, fine: bool = False) -> None:
        self.noise = rng.uniform(0, 0.03)
        if fine:
            self.slices = self.back = np.eye(size)
            self.told = cut(torch.zeros(size), 1.0, 1.0).numpy()
            return
        gap = float(np.exp(rng.uniform(np.log(2), np.log(10))))
        thickness = gap * (1.0 if rng.random() < 0.65 else rng.uniform(0.6, 1.15))
        profile = str(rng.choice(["box", "gaussian", "point"], p=[0.7, 0.2, 0.1]))
        first = rng.uniform(-0.5, 0.5) * gap
        centres = np.arange(first, size - 0.5, gap)
        slices, inside = axis_matrix(centres, size, *profile_points(profile, thickness, 0.25))
        slices /= np.maximum(inside, 1e-6)[:, None]
        kept = np.ones(len(centres), bool)
        if rng.random() < MISSING:
            for n in range(int(rng.integers(1, 4)), len(centres) - 1, int(rng.integers(3, 7))):
                slices[n] = (slices[n - 1] + slices[n + 1]) / 2
                kept[n] = False
        self.slices = slices
        place = np.clip((np.arange(size) - first) / gap, -0.49, len(centres) - 0.51)
        self.back, _ = axis_matrix(place, len(centres), np.zeros(1), np.ones(1))
        distance = np.abs(np.arange(size)[:, None] - centres[kept]).min(1)
        self.told = cut(torch.from_numpy(distance).float(), gap, thickness).numpy()

    def applied(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        thick = self.slices @ image
        thick = np.abs(thick + self.noise * rng.standard_normal(thick.shape))
        return self.back @ thick


def _greys(image: np.ndarray, all_of: np.ndarray, there: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another contrast of the same anatomy: a curve, the negative, or a mixture; the brightest near 1."""
    if rng.random() < AS_IS:
        return image * np.exp(0.1 * rng.standard_normal())
    if rng.random() < 0.25:
        image = np.tensordot(rng.dirichlet(np.ones(len(all_of))), all_of, 1)
    if rng.random() < 0.25:
        image = np.where(there, np.clip(rng.uniform(1.0, 1.3) - image, 0, None), image)
    image = np.clip(image, 0, None) ** np.exp(rng.uniform(-0.5, 0.5))
    return image * np.exp(0.15 * rng.standard_normal())


def _odd_one_out(images: list[np.ndarray], there: np.ndarray, rng: np.random.Generator) -> None:
    """Spots that one contrast shows and another does not, or otherwise."""
    places = np.argwhere(there)
    if not len(places):
        return
    grid = np.indices(there.shape)
    for _ in range(int(rng.integers(1, 5))):
        centre = places[rng.integers(len(places))]
        radius = np.exp(rng.uniform(np.log(1.5), np.log(10)))
        angle, ratio = rng.uniform(0, np.pi), rng.uniform(0.5, 1)
        y, x = grid - centre[:, None, None]
        u, v = x * np.cos(angle) + y * np.sin(angle), (y * np.cos(angle) - x * np.sin(angle)) / ratio
        inside = np.clip((radius - np.hypot(u, v)) / rng.uniform(1, 3) + 0.5, 0, 1) * there
        ring = rng.random() < 0.25
        if ring:
            inside = 4 * inside * (1 - inside)
        for n in range(len(images)):
            if rng.random() < 0.6:
                images[n] = (1 - inside) * images[n] + inside * rng.uniform(0, 1.2)


def _scans(subject: Subject) -> list[np.ndarray]:
    """The contrasts of a subject as scanned, on one grid, the 99th percentile of the foreground at 1."""
    from mrinr.intensity import robust_scale

    volumes = [read(path) for path in subject.images.values()]
    first = volumes[0].grid
    return [robust_scale(v).apply(v.voxels).clip(0, None) for v in volumes if v.grid.same_as(first)]


def _real(
    scans: Sequence[np.ndarray], contrasts: int, shape: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray:
    """(contrasts, *shape) of an axial plane, turned and stretched."""
    shown = rng.choice(len(scans), contrasts, replace=contrasts > len(scans))
    level = _with_brain(lambda k: scans[0][:, :, k], scans[0].shape[2], rng)
    return _posed(np.stack([scans[n][:, :, level] for n in shown]), shape, rng)


def _person(path: Path, rng: np.random.Generator) -> Person:
    """Healthy, and turned so that its axial planes are any planes of the head."""
    head = draw_head(read(path), rng, lesions="none")
    order = tuple(rng.permutation(3))
    tissue, brain, lesions = (
        np.ascontiguousarray(x.transpose(order)) for x in (head.tissue, head.brain, head.lesions)
    )
    return Person(Head(tissue, brain, lesions, head.affine, head.name), rng)


def _simulated(
    person: Person, contrasts: int, shape: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray:
    level = int(rng.choice(person.levels))
    corner = [person.corner(axis, n, rng) for axis, n in enumerate(shape)]
    at = [np.arange(c, c + n) for c, n in zip(corner, shape, strict=True)]
    fractions = person.fractions(level, at, 1)
    scan = draw_scan((shape[0], shape[1], 1), rng)
    kept = window(person.stripped[:, :, level], *at) if rng.random() < 0.5 else 1.0
    made = [person.physical(draw_times(rng, True), scan, fractions) * kept for _ in range(contrasts)]
    tops = [max(float(np.percentile(image, 98)), 1e-2) for image in made]
    return np.stack([image / top for image, top in zip(made, tops, strict=True)]).clip(0, 2)


def _with_brain(plane: Callable[[int], np.ndarray], count: int, rng: np.random.Generator) -> int:
    """A plane of which at least a twentieth is foreground."""
    while True:
        level = int(rng.integers(count))
        if (plane(level) > FOREGROUND).mean() > 0.05:
            return level


def _posed(images: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A window of `shape` around a random place of the foreground, turned, stretched and mirrored."""
    places = np.argwhere(images[0] > FOREGROUND)
    centre = places[rng.integers(len(places))] * 0.7 + places.mean(0) * 0.3
    angle = rng.uniform(-np.pi, np.pi) if rng.random() < 0.5 else rng.integers(4) * np.pi / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    size = rng.uniform(-0.1, 0.25) if rng.random() < 0.7 else rng.uniform(0.25, 0.7)  # as on finer grids
    zoom = np.diag(np.exp(size + rng.normal(0, 0.03, 2)) * rng.choice([-1, 1], 2))
    return _sampled(images, turn @ np.linalg.inv(zoom), centre, shape)


def _sampled(
    images: np.ndarray, matrix: np.ndarray, centre: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """(n, *shape): `images` (n, h, w) by cubic convolution around `centre`, 0 outside."""
    offsets = np.indices(shape, np.float32).reshape(2, -1).T - (np.array(shape, np.float32) - 1) / 2
    points = offsets @ matrix.T.astype(np.float32) + centre.astype(np.float32)
    size = np.array(images.shape[1:], np.float32)
    grid = torch.from_numpy((2 * points / (size - 1) - 1)[:, ::-1].reshape(1, *shape, 2).copy())
    found = functional.grid_sample(
        torch.from_numpy(images)[None], grid.float(), mode="bicubic", align_corners=True
    )
    return found[0].numpy().clip(0, None)
