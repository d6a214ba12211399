"""Real people for the contrast benchmark: the paper's nine sequences of each, their times in sidecars.

A folder for each person with CRL1.nii.gz to CRL9.nii.gz (Table 1's numbers; a name may stand before, as in
sub-01_CRL3.nii.gz), beside each a BIDS sidecar with RepetitionTime, EchoTime and InversionTime in seconds;
where it says nothing the times of Table 1 hold. brain.nii.gz, where there is one, is the brain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from mrinr import bundles
from mrinr.benchmark.crl_people import Slab, slab
from mrinr.context import Context
from mrinr.contrast.parameters import sequence
from mrinr.errors import InputError
from mrinr.formats import images_in, stem
from mrinr.intensity import foreground_mask
from mrinr.itk import to_itk, voxels_of
from mrinr.simulation.sequences import GROUPS, SEQUENCES
from mrinr.simulation.signal import Sequence as MRSequence
from mrinr.synthesis.find_brain import find_brain
from mrinr.synthesis.head import BRAIN_MODEL
from mrinr.synthesis.space import onto, working_grid
from mrinr.training.folders import PARTS, role_of
from mrinr.training.patient import motions_onto_first
from mrinr.volume import Volume, check_image, read

NAME = re.compile(r"(?:.*[-_.])?(CRL[1-9])", re.IGNORECASE)
SHRUNK = 4  # voxels in plane become one while shading is estimated


@dataclass(frozen=True)
class Scans:
    """One person's files: the nine sequences by name, and the brain's mask where there is one."""

    name: str
    images: Mapping[str, Path]
    brain: Path | None


def find(folder: Path) -> list[Scans]:
    """Those who have all nine sequences, in the order of their names; none for a folder of other things.

    Raises InputError where there are such scans, but nobody has all.
    """
    groups: dict[Path, dict[str, Path]] = {}
    for path in images_in(folder) if folder.is_dir() else ():
        home = path.parent.parent if path.parent.name.lower() in PARTS else path.parent
        named = NAME.fullmatch(stem(path))
        role = named[1].upper() if named else role_of(stem(path))
        if named or role == "brain":
            groups.setdefault(home, {}).setdefault(str(role), path)
    wanted = GROUPS["crl"]
    some = {home: files for home, files in groups.items() if any(name in files for name in wanted)}
    found = [
        Scans(_called(home, folder), {name: files[name] for name in wanted}, files.get("brain"))
        for home, files in sorted(some.items())
        if all(name in files for name in wanted)
    ]
    if some and not found:
        home, files = next(iter(some.items()))
        lacking = ", ".join(name for name in wanted if name not in files)
        raise InputError(f"Nobody in {folder} has all nine sequences; {home.name} lacks {lacking}.")
    return found


def _called(home: Path, folder: Path) -> str:
    return home.relative_to(folder).as_posix() if home != folder else home.absolute().name


def load(person: Scans, slices: int | None, context: Context) -> Slab:
    """The person in the working space, aligned to CRL1's scan and freed of shading, as the paper does.

    slices : around the middle of the brain; None for all
    """
    given = {name: read(path) for name, path in person.images.items()}
    for volume in given.values():
        check_image(volume)
    times = {name: _played(volume, name) for name, volume in given.items()}
    moves = motions_onto_first(given)
    first = next(iter(given.values()))
    grid = working_grid(first.grid)
    volumes = {
        name: Volume(np.clip(onto(even(volume.moved(moves[name])), grid), 0, None), grid.affine, name)
        for name, volume in given.items()
    }
    if person.brain is None:
        finder = bundles.find(BRAIN_MODEL).network()
        images = [volume.voxels for volume in volumes.values()]
        brain = find_brain(finder, images, grid.spacing, torch.device("cpu"), context)
    else:
        mask = read(person.brain)
        brain = onto(mask.with_voxels((mask.voxels > 0.5).astype(np.float32)), grid) > 0.5
    mask = Volume(brain.astype(np.float32), grid.affine, "the brain")
    made = slab(person.name, volumes, volumes, times, mask, grid.shape[2] if slices is None else slices)
    made.real = True
    return made


def even(volume: Volume) -> Volume:
    """Without the coil's shading (Tustison, TMI 2010, N4: as the paper's ANTs)."""
    image = to_itk(volume)
    lit = sitk.GetImageFromArray(foreground_mask(volume).transpose(2, 1, 0).astype(np.uint8))
    lit.CopyInformation(image)
    factors = [SHRUNK if n >= 16 * SHRUNK else 1 for n in volume.voxels.shape]
    method = sitk.N4BiasFieldCorrectionImageFilter()
    method.SetMaximumNumberOfIterations([30, 20])
    method.Execute(sitk.Shrink(image, factors), sitk.Shrink(lit, factors))
    field = voxels_of(sitk.Exp(method.GetLogBiasFieldAsImage(image)))
    return volume.with_voxels(volume.voxels / np.maximum(field, 1e-3))


def _played(volume: Volume, name: str) -> MRSequence:
    usual, known = SEQUENCES[name], volume.meta
    if known.get("TR") is None or known.get("TE") is None:
        return usual
    return sequence(known["TR"], known["TE"], known.get("TI", 0.0), volume.name)
