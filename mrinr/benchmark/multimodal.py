"""Robust multi-modal synthesis (Joyce 2017): any subset in, misaligned inputs, fine-tuning, the interval."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from mrinr import bundles
from mrinr.benchmark import dedicated as alone
from mrinr.benchmark import multimodal_tables as tables
from mrinr.benchmark.measure import Intervals, measure
from mrinr.benchmark.people import SLAB, Draw, Person, people, those_named
from mrinr.benchmark.sheets import results
from mrinr.bundles import Bundle
from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.synthesis import INPUTS
from mrinr.training import finetune
from mrinr.training.sources import Source, find_sources, stem

MODEL, TARGET = "multimodal-compact", "FLAIR"
GIVEN = ("T1", "T2", "DWI")
PEOPLE, SMALL_PEOPLE = 8, 4
PUPILS, SMALL_STEPS = 3, 150  # people and steps of fine-tuning
TUNED = ("T1", "T2")  # fine-tuned from and to, as in the paper

Rows = list[dict[str, Any]]


def run(
    data: Path | None, small: bool, context: Context, subjects: Sequence[str] = (), dedicated: bool = False
) -> dict[str, Any]:
    """Everything that the paper measures, on people that the model which ships has not seen.

    Parameters
    ----------
    data : folder of label maps or of real subjects; None varies the ICBM152 anatomy
    small : a slab of `SMALL_PEOPLE` people at most, few steps of fine-tuning, no dedicated models
    subjects : names of those to test on; none for all that the model's card does not name
    dedicated : train a model for each subset in a small benchmark, too
    """
    bundle = bundles.find(MODEL)
    source = None
    if data is not None:
        source = those_named(find_sources([data], []), subjects, bundle.facts["training"]["data"])
    elif subjects or dedicated:
        raise InputError("--subjects and --dedicated need people from --data.")
    draws = people(source, small, SMALL_PEOPLE if small else PEOPLE)
    intervals, rows = Intervals(), Findings()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        models = {}
        if data is not None and source is not None and (dedicated or not small):
            models = train_alone(data, source, bundle, folder, context.stage(0, 0.5))
        rest = context.stage(0.5 if models else 0, 1)
        able = []
        for n, draw in enumerate(draws):
            rest.progress(0.8 * n / len(draws), f"Person {n + 1} of {len(draws)}")
            person = draw()
            one_person(person, bundle, models, intervals, rows, rest)
            if set(TUNED) <= set(person.other):
                able.append(draw)
        fine_tuning(able, bundle, SMALL_STEPS if small else None, folder, rows, rest.stage(0.8, 1))
    steps = bundle.facts["training"]["steps"]
    remarks = [
        f"Model: {bundle.name} ({bundle.facts['training']['data']}; {steps} steps), inputs not registered.",
        "Brain: the simulator's mask, or that of a real subject; range: the truth's 99.9th percentile there.",
        "Floors are fitted to the truth itself: a constant, the best input scaled, the linear fit of all.",
    ]
    if source is None:
        remarks.append("Variations of one head are one subject: standard errors would say too much.")
    if small:
        remarks.append(f"Small: {len(draws)} people, {SLAB} axial slices of each where most lesion is.")
    if not models:
        remarks.append("Models trained for one subset alone were left out; --dedicated with --data has them.")
    remarks += rows.failures
    return results(
        "multimodal",
        "Robust multi-modal synthesis",
        "one model synthesises FLAIR from any subset of T1, T2 and DWI as well as models trained for that "
        "subset (Joyce et al., MICCAI 2017, Tables 1 and 2, sections 5.3 and 5.4; ISLES 2015).",
        _described(source, len(draws)),
        tables.sheets(rows, intervals),
        tables.claims(rows),
        remarks,
        scores=rows,
        coverage=intervals.coverage() if intervals.parts else {},
        risk=intervals.risk() if intervals.parts else {},
    )


class Findings(dict[str, Rows]):
    """Scores by experiment: "subsets", "dedicated", "generalist", "targets", "misaligned", "tuned"."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[str] = []

    def add(self, experiment: str, measured: Callable[[], dict[str, Any]], **more: Any) -> None:
        try:
            self.setdefault(experiment, []).append({**measured(), **more})
        except InputError as error:
            self.failures.append(f"Failed and not counted ({experiment}): {error}")


