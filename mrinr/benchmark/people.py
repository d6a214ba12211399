"""People that no model was trained on: simulated from label maps or the ICBM152 anatomy, or real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.intensity import foreground_mask
from mrinr.itk import resample
from mrinr.registration import align
from mrinr.simulation import Anatomy, from_labels, icbm, rotation, simulate_subject
from mrinr.simulation.corruption import bias_field, rician
from mrinr.simulation.labels import TISSUE_OF_LABEL
from mrinr.simulation.sequences import SEQUENCES
from mrinr.simulation.signal import Sequence as MRSequence
from mrinr.simulation.tissue import ALL_TISSUES
from mrinr.synthesis import INPUTS
from mrinr.training.folders import Subject
from mrinr.training.patient import load
from mrinr.training.sources import Source, stem
from mrinr.volume import Stack, Volume, read

SLAB = 15  # slices that a small benchmark looks at; fine-tuning keeps some of 15 apart
BIAS, NOISE = 0.1, 1 / 40  # of what a model is shown; noise as a fraction of the brain's median
DEGREES, VOXELS = 8.0, 2.0  # misalignment, about and along each axis (Joyce 2017, section 5.3)
DISEASES = ("stroke", "tumour", "ms")  # in turn
# Another hospital, for fine-tuning: its T2 is none that a model was trained to make.
OTHER = {"T1": SEQUENCES["MPRAGE"], "T2": MRSequence(TR=2500, TE=60, echo_train=8)}


@dataclass(eq=False)
class Person:
    """One person; everything on one grid.

    truth, shown : by sequence, free of noise and as scanned
    misaligned : T1 as scanned, moved by up to DEGREES and VOXELS, which its header does not say; or None
    registered : the same, brought back onto the DWI by rigid registration of the whole heads; or None
    other : by sequence, scans of another hospital; those of a real person are `shown`
    lesions : None where there are none
    tissue : (i, j, k) index into ALL_TISSUES; None where nobody knows
    """

    name: str
    truth: dict[str, Volume]
    shown: dict[str, Volume]
    misaligned: Volume | None
    registered: Volume | None
    other: dict[str, Volume]
    brain: Volume
    lesions: Volume | None
    tissue: np.ndarray | None


Draw = Callable[[], Person]
Corner = tuple[int, int, int]


def people(source: Source | None, small: bool, count: int) -> list[Draw]:
    """How to draw each person of `source`, or without it `count` variations of ICBM152.

    A small benchmark looks at `count` people at most, at a slab of each, and keeps them.
    """
    slab = SLAB if small else None
    made: list[Draw]
    if source is None:
        made = [partial(simulated, f"ICBM152 variation {n + 1}", None, n, slab) for n in range(count)]
    else:
        made = [partial(simulated, stem(path), path, n, slab) for n, path in enumerate(source.maps)]
        made += [partial(real, subject, n, slab) for n, subject in enumerate(source.subjects)]
    return [cache(draw) for draw in made[:count]] if small else made


def simulated(name: str, path: Path | None, number: int, slab: int | None) -> Person:
    """A person with disease, with the head of a label map, or without it with a variation of ICBM152."""
    anatomy = _anatomy(path, number)
    there = {name: SEQUENCES[name] for name in INPUTS} | {f"other {n}": s for n, s in OTHER.items()}
    found = simulate_subject(anatomy, there, number, DISEASES[number % len(DISEASES)])
    tissue = TISSUE_OF_LABEL[np.rint(found.labels.voxels).astype(int)]
    volumes = {name: replace(volume, name=name) for name, volume in found.volumes.items()}
    return _person(name, volumes, found.brain, found.lesions, number, slab, tissue)


def _anatomy(path: Path | None, number: int) -> Anatomy:
    if path is not None:
        return from_labels(read(path))
    return icbm().varied(np.random.default_rng([number, 1]))


def real(subject: Subject, number: int, slab: int | None) -> Person:
    """A real person in the models' working space; scans are taken as they are, noise and all."""
    patient = load(subject, set(INPUTS))
    volumes = {
        name: Volume(image.astype(np.float32), np.eye(4), name) for name, image in patient.images.items()
    }
    brain, lesions = (Volume(m.astype(np.float32), np.eye(4), "") for m in (patient.brain, patient.lesions))
    return _person(subject.name, volumes, brain, lesions, number, slab, None)


