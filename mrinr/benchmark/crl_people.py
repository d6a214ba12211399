"""People for the contrast benchmark: slabs of simulated heads, every sequence at one gain.

Each also as the paper's scanner saw its people: in slices 6.5 mm thick, which touch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mrinr.benchmark.people import as_scanned
from mrinr.contrast.scale import percentiles
from mrinr.degrade import degrade
from mrinr.itk import resample
from mrinr.simulation import Anatomy, from_labels, icbm, simulate_subject
from mrinr.simulation.labels import TISSUE_OF_LABEL
from mrinr.simulation.signal import Sequence as MRSequence
from mrinr.simulation.subject import Subject
from mrinr.simulation.tissue import INDEX
from mrinr.training.sources import stem
from mrinr.volume import Volume, read

TISSUES = ("white matter", "CSF")
FLUID_AROUND = 24  # FreeSurfer's number; the mask is that of `mrinr.simulation.heads`, without it
THICK = 6.5  # mm, the paper's slices
BOTH_THICK, FROM_THICK = f"{THICK:g} mm", f"{THICK:g} to 1 mm"  # source and target
NOTHING = np.zeros(0, np.float32)


@dataclass(eq=False)
class Slab:
    """Some axial slices of one person, and the whole head, in which scales are found.

    truth : by sequence, free of noise, one gain; of the slab. Of a real person what was scanned
    shown : by sequence, as scanned; of the whole head
    times : what was played, by sequence
    brain : 0 or 1; of the slab
    axial : which slices of the head the slab is
    medians, levels : of `shown`, in the whole brain (`scale.percentiles`)
    T1, T2 : (i, j, k) ms; of the slab; empty where nobody knows
    pure : by tissue of TISSUES, (i, j, k) bool: voxels that like all around them hold nothing else
    thick : the same person in slices of THICK mm
    real : whether all gains are unknown
    """

    name: str
    truth: dict[str, Volume]
    shown: dict[str, Volume]
    times: Mapping[str, MRSequence]
    brain: Volume
    axial: slice
    medians: dict[str, float]
    levels: dict[str, np.ndarray]
    T1: np.ndarray = field(default_factory=lambda: NOTHING)
    T2: np.ndarray = field(default_factory=lambda: NOTHING)
    pure: dict[str, np.ndarray] = field(default_factory=dict)
    thick: Slab | None = None
    real: bool = False

    @property
    def inside(self) -> np.ndarray:
        return self.brain.voxels > 0

    def seen(self, name: str) -> Volume:
        """The slab as scanned."""
        return cut(self.shown[name], self.axial)


def slabs(
    maps: Sequence[Path],
    sequences: Mapping[str, MRSequence],
    scanned: Sequence[str],
    slices: int,
    count: int,
    thick: Sequence[str] = (),
) -> Iterator[Slab]:
    """The middle of the head of each label map, or of `count` variations of ICBM152 without any.

    scanned : sequences that are shown; thick : those that are scanned in thick slices, too
    """
    for number in range(len(maps) or count):
        anatomy = from_labels(_upright(read(maps[number]))) if maps else _variation(number)
        name = stem(maps[number]) if maps else f"ICBM152 variation {number + 1}"
        yield _simulated(name, simulate_subject(anatomy, sequences, number), scanned, slices, number, thick)


def interpolated(person: Slab) -> Slab:
    """The person's thin slices, of whom only the thick ones were scanned; linear between their middles."""
    assert person.thick is not None
    grid = next(iter(person.shown.values())).grid
    coarse = person.thick
    shown = {name: resample(_continued(volume), grid) for name, volume in coarse.shown.items()}
    return replace(person, shown=shown, medians=coarse.medians, levels=coarse.levels, thick=None)


def _continued(volume: Volume) -> Volume:
    """With its first and last slices once more, beyond whose middles nothing could be interpolated."""
    affine = volume.affine.copy()
    affine[:3, 3] -= affine[:3, 2]
    return replace(volume, voxels=np.pad(volume.voxels, ((0, 0), (0, 0), (1, 1)), mode="edge"), affine=affine)


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


def slab(
    name: str,
    truth: Mapping[str, Volume],
    shown: Mapping[str, Volume],
    times: Mapping[str, MRSequence],
    brain: Volume,
    slices: int,
) -> Slab:
    """The `slices` around the middle of the brain; all volumes on one grid along R, A and S."""
    inside = brain.voxels > 0
    areas = inside.sum((0, 1))
    first = max(int(np.average(np.arange(len(areas)), weights=areas)) - slices // 2, 0)
    levels = slice(first, min(first + slices, len(areas)))
    return Slab(
        name,
        {key: cut(volume, levels) for key, volume in truth.items()},
        dict(shown),
        times,
        cut(brain, levels),
        levels,
        {key: float(np.median(volume.voxels[inside])) for key, volume in shown.items()},
        {key: percentiles(volume.voxels, inside) for key, volume in shown.items()},
    )


def _simulated(
    name: str, subject: Subject, scanned: Sequence[str], slices: int, number: int, thick: Sequence[str]
) -> Slab:
    rng = np.random.default_rng([number, 2])
    labels = np.rint(subject.labels.voxels).astype(int)
    tight = (subject.brain.voxels > 0) & (labels != FLUID_AROUND)
    brain = Volume(tight.astype(np.float32), subject.brain.affine, "the brain")
    shown = {key: as_scanned(subject.volumes[key], brain, rng) for key in scanned}
    made = slab(name, subject.volumes, shown, subject.sequences, brain, slices)
    tissue, levels = TISSUE_OF_LABEL[labels], made.axial
    made.T1, made.T2 = (subject.maps[key].voxels[..., levels] for key in ("T1map", "T2map"))
    made.pure = {each: (_inner(tissue == INDEX[each]) & tight)[..., levels] for each in TISSUES}
    if thick:
        factor = THICK / float(brain.spacing[2])
        truth = {key: degrade(subject.volumes[key], 2, factor, "slr") for key in thick}
        coarse = degrade(brain, 2, factor)
        coarse = coarse.with_voxels((coarse.voxels > 0.5).astype(np.float32))
        seen = {key: as_scanned(volume, coarse, rng) for key, volume in truth.items()}
        # As many as the slab has room for, but several.
        count = max(round(slices / factor), 4)
        made.thick = slab(name, truth, seen, subject.sequences, coarse, count)
    return made


def _inner(mask: np.ndarray) -> np.ndarray:
    """Voxels of `mask` none of whose 26 neighbours lies outside it."""
    inner = mask.copy()
    for axis in range(3):
        inner &= np.roll(inner, 1, axis) & np.roll(inner, -1, axis)
    return inner
