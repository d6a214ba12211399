"""The learned prior where it could invent: disease of no training, spots in one contrast, one stack alone.

    python Testing/benchmarks/prior.py --maps DATA/label_maps --out Testing/benchmarks/results

What it adds on people that it never saw, part by part, is in `mrinr benchmark multi-contrast`. Label maps
head_03, head_08, head_12 and head_16 are left out of all training.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mrinr.benchmark import apart, sheets
from mrinr.benchmark.cases import Case, Head, case
from mrinr.benchmark.prior_table import FACTOR, NOISE, Planes, stacks
from mrinr.benchmark.superres_tables import brain, ranked, sheet
from mrinr.benchmark.table import Entry, compare
from mrinr.context import Context

HEADS = ("head_03", "head_08", "head_12", "head_16")
SIZE = 96  # mm, of the crops
PAIR: Planes = (("T1", "axial"), ("T2", "coronal"))
DISEASE: dict[str, tuple[Planes, tuple[int, ...]]] = {  # the pair that shows it, and in which heads
    "tumour": ((("T1ce", "axial"), ("T2", "coronal")), (0, 2)),
    "stroke": ((("DWI", "axial"), ("T1", "coronal")), (1,)),
    "ms": ((("FLAIR", "axial"), ("T1", "coronal")), (3,)),
}
TOGETHER = ("cubic", "guided", "guess + tv", "prior")
ALONE = ("cubic", "tv", "prior")
Rows = list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--maps", type=Path, required=True, help="holds " + ", ".join(HEADS))
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    start = time.process_time() + apart.seconds()
    tables, claims = [], []
    for name, (pair, numbers) in DISEASE.items():
        people = [simulated(args.maps, n, pair, name) for n in numbers]
        table, rows = measured(
            f"Disease that training never showed: {name}", people, pair, TOGETHER, "lesions"
        )
        tables.append(table)
        claims.append(no_worse(f"the {name}", rows))
    people = [with_spots(simulated(args.maps, n, PAIR, "none"), n) for n in (0, 1)]
    table, rows = measured("Spots that T1 shows and T2 does not", people, PAIR, TOGETHER, "spots")
    tables.append(table)
    claims.append(no_worse("the spots", rows))
    for contrast in ("T1", "T2"):
        alone: Planes = ((contrast, "axial"),)
        people = [simulated(args.maps, n, alone, "none") for n in range(len(HEADS))]
        table, rows = measured(f"One stack alone: {contrast}", people, alone, ALONE, "")
        tables.append(table)
        claims.append(at_least(contrast, rows))
    found = sheets.results(
        "prior",
        "The learned prior: does it invent?",
        "this is of no paper.",
        f"simulated from the label maps {', '.join(HEADS)}, which no training saw; crops of {SIZE} mm",
        tables,
        claims,
        ["Label maps are cartoons: expect smaller gains on real scans."],
    )
    found["cpu_seconds"] = round(time.process_time() + apart.seconds() - start)
    command = f"python Testing/benchmarks/prior.py --maps {args.maps}"
    (args.out / "prior.md").write_text(sheets.as_page(found, command), encoding="utf-8")
    print(sheets.as_text(found))


def simulated(maps: Path, number: int, pair: Planes, disease: str) -> Case:
    head = Head(labels=maps / f"{HEADS[number]}.nii.gz")
    return case(head, [c for c, _ in pair], SIZE, disease, number)


def with_spots(person: Case, seed: int) -> Case:
    """Spots and rings of 2 to 6 mm in T1 only; they take the place of lesions."""
    inside = person.brain.voxels > 0
    index = np.moveaxis(np.indices(inside.shape), 0, -1)
    rng, places, odd = np.random.default_rng(seed), np.argwhere(inside), np.zeros_like(inside)
    for n in range(12):
        distance = np.linalg.norm(index - places[rng.integers(len(places))], axis=-1)
        radius = rng.uniform(2, 6)
        odd |= (distance < radius) & (distance > (radius - 2 if n % 3 == 0 else -1))
    odd &= inside
    shown = person.truths["T1"]
    voxels = np.where(odd, np.percentile(shown.voxels[inside], 99), shown.voxels).astype(np.float32)
    mask = person.brain.with_voxels(odd.astype(np.float32))
    return replace(person, truths={**person.truths, "T1": shown.with_voxels(voxels)}, lesions=mask)


def measured(
    title: str, people: list[Case], pair: Planes, methods: Sequence[str], where: str
) -> tuple[sheets.Sheet, Rows]:
    """Its table; `where`: what is marked as lesions."""
    entries = [Entry(name, "row", {"row": name}, "box") for name in methods]
    reference = methods[1]
    rows, _ = compare(people, partial(stacks, pair=pair), entries, "honest", reference, Context())
    planes = ", ".join(f"{plane} {c}" for c, plane in pair)
    said = f"{planes}; box profile, k = {FACTOR}, {100 * NOISE:g} % noise; {len(people)} heads"
    said += f"; lesions: the {where}" if where else ""
    print(title, flush=True)
    return sheet(title, rows, reference, {}, said), rows


def no_worse(what: str, rows: Rows) -> sheets.Claim:
    level = brain(rows, where="lesion")
    verdict = "holds here" if level["prior"] >= level["guided"] else "does not hold here"
    why = f"PSNR (dB) there: {ranked(level)}."
    return sheets.Claim(f"Inside {what} the prior is no worse than guided", verdict, why)


def at_least(contrast: str, rows: Rows) -> sheets.Claim:
    level = brain(rows)
    verdict = "holds here" if level["prior"] >= level["cubic"] + 1 else "does not hold here"
    words = f"On one {contrast} stack alone the prior gains 1 dB over cubic"
    return sheets.Claim(words, verdict, f"Brain PSNR (dB): {ranked(level)}.")


if __name__ == "__main__":
    main()
