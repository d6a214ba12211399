"""What the contrast benchmark measures on one person, and what its models cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
import torch

from mrinr.benchmark import crl_physics as physics
from mrinr.benchmark import crl_rivals as rivals
from mrinr.benchmark.costs import Cost, cost
from mrinr.benchmark.crl_people import BOTH_THICK, FROM_THICK, Slab, interpolated
from mrinr.benchmark.crl_score import gain, measured
from mrinr.bundles import Bundle
from mrinr.context import Context
from mrinr.contrast.encoded import Encoded, encode_head
from mrinr.contrast.network import ContrastRepresentation
from mrinr.simulation.sequences import GROUPS, SEQUENCES
from mrinr.simulation.signal import Sequence as MRSequence
from mrinr.synthesis.calibration import calibrated
from mrinr.synthesis.head import Head
from mrinr.synthesis.prediction import BRIGHTEST
from mrinr.training.kinds import KINDS

NINE = {name: SEQUENCES[name] for name in GROUPS["crl"]}
PAIRS = (("CRL1", "CRL7"), ("CRL5", "CRL7"), ("CRL7", "CRL9"))
PICTURED = "CRL7"  # source of the figure
PAPERS_NETWORK = "the paper's network"
PATCH = 64  # pixels along each side of what is timed: the paper's network is slow on a whole slice


@dataclass
class Findings:
    """Scores by person, model, sources and target.

    rows : each source and target, and pairs of sources; rivals : the directions of Table 2
    thick : the first model in slices of 6.5 mm; physics : of each person
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    rivals: list[dict[str, Any]] = field(default_factory=list)
    thick: list[dict[str, Any]] = field(default_factory=list)
    physics: list[dict[str, Any]] = field(default_factory=list)
    costs: dict[str, Cost] = field(default_factory=dict)


def one_person(
    person: Slab,
    chosen: Sequence[Bundle],
    trained: rivals.Rivals,
    found: Findings,
    context: Context,
) -> None:
    """Every target from every source; of the first model also pairs, thick slices and physics; rivals."""
    played = person.times
    both_ways = [order for a, b in PAIRS for order in ((a, b), (b, a))]
    combinations: list[tuple[str, ...]] = [*((name,) for name in NINE), *both_ways]
    for bundle in chosen:
        model = cast(ContrastRepresentation, bundle.network())
        for names in combinations:
            if len(names) > 1 and bundle is not chosen[0]:
                continue
            encoded = seen_by(model, person, names, context)
            for target in played:
                if person.real and target in names:
                    continue  # the truth has been given
                if len(names) == 1 or (target in NINE and target not in names):
                    row = score(person, model, bundle, encoded, names, target, played[target])
                    found.rows.append(row)
            if bundle is chosen[0] and names in ((physics.SOURCE,), physics.BOTH) and person.pure:
                obeyed = physics.measure(person, model, encoded)
                found.physics.append({"sources": list(names), **obeyed})
        if bundle is chosen[0] and person.thick is not None:
            found.thick += _thick(person, model, bundle, context)
    for (kind, source, target), network in trained.items():
        found.rivals.append({"model": kind, **_rival(person, network, source, target)})


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
    return encode_head(network, slab, [person.times[name] for name in names], context, levels)


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
    factor, brain = gain(person, target, image), person.inside
    error = np.abs(factor * image - person.truth[target].voxels)
    return {
        "model": bundle.name,
        **measured(person, factor * image, names, target, played),
        "coverage": 100 * float((error <= factor * half)[brain].mean()),
    }


def _thick(
    person: Slab, network: ContrastRepresentation, bundle: Bundle, context: Context
) -> Iterator[dict[str, Any]]:
    """The directions of Table 2 where the source has slices of 6.5 mm."""
    assert person.thick is not None
    for label, seen in ((BOTH_THICK, person.thick), (FROM_THICK, interpolated(person))):
        for source in rivals.SOURCES:
            encoded = seen_by(network, seen, (source,), context)
            for start, target in rivals.DIRECTIONS.values():
                if start == source:
                    played = person.times[target]
                    row = score(seen, network, bundle, encoded, (source,), target, played)
                    yield {**row, "slices": label}


def _rival(person: Slab, network: Any, source: str, target: str) -> dict[str, Any]:
    image = rivals.predicted(network, person, source, target)
    return measured(person, gain(person, target, image) * image, (source,), target, person.times[target])


def pictured(person: Slab, bundle: Bundle, context: Context) -> dict[str, np.ndarray]:
    """Every sequence made from `PICTURED`, (i, j, k) of the slab."""
    network = cast(ContrastRepresentation, bundle.network())
    encoded = seen_by(network, person, (PICTURED,), context)
    made = {}
    for target in NINE:
        image = encoded.gain * encoded.filled(encoded.decode(network, person.times[target])[0])
        made[target] = gain(person, target, image) * image
    return made


def costs(chosen: Sequence[Bundle]) -> dict[str, Cost]:
    """Of encoding a patch and decoding it once, by model; the first is the paper's network, untrained."""
    preset, _ = KINDS["crl"].of("paper")
    torch.manual_seed(0)
    networks = {PAPERS_NETWORK: ContrastRepresentation(**preset).eval()}
    networks |= {b.name: cast(ContrastRepresentation, b.network()) for b in chosen}
    image, times = torch.rand(1, 1, PATCH, PATCH), torch.tensor([[8142.0, 104.2, 0.0]])

    def run(network: ContrastRepresentation) -> None:
        network.decode(network.encode(image, times), times)

    return {name: cost(network, partial(run, network)) for name, network in networks.items()}
