"""Contrast representation learning (CRL, MICCAI 2024): every sequence from every other, and physics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from mrinr import bundles
from mrinr.benchmark import crl_physics as physics
from mrinr.benchmark import crl_tables as tables
from mrinr.benchmark.crl_people import Slab, slabs
from mrinr.benchmark.people import those_named
from mrinr.benchmark.sheets import results
from mrinr.bundles import Bundle
from mrinr.context import Context
from mrinr.contrast import MODEL
from mrinr.contrast.encoded import Encoded, encode_head
from mrinr.contrast.network import ContrastRepresentation
from mrinr.contrast.reference import TOP, Lookup
from mrinr.contrast.scale import scale
from mrinr.metrics import PROTOCOLS, _floors, psnr, ssim
from mrinr.simulation.sequences import GROUPS, SEQUENCES
from mrinr.simulation.signal import Sequence as MRSequence
from mrinr.synthesis.calibration import calibrated
from mrinr.synthesis.head import Head
from mrinr.synthesis.prediction import BRIGHTEST
from mrinr.training.contrast_sequences import UNSEEN, nearest
from mrinr.training.sources import find_sources

NINE = {name: SEQUENCES[name] for name in GROUPS["crl"]}
PAIRS = (("CRL1", "CRL7"), ("CRL5", "CRL7"), ("CRL7", "CRL9"))
SLICES, SMALL_SLICES = 40, 8
APART = 8  # voxels between two that are looked up in several sources
PEOPLE, SMALL_PEOPLE = 8, 4


@dataclass
class Findings:
    """Scores: `rows` for each person, model, sources and target; `physics` for each person and model."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    physics: list[dict[str, Any]] = field(default_factory=list)


def run(
    data: Path | None,
    small: bool,
    context: Context,
    subjects: Sequence[str] = (),
    models: Sequence[str] = (),
) -> dict[str, Any]:
    """The paper's Tables 2 and 3 on people that no model has seen, beside floors and the reference.

    Parameters
    ----------
    data : folder of label maps; None varies the ICBM152 anatomy
    small : `SMALL_SLICES` axial slices of each person
    subjects : names of label maps; none for all that the first model's card does not name
    models : names or folders; none for the one that ships
    """
    chosen = [bundles.find(name) for name in models or [MODEL]]
    source = None
    if data is not None:
        trained_on = chosen[0].facts["training"]["data"]
        source = those_named(find_sources([data], []), subjects, trained_on)
    near = {f"near {name}": nearest(name) for name in UNSEEN}
    played = {**NINE, **near}
    slices, count = (SMALL_SLICES, SMALL_PEOPLE) if small else (SLICES, PEOPLE)
    maps = source.maps if source else ()
    count = len(maps) or count
    found = Findings()
    for n, person in enumerate(slabs(maps, played, list(NINE), slices, count)):
        context.progress(n / count, f"Person {n + 1} of {count}")
        one_person(person, chosen, played, found, context.quiet())
    described = source.described if source else f"{count} variations of ICBM152"
    first = chosen[0]
    remarks = [
        f"Models: {', '.join(b.name for b in chosen)}; {first.name} was trained on "
        f"{first.facts['training']['data']}, {first.facts['training']['steps']} steps.",
        f"{slices} axial slices of each of {count} people, healthy; sources with noise (1/40 of the "
        "brain's median) and shading, targets without; gains from the source's percentiles in the brain.",
        "PSNR and SSIM in the brain (the simulator's mask), range: the truth's 99.9th percentile there; "
        "means over people.",
        "Floors are fitted to the truth itself: the source scaled (identity), the linear fit. The voxel-wise "
        "reference is the mean target of the most similar simulated voxels of other people (k chosen on yet "
        "others); it is no bound.",
    ]
    return results(
        "crl",
        "Contrast representation learning",
        "one encoder of any sequence's image and times gives every other sequence, two of nine never shown "
        "(CRL, MICCAI 2024, Tables 2 and 3; ten healthy people at 3 T, images min-max scaled).",
        described,
        tables.sheets(found.rows, found.physics, near),
        tables.claims(found.rows, found.physics),
        remarks,
        scores=found.rows,
        physics=found.physics,
    )


