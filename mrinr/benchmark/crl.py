"""Contrast representation learning (CRL, MICCAI 2024): every sequence from every other, and physics."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mrinr import bundles
from mrinr.benchmark import crl_rivals as rivals
from mrinr.benchmark import crl_scans as scans
from mrinr.benchmark import crl_tables as tables
from mrinr.benchmark import extras
from mrinr.benchmark.crl_figure import figure
from mrinr.benchmark.crl_measure import NINE, PICTURED, Findings, costs, one_person, pictured, seen_by
from mrinr.benchmark.crl_people import Slab, slabs
from mrinr.benchmark.crl_score import reference
from mrinr.benchmark.people import those_named
from mrinr.benchmark.sheets import results
from mrinr.bundles import Bundle
from mrinr.context import Context
from mrinr.contrast import MODEL
from mrinr.errors import InputError
from mrinr.simulation.signal import Sequence as MRSequence
from mrinr.training.contrast_sequences import UNSEEN, nearest
from mrinr.training.sources import Source, find_sources, stem

__all__ = ["reference", "run", "seen_by"]

NEAR = {f"near {name}": name for name in UNSEEN}


@dataclass(frozen=True)
class Size:
    """slices : of each person; people : of those simulated from ICBM152; rivals : see `crl_rivals`"""

    slices: int
    people: int
    rivals: rivals.Size


SIZES = {
    "small": Size(6, 4, rivals.Size(200, 50, 4, (96, 96), 16, 16, 4, 8)),
    "full": Size(40, 8, rivals.Size(2_000, None, 4, (128, 128), 32, 32, 9, 32)),
}
PART = 5  # of the real people this part is tested, the others train the rivals: the paper's 8 and 2


@dataclass(frozen=True)
class People:
    """tested : one after the other; count : how many; described : in words

    maps, pupils : label maps or real people whom the rivals are trained on, if any
    """

    tested: Iterator[Slab]
    count: int
    described: str
    maps: Sequence[Path] = ()
    pupils: Sequence[Slab] = ()
    real: bool = False


def run(
    data: Path | None,
    small: bool,
    context: Context,
    out: Path,
    subjects: Sequence[str] = (),
    models: Sequence[str] = (),
) -> dict[str, Any]:
    """The paper's Tables 2 and 3 on people that no model has seen, beside floors, the reference and rivals.

    Parameters
    ----------
    data : folder of label maps, or of real people with the nine sequences each (see `crl_scans`); None varies
        the ICBM152 anatomy
    small : few axial slices of each person, rivals of few steps
    out : gets crl.png
    subjects : names of those tested; none for all label maps that the first model's card does not name, or a
        fifth of the real people
    models : names or folders; none for the one that ships
    """
    chosen = [bundles.find(name) for name in models or [MODEL]]
    size = SIZES["small" if small else "full"]
    near = {key: nearest(name) for key, name in NEAR.items()}
    people = _people(data, subjects, chosen[0], size, near, context.stage(0, 0.1))
    found = Findings()
    with tempfile.TemporaryDirectory() as folder:
        part = context.stage(0.1, 0.5)
        trained: rivals.Rivals = {}
        if people.maps or people.pupils:
            times = people.pupils[0].times if people.pupils else NINE
            trained = rivals.trained(people.maps, people.pupils, times, size.rivals, Path(folder), part)
    for n, person in enumerate(people.tested):
        context.progress(0.5 + 0.5 * n / people.count, f"Person {n + 1} of {people.count}")
        one_person(person, chosen, trained, found, context.quiet())
        if not n:
            made = pictured(person, chosen[0], context.quiet())
            figure(person, PICTURED, made).save(out / "crl.png", optimize=True)
    found.costs = costs(chosen)
    return results(
        "crl",
        "Contrast representation learning",
        "one encoder of any sequence's image and times gives every other sequence, two of nine never shown, "
        "better than networks trained for one direction each (CRL, MICCAI 2024, Tables 2 and 3; ten healthy "
        "people at 3 T, images min-max scaled).",
        people.described,
        tables.sheets(found, near),
        tables.claims(found),
        _remarks(people, size, chosen),
        scores=found.rows,
        rivals=found.rivals,
        thick=found.thick,
        physics=found.physics,
        pictures={
            "crl.png": f"{PICTURED} of the first person to all nine sequences by {chosen[0].name} (above), "
            "and the truth (below), middle slice; brain PSNR; * never shown in training."
        },
    )


def _people(
    data: Path | None,
    subjects: Sequence[str],
    model: Bundle,
    size: Size,
    near: Mapping[str, MRSequence],
    context: Context,
) -> People:
    """Who is tested, and who is left for the rivals."""
    there = [] if data is None else scans.find(data)
    if there:
        names = list(subjects) or _a_part([each.name for each in there])
        unknown = set(names) - {each.name for each in there}
        if unknown:
            raise InputError(f"There is no '{min(unknown)}' among those who have all nine sequences.")
        tested = [each for each in there if each.name in names]
        others = [each for each in there if each.name not in names]
        if others:
            extras.check(extras.TRAINING)
        pupils = [scans.load(each, None, context) for each in others]
        slabs_of = (scans.load(each, size.slices, context) for each in tested)
        described = f"{len(there)} real people with nine sequences; {len(tested)} tested ({', '.join(names)})"
        return People(slabs_of, len(tested), described, pupils=pupils, real=True)
    source = None
    if data is not None:
        source = those_named(find_sources([data], []), subjects, model.facts["training"]["data"])
        if not source.maps:
            raise InputError(
                f"{data} holds neither label maps nor people with the paper's nine sequences (CRL1.nii.gz to "
                "CRL9.nii.gz in a folder for each); the times of other scans are not known."
            )
        source = Source(source.maps)
    maps = source.maps if source else ()
    made = slabs(maps, {**NINE, **near}, list(NINE), size.slices, len(maps) or size.people, rivals.USED)
    if source is None:
        return People(made, size.people, f"{size.people} variations of ICBM152")
    try:
        left = find_sources([Path(str(data))], [stem(path) for path in maps]).maps
    except InputError:
        left = ()
    if left:
        extras.check(extras.TRAINING)
    return People(made, len(maps), source.described, maps=left)


def _a_part(names: Sequence[str]) -> list[str]:
    order = np.random.default_rng(0).permutation(len(names))
    return sorted(names[n] for n in order[: max(len(names) // PART, 1)])


def _remarks(people: People, size: Size, chosen: Sequence[Bundle]) -> list[str]:
    first = chosen[0]
    said = [
        f"Models: {', '.join(b.name for b in chosen)}; {first.name} was trained on "
        f"{first.facts['training']['data']}, {first.facts['training']['steps']} steps.",
        "PSNR and SSIM in the brain, range: the truth's 99.9th percentile there; means over people.",
        "Floors are fitted to the truth itself: the source scaled (identity), the linear fit. The voxel-wise "
        "reference is the mean target of the most similar simulated voxels of other people (k chosen on yet "
        "others); it is no bound.",
    ]
    if people.real:
        said.append(
            f"{size.slices} axial slices at most of each person, aligned, shading removed (N4). Nobody knows "
            "the gains: every image is multiplied by the factor that fits the truth best; the paper's "
            "min-max scaling stands beside."
        )
    else:
        said.append(
            f"{size.slices} axial slices of each person, healthy; the brain is the simulator's; sources with "
            "noise (1/40 of the brain's median) and shading, targets without; gains from the source's "
            "percentiles in the brain."
        )
    if people.maps or people.pupils:
        count, r = len(people.maps or people.pupils), size.rivals
        who = "label map" if people.maps else "real person"
        who = f"{count} {who}" if count == 1 else f"{count} {'label maps' if people.maps else 'real people'}"
        said.append(
            f"Rivals: trained here on {who} not tested, one network for each direction, {r.steps} "
            f"steps of {r.batch} crops of {r.crop[0]}x{r.crop[1]}, L1 and the same discriminator; pix2pix "
            f"{r.unet} wide; ResNet, the generator of pGAN without its perceptual loss, {r.resnet} wide with "
            f"{r.blocks} blocks (the papers': 64 wide, 9 blocks, 100 epochs)."
        )
    else:
        said.append("No rivals: nobody is left to train them on; give more people with --data.")
    return said