def one_person(
    person: Person,
    bundle: Bundle,
    models: dict[tuple[str, ...], Bundle],
    intervals: Intervals,
    rows: Findings,
    context: Context,
) -> None:
    """All that needs no other person."""
    shown = person.shown

    def score(names: Sequence[str], target: str, model: Path = bundle.folder, **more: Any) -> dict[str, Any]:
        inputs = {name: shown[name] for name in names}
        return measure(person, inputs, person.truth[target], target, model, context, **more)

    whole = tuple(name for name in GIVEN if name in shown)
    if TARGET in person.truth:
        for subset in subsets(whole):
            counted = intervals if subset == whole else None
            rows.add("subsets", partial(score, subset, TARGET, intervals=counted))
            for name, chosen in (("dedicated", subset), ("generalist", ())):
                if chosen in models:
                    rows.add(name, partial(score, subset, TARGET, models[chosen].folder))
        if person.misaligned is not None and "DWI" in shown:
            for label, inputs in {
                "DWI alone": {"DWI": shown["DWI"]},
                "DWI and T1, aligned": {"DWI": shown["DWI"], "T1": shown["T1"]},
                "DWI and T1, misaligned": {"DWI": shown["DWI"], "T1": person.misaligned},
            }.items():
                truth = person.truth[TARGET]
                one = partial(measure, person, inputs, truth, TARGET, bundle.folder, context, like="DWI")
                rows.add("misaligned", one, label=label)
    for target in person.truth:
        others = [name for name in shown if name != target]
        if others and target in bundle.targets:
            rows.add("targets", partial(score, others, target))


def fine_tuning(
    draws: Sequence[Draw], bundle: Bundle, steps: int | None, folder: Path, rows: Findings, context: Context
) -> None:
    """Adapt the decoder to 1, 2, 3 people (who have TUNED) of another hospital; test on those left."""
    given, target = TUNED
    pupils = [draw().other for draw in draws[: max(min(PUPILS, len(draws) - 1), 0)]]
    cases = [{name: other[name] for name in TUNED} for other in pupils]
    tuned = {0: bundle}
    for n in range(1, len(cases) + 1):
        part = context.stage((n - 1) / (len(cases) + 1), n / (len(cases) + 1))
        where = folder / f"tuned-{n}"
        tuned[n], _ = finetune(bundle, cases[:n], where, target, steps, context=part)
    for draw in draws[len(pupils) :]:
        person = draw()
        for n, model in tuned.items():
            other = person.other
            inputs = {given: other[given]}
            one = partial(measure, person, inputs, other[target], target, model.folder, context)
            rows.add("tuned", one, pupils=n)


def train_alone(
    data: Path, tested: Source, bundle: Bundle, folder: Path, context: Context
) -> dict[tuple[str, ...], Bundle]:
    """A model for each subset, and under () one for all, each as many steps as the model that ships."""
    names = [*map(stem, tested.maps), *(subject.name for subject in tested.subjects)]
    try:
        source = find_sources([data], names)
    except InputError as error:
        raise InputError("All people are tested on; leave some to train on with --subjects.") from error
    wanted: list[tuple[str, ...]] = [*subsets(GIVEN), ()]
    steps = max(1, int(bundle.facts["training"]["steps"]))
    made = {}
    for n, subset in enumerate(wanted):
        part = context.stage(n / len(wanted), (n + 1) / len(wanted))
        where = folder / f"alone-{'-'.join(subset)}"
        made[subset] = alone.train(source, subset or GIVEN, not subset, TARGET, steps, where, part)
    return made


def subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """All but the empty one; small ones first, in the paper's order."""
    return [chosen for n in range(1, len(names) + 1) for chosen in combinations(names, n)]


def _described(source: Source | None, count: int) -> str:
    sequences = ", ".join(INPUTS)
    if source is None:
        return f"{count} variations of ICBM152 simulated with {sequences}, bias field and noise, lesions"
    return f"{source.described}; simulated ones with bias field, noise and lesions (stroke, tumour, MS)"
