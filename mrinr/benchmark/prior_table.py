"""What a learned prior adds on people that it never saw, part by part, on slices with a profile and noise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from mrinr.benchmark.cases import Case, Head, case
from mrinr.benchmark.people import named_in
from mrinr.benchmark.priors import ROWS
from mrinr.benchmark.sheets import Claim, Sheet
from mrinr.benchmark.superres_tables import brain, ranked, sheet
from mrinr.benchmark.table import Entry, compare
from mrinr.context import Context
from mrinr.degrade import degrade
from mrinr.pictures import plane_axis
from mrinr.superres import prior
from mrinr.volume import Stack, Volume

FACTOR, NOISE = 4, 0.01
Planes = tuple[tuple[str, str], ...]  # contrast, plane
SIMULATED: tuple[Planes, ...] = ((("T1", "axial"), ("T2", "coronal")),)
# Most scans called 1 mm were thicker axial slices once: along that axis they are no truth.
REAL: tuple[Planes, ...] = (
    (("T1", "coronal"), ("FLAIR", "sagittal")),
    (("T2", "coronal"), ("FLAIR", "sagittal")),
    (("T1", "coronal"), ("T2", "sagittal")),
)


def run(
    found: Sequence[Head], voxels: int | None, model: str, steps: int, context: Context
) -> tuple[list[Sheet], list[dict[str, Any]], list[str]]:
    """A table for each pair of contrasts, all rows, and remarks on who is left out.

    voxels : of the middle of each head; None: all of it
    steps : that each patient's own network is taught
    """
    bundle = prior.find(model)
    trained_on = prior.facts(bundle)["trained_on"]
    seen = [head for head in found if any(named_in(name, trained_on) for name in head.names)]
    unseen = [head for head in found if head not in seen]
    remarks = [f"Learned prior: {bundle.name}, trained on {trained_on}."]
    if seen:
        names = ", ".join(head.name for head in seen)
        remarks.append(f"Left out of the learned prior's table, because it was trained on them: {names}.")
    todo = [(pair, people) for pair in (*SIMULATED, *REAL) if (people := _those(unseen, pair))]
    sheets, rows = [], []
    for n, (pair, people) in enumerate(todo):
        contrasts = [c for c, _ in pair]
        cases = [case(head, contrasts, voxels, seed=m) for m, head in enumerate(people)]
        entries = [Entry(name, "row", {"row": name, "model": model, "steps": steps}, "box") for name in ROWS]
        part = context.stage(n / len(todo), (n + 1) / len(todo))
        mine, _ = compare(cases, partial(stacks, pair=pair), entries, "honest", "guided", part)
        planes = ", ".join(f"{plane} {c}" for c, plane in pair)
        said = f"{planes}; box profile, k = {FACTOR}, {100 * NOISE:g} % noise; {len(cases)} heads"
        where = "simulated" if pair in SIMULATED else "real"
        sheets.append(sheet(f"The learned prior, {where} {' + '.join(contrasts)}", mine, "guided", {}, said))
        rows += mine
    return sheets, rows, remarks


def _those(unseen: Sequence[Head], pair: Planes) -> list[Head]:
    """The simulated or the real ones who have the contrasts of a pair."""
    contrasts, simulated = [c for c, _ in pair], pair in SIMULATED
    return [head for head in unseen if (head.subject is None) == simulated and head.has(contrasts)]


def stacks(head: Case, pair: Planes, factor: float = FACTOR) -> list[Stack]:
    """Slices cut by an exact integral, with noise."""
    made = []
    for n, (contrast, plane) in enumerate(pair):
        truth = head.truths[contrast]
        axis = plane_axis(truth, plane)
        thick = degrade(truth, axis, factor, noise=NOISE, seed=n)
        made.append(Stack(Volume(thick.voxels, thick.affine, f"{contrast} {n}", thick.meta), contrast, axis))
    return made


def claims(rows: Sequence[dict[str, Any]]) -> list[Claim]:
    """Of this package, not of the paper."""
    if not rows:
        return []
    level = brain(rows)
    why = f"Brain PSNR (dB), mean over heads and contrasts: {ranked(level)}."
    words = "The learned prior is above guided on people that it never saw (this package's claim)"
    return [Claim(words, "seen here" if level["prior"] > level["guided"] else "not seen here", why)]
