"""People for the contrast benchmark: slabs of simulated heads, every sequence at one gain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mrinr.benchmark.people import as_scanned
from mrinr.contrast.scale import percentiles
from mrinr.simulation import Anatomy, from_labels, icbm, simulate_subject
from mrinr.simulation.labels import TISSUE_OF_LABEL
from mrinr.simulation.signal import Sequence as MRSequence
from mrinr.simulation.subject import Subject
from mrinr.simulation.tissue import INDEX
from mrinr.training.sources import stem
from mrinr.volume import Volume, read

TISSUES = ("white matter", "CSF")
FLUID_AROUND = 24  # FreeSurfer's number; the mask is that of `mrinr.simulation.heads`, without it


@dataclass(eq=False)
class Slab:
    """Some axial slices of one person, and the whole head, in which scales are found.

    truth : by sequence, free of noise, one gain; of the slab
    shown : by sequence, as scanned; of the whole head
    brain : 0 or 1; T1, T2 : (i, j, k) ms; of the slab
    pure : by tissue of TISSUES, (i, j, k) bool: voxels that like all around them hold nothing else
    axial : which slices of the head the slab is
    medians, levels : of `shown`, in the whole brain (`scale.percentiles`)
    """

    name: str
    truth: dict[str, Volume]
    shown: dict[str, Volume]
    brain: Volume
    T1: np.ndarray
    T2: np.ndarray
    pure: dict[str, np.ndarray]
    axial: slice
    medians: dict[str, float]
    levels: dict[str, np.ndarray]

    @property
    def inside(self) -> np.ndarray:
        return self.brain.voxels > 0

    def seen(self, name: str) -> Volume:
        """The slab as scanned."""
        return cut(self.shown[name], self.axial)


def slabs(
    maps: Sequence[Path], sequences: Mapping[str, MRSequence], scanned: Sequence[str], slices: int, count: int
) -> Iterator[Slab]:
    """The middle of the head of each label map, or of `count` variations of ICBM152 without any."""
    for number in range(len(maps) or count):
        anatomy = from_labels(_upright(read(maps[number]))) if maps else _variation(number)
        name = stem(maps[number]) if maps else f"ICBM152 variation {number + 1}"
        yield _slab(name, simulate_subject(anatomy, sequences, number), scanned, slices, number)


def cut(volume: Volume, levels: slice) -> Volume:
    """Some slices of a volume whose axes lie along R, A and S."""
    a, b, _ = volume.voxels.shape
    affine = volume.grid.crop((0, 0, levels.start), (a, b, levels.stop)).affine
    return replace(volume, voxels=np.ascontiguousarray(volume.voxels[..., levels]), affine=affine)


def _variation(number: int) -> Anatomy:
    return icbm().varied(np.random.default_rng([number, 1]))


def _upright(volume: Volume) -> Volume:
    """The same voxels with axes along R, A and S, as the models work on them."""
    order = [int(np.abs(volume.affine[world, :3]).argmax()) for world in range(3)]
    voxels, affine = volume.voxels.transpose(order), volume.affine[:, [*order, 3]]
    for axis in range(3):
        if affine[axis, axis] < 0:
            voxels = np.flip(voxels, axis)
            affine[:3, 3] += affine[:3, axis] * (voxels.shape[axis] - 1)
            affine[:3, axis] *= -1
    return Volume(np.ascontiguousarray(voxels), affine, volume.name)


def _slab(name: str, subject: Subject, scanned: Sequence[str], slices: int, number: int) -> Slab:
    rng = np.random.default_rng([number, 2])
    labels = np.rint(subject.labels.voxels).astype(int)
    tight = (subject.brain.voxels > 0) & (labels != FLUID_AROUND)
    brain = Volume(tight.astype(np.float32), subject.brain.affine, "the brain")
    areas = tight.sum((0, 1))
    first = max(int(np.average(np.arange(len(areas)), weights=areas)) - slices // 2, 0)
    levels = slice(first, min(first + slices, len(areas)))
    tissue = TISSUE_OF_LABEL[labels]
    shown = {key: as_scanned(subject.volumes[key], brain, rng) for key in scanned}
    return Slab(
        name,
        {key: cut(volume, levels) for key, volume in subject.volumes.items()},
        shown,
        cut(brain, levels),
        subject.maps["T1map"].voxels[..., levels],
        subject.maps["T2map"].voxels[..., levels],
        {each: (_inner(tissue == INDEX[each]) & tight)[..., levels] for each in TISSUES},
        levels,
        {key: float(np.median(volume.voxels[tight])) for key, volume in shown.items()},
        {key: percentiles(volume.voxels, tight) for key, volume in shown.items()},
    )


def _inner(mask: np.ndarray) -> np.ndarray:
    """Voxels of `mask` none of whose 26 neighbours lies outside it."""
    inner = mask.copy()
    for axis in range(3):
        inner &= np.roll(inner, 1, axis) & np.roll(inner, -1, axis)
    return inner