def one_person(
    person: Slab,
    chosen: Sequence[Bundle],
    played: Mapping[str, MRSequence],
    found: Findings,
    context: Context,
) -> None:
    """Every target from every source; of the first model also from pairs, and its physics."""
    both_ways = [order for a, b in PAIRS for order in ((a, b), (b, a))]
    combinations: list[tuple[str, ...]] = [*((name,) for name in NINE), *both_ways]
    for bundle in chosen:
        network = cast(ContrastRepresentation, bundle.network())
        for names in combinations:
            if len(names) > 1 and bundle is not chosen[0]:
                continue
            encoded = seen_by(network, person, names, context)
            for target in played:
                if len(names) == 1 or (target in NINE and target not in names):
                    row = score(person, network, bundle, encoded, names, target, played[target])
                    found.rows.append(row)
            if bundle is chosen[0] and names == (physics.SOURCE,):
                found.physics.append(physics.measure(person, network, encoded))


def seen_by(
    network: ContrastRepresentation,
    person: Slab,
    names: Sequence[str],
    context: Context,
) -> Encoded:
    """The slab encoded, with the scales of the whole head."""
    images, medians, levels = {}, {}, {}
    for n, name in enumerate(names):
        unit = medians[str(n)] = person.medians[name]
        images[str(n)] = np.minimum(person.seen(name).voxels / unit, BRIGHTEST).astype(np.float32)
        levels[str(n)] = person.levels[name] / unit
    slab = Head(person.brain.grid, images, medians, person.inside, person.inside)
    return encode_head(network, slab, [NINE[name] for name in names], context, levels)


def score(
    person: Slab,
    network: ContrastRepresentation,
    bundle: Bundle,
    encoded: Encoded,
    names: Sequence[str],
    target: str,
    played: MRSequence,
) -> dict[str, Any]:
    """One target: the model, and in the same brain floors and the voxel-wise reference."""
    mean, raw = encoded.decode(network, played)
    image = encoded.gain * encoded.filled(mean)
    half = encoded.gain * encoded.filled(calibrated(raw, bundle.facts["calibration"].get("any")))
    truth, brain = person.truth[target].voxels, person.inside
    top = PROTOCOLS["honest"](truth, image, brain)[2]
    shown = [person.seen(name) for name in names]
    fitted = _floors(person.truth[target], brain, shown)
    papers = PROTOCOLS["crl"](truth * brain, image * brain, brain)
    return {
        "person": person.name,
        "model": bundle.name,
        "sources": list(names),
        "target": target,
        "psnr": psnr(truth, image, brain, top),
        "ssim": ssim(truth * brain, image * brain, brain, top),
        "papers": psnr(papers[0], papers[1], None, papers[2]),
        "reference": reference(person, tuple(sorted(names)), target, played),
        "identity": psnr(truth, fitted["identity"], brain, top),
        "linear": psnr(truth, fitted["linear"], brain, top),
        "coverage": 100 * float((np.abs(image - truth) <= half)[brain].mean()),
    }


@lru_cache(300)
def reference(person: Slab, names: tuple[str, ...], target: str, played: MRSequence) -> float:
    """PSNR of the voxel-wise reference; of some voxels where several sources are searched through."""
    truth = person.truth[target].voxels[person.inside]
    gains = [scale(person.levels[name], NINE[name]).gain for name in names]
    known = [person.seen(name).voxels[person.inside] / one for name, one in zip(names, gains, strict=True)]
    some = slice(None, None, 1 if len(names) == 1 else APART)
    found = lookup(names, played)(np.stack(known, 1)[some]) * gains[0]
    return psnr(truth[some], found, None, max(float(np.percentile(truth, TOP)), 1e-6))


@cache
def lookup(names: tuple[str, ...], target: MRSequence) -> Lookup:
    return Lookup([NINE[name] for name in names], target)