def _person(
    name: str,
    volumes: dict[str, Volume],
    brain: Volume,
    lesions: Volume,
    number: int,
    slab: int | None,
    tissue: np.ndarray | None,
) -> Person:
    rng = np.random.default_rng([number, 2])
    moved = _misaligned(volumes["T1"], rng) if "T1" in volumes else None
    back = _registered(volumes["DWI"], moved) if moved is not None and "DWI" in volumes else None
    low, high = _slab(brain, lesions, slab)
    box = tuple(map(slice, low, high))

    def cut(volume: Volume) -> Volume:
        return replace(volume, voxels=volume.voxels[box], affine=volume.grid.crop(low, high).affine)

    brain, lesions = replace(cut(brain), name="the brain"), cut(lesions)
    truth = {key: cut(volume) for key, volume in volumes.items() if not key.startswith("other ")}

    def scanned(volume: Volume) -> Volume:
        return volume if tissue is None else as_scanned(volume, brain, rng)

    shown = {key: scanned(volume) for key, volume in truth.items()}
    other = {key[6:]: scanned(cut(v)) for key, v in volumes.items() if key.startswith("other ")}
    wrong = None if moved is None else scanned(cut(moved))
    return Person(
        name,
        truth,
        shown,
        wrong,
        None if back is None else scanned(cut(back)),
        other or shown,
        brain,
        lesions if lesions.voxels.any() else None,
        None if tissue is None else tissue[box],
    )


def as_scanned(volume: Volume, brain: Volume, rng: np.random.Generator) -> Volume:
    """With the coil's bias and noise."""
    image = volume.voxels * bias_field(volume.voxels.shape, rng, BIAS)
    sigma = NOISE * float(np.median(image[brain.voxels > 0]))
    return volume.with_voxels(rician(image.astype(np.float32), sigma, rng))


def _misaligned(volume: Volume, rng: np.random.Generator) -> Volume:
    """Turned and shifted within its grid about the middle of the head."""
    inside = np.argwhere(foreground_mask(volume))
    middle = volume.grid.world(inside.mean(0)[None])[0]
    degrees, shift = rng.uniform(-DEGREES, DEGREES, 3), rng.uniform(-VOXELS, VOXELS, 3)
    a, b, c = (float(x) for x in degrees)
    turn = rotation((a, b, c))
    turn[:3, 3] = middle - turn[:3, :3] @ middle + shift * volume.spacing
    return resample(volume.moved(turn), volume.grid)


def _registered(still: Volume, moved: Volume) -> Volume:
    stacks, _ = align([Stack(still, "DWI"), Stack(moved, "T1")], Context())
    return resample(stacks[1].volume, still.grid)


def _slab(brain: Volume, lesions: Volume, slices: int | None) -> tuple[Corner, Corner]:
    """Everything, or so many axial slices around where most lesion is, or most brain: low <= index < high."""
    low, high = [0, 0, 0], list(brain.voxels.shape)
    if slices is not None:
        axis = int(np.abs(brain.affine[2, :3]).argmax())
        mask = lesions.voxels if lesions.voxels.any() else brain.voxels
        others = tuple(a for a in range(3) if a != axis)
        middle = int((mask > 0).sum(others).argmax())
        low[axis] = int(np.clip(middle - slices // 2, 0, max(high[axis] - slices, 0)))
        high[axis] = min(low[axis] + slices, high[axis])
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def groups(person: Person) -> dict[str, np.ndarray]:
    """Masks (i, j, k) of the brain, of its tissues where they are known, and of its lesions."""
    brain = person.brain.voxels > 0
    found = {"brain": brain}
    sick = np.zeros_like(brain) if person.lesions is None else person.lesions.voxels > 0
    if person.tissue is not None:
        for n in np.unique(person.tissue[brain]):
            found[ALL_TISSUES[n]] = brain & ~sick & (person.tissue == n)
    return {**found, "lesions": sick}


def those_named(source: Source, names: Sequence[str], trained_on: str) -> Source:
    """The people to test on: those in `names`, else those that a model's card does not name.

    Raises InputError where that is nobody.
    """
    if names:
        unknown = [name for name in names if name not in source.names]
        if unknown:
            raise InputError(f"There is no '{unknown[0]}' in the data; there are {', '.join(source.names)}.")
    else:
        names = [name for name in source.names if not named_in(name, trained_on)]
    maps = tuple(path for path in source.maps if stem(path) in names)
    subjects = tuple(s for s in source.subjects if {s.name, s.person} & set(names))
    if not maps and not subjects:
        raise InputError("The model was trained on everybody in the data; give others with --data.")
    return Source(maps, subjects, source.licence)


def named_in(name: str, trained_on: str) -> bool:
    """Whether a model's card names that person."""
    return name in trained_on.replace(",", " ").replace("(", " ").replace(")", " ").split()
