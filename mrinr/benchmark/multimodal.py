"""Robust multi-modal synthesis (Joyce 2017): any subset in, misaligned inputs, fine-tuning, the interval."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from mrinr import bundles
from mrinr.benchmark import extras
from mrinr.benchmark import multimodal_tables as tables
from mrinr.benchmark.dedicated import FULL, LONGER, SMALL, Rivals, Size, train
from mrinr.benchmark.measure import Intervals, measure
from mrinr.benchmark.multimodal_claims import claims
from mrinr.benchmark.multimodal_costs import costs
from mrinr.benchmark.multimodal_figure import curve, figure
from mrinr.benchmark.people import SLAB, Draw, Person, named_in, people
from mrinr.benchmark.sheets import results
from mrinr.benchmark.split import groups
from mrinr.benchmark.trial import compare
from mrinr.bundles import Bundle
from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.synthesis import INPUTS
from mrinr.training import finetune
from mrinr.training.sources import Source, find_sources
from mrinr.volume import Volume

MODEL, TARGET = "multimodal-compact", "FLAIR"
GIVEN = ("T1", "T2", "DWI")
PEOPLE, SMALL_PEOPLE = 8, 4
MOVED = ("DWI", "T1")  # the second one is misaligned in the paper's section 5.3
WRONG = "DWI and T1, misaligned"
PUPILS, SMALL_STEPS = 3, 150  # people and steps of fine-tuning
TUNED = ("T1", "T2")  # fine-tuned from and to, as in the paper
PICTURES = {
    "multimodal.png": "FLAIR of the first person: the truth, what the model that ships makes of single "
    "inputs and of all, and the errors.",
    "multimodal_risk.png": "FLAIR from all inputs, everybody: the error where only the voxels with the "
    "narrowest intervals are kept.",
}
NOT_TRAINED = "Rivals trained for one subset alone were left out; --dedicated with --data has them."

Rows = list[dict[str, Any]]


def run(
    data: Path | None,
    small: bool,
    context: Context,
    out: Path,
    subjects: Sequence[str] = (),
    dedicated: bool = False,
) -> dict[str, Any]:
    """Everything that the paper measures, on people that the model which ships has not seen.

    Parameters
    ----------
    data : folder of label maps or of real subjects; None varies the ICBM152 anatomy
    small : a slab of `SMALL_PEOPLE` people at most, few steps of fine-tuning, no rivals
    out : gets the picture
    subjects : names of those to test on; none for all, see `split.groups`
    dedicated : train the rivals (see `mrinr.benchmark.dedicated`) in a small benchmark, too

    At full size rivals are trained on three quarters of the people and tested on the fourth, four times.
    """
    bundle = bundles.find(MODEL)
    card = bundle.facts["training"]
    source: Source | None = None
    parts: list[tuple[Source | None, Source | None]] = [(None, None)]
    if data is not None:
        source = find_sources([data], [])
        parts = [*groups(source, subjects, small, SMALL_PEOPLE, card["data"])]
    elif subjects or dedicated:
        raise InputError("--subjects and --dedicated need people from --data.")
    size = SMALL if small else FULL
    steps = size.steps or max(1, int(card["steps"]))
    trains = data is not None and (dedicated or not small)
    if trains:
        extras.check({**extras.TRAINING, **extras.FOREST})
        if parts[0][0] is None:
            raise InputError("All people are tested on; leave some to train on with --subjects.")
    intervals, rows, able, names, shown = Intervals(), Findings(), [], [], None
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for n, (training, tested) in enumerate(parts):
            part = context.stage(0.8 * n / len(parts), 0.8 * (n + 1) / len(parts))
            rivals: Rivals = {}
            if trains and training is not None:
                work = folder / f"rivals-{n}"
                rivals = train(training, subsets(GIVEN), MOVED, TARGET, size, steps, work, part.stage(0, 0.6))
            draws = people(tested, small, SMALL_PEOPLE if small else PEOPLE)
            for m, draw in enumerate(draws):
                part.progress(0.6 + 0.4 * m / len(draws), f"Person {m + 1} of {len(draws)}")
                person = draw()
                names.append(person.name)
                compete(person, rivals, rows, part)
                if named_in(person.name, card["data"]):
                    continue
                one_person(person, bundle, intervals, rows, part)
                able += [draw] if set(TUNED) <= set(person.other) else []
                shown = shown or (draw if {TARGET, *GIVEN} & set(person.truth) > {TARGET} else None)
        fine_tuning(able, bundle, SMALL_STEPS if small else None, folder, rows, context.stage(0.8, 1))
    if shown is not None:
        save_figure(shown(), bundle.folder, intervals, out, context)
    remarks = [
        f"Model: {bundle.name} ({card['data']}; {card['steps']} steps), inputs not registered.",
        "Brain: the simulator's mask, or that of a real subject; range: the truth's 99.9th percentile there.",
        "Floors are fitted to the truth itself: a constant, the best input scaled, the linear fit of all.",
        "MSE as in the paper, at its 2 mm and fields of view; a slab of a head is brighter on average than a "
        "head, and its MSE smaller: compare the orders with the paper's, not the numbers.",
    ]
    if source is None:
        remarks.append("Variations of one head are one subject: standard errors would say too much.")
    if small:
        remarks.append(
            f"Small: {len(names)} people, {SLAB} axial slices of each where most lesion is; {SMALL_STEPS} "
            "steps of fine-tuning."
        )
    remarks += [_trained(parts, size, steps)] if trains else [NOT_TRAINED]
    remarks += rows.failures
    return results(
        "multimodal",
        "Robust multi-modal synthesis",
        "one model synthesises FLAIR from any subset of T1, T2 and DWI as well as models trained for that "
        "subset (Joyce et al., MICCAI 2017, Tables 1 and 2, sections 5.3 and 5.4; ISLES 2015).",
        _described(source, names),
        [*tables.sheets(rows, intervals), costs(GIVEN, TARGET, bundle)],
        claims(rows),
        remarks,
        scores=rows,
        coverage=intervals.coverage() if intervals.parts else {},
        risk=intervals.risk() if intervals.parts else {},
        pictures=PICTURES if shown else {},
    )


class Findings(dict[str, Rows]):
    """Scores by experiment: "subsets", "targets", "misaligned", "tuned" and "rivals"."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[str] = []

    def add(self, experiment: str, measured: Callable[[], Rows | dict[str, Any]], **more: Any) -> None:
        try:
            found = measured()
        except InputError as error:
            self.failures.append(f"Failed and not counted ({experiment}): {error}")
            return
        for row in found if isinstance(found, list) else [found]:
            self.setdefault(experiment, []).append({**row, **more})


def one_person(
    person: Person, bundle: Bundle, intervals: Intervals, rows: Findings, context: Context
) -> None:
    """All that needs no other person."""
    shown = person.shown

    def score(names: Sequence[str], target: str, **more: Any) -> dict[str, Any]:
        inputs = {name: shown[name] for name in names}
        return measure(person, inputs, person.truth[target], target, bundle.folder, context, **more)

    whole = tuple(name for name in GIVEN if name in shown)
    if TARGET in person.truth:
        for subset in subsets(whole):
            counted = intervals if subset == whole else None
            rows.add("subsets", partial(score, subset, TARGET, intervals=counted))
        for label, inputs in misaligned(person).items():
            truth = person.truth[TARGET]
            one = partial(measure, person, inputs, truth, TARGET, bundle.folder, context, like="DWI")
            rows.add("misaligned", one, label=label)
    for target in person.truth:
        others = [name for name in shown if name != target]
        if others and target in bundle.targets:
            rows.add("targets", partial(score, others, target))


def misaligned(person: Person) -> dict[str, dict[str, Volume]]:
    """By label, the inputs of the paper's section 5.3; DWI is where it belongs."""
    if person.misaligned is None or person.registered is None:
        return {}
    dwi = {"DWI": person.shown["DWI"]}
    return {
        "DWI alone": dwi,
        "DWI and T1, aligned": {**dwi, "T1": person.shown["T1"]},
        WRONG: {**dwi, "T1": person.misaligned},
        f"{WRONG}, registered": {**dwi, "T1": person.registered},
    }


def compete(person: Person, rivals: Rivals, rows: Findings, context: Context) -> None:
    """Every rival on the inputs that it was trained for."""
    if TARGET not in person.truth:
        return
    for subset in dict.fromkeys(names for _, names in rivals):
        inputs = {name: person.shown[name] for name in subset if name in person.shown}
        if set(inputs) == set(subset):
            if subset == MOVED and person.misaligned is not None:
                inputs["T1"] = person.misaligned
            able = {kind: one for (kind, names), one in rivals.items() if names == subset}
            rows.add("rivals", partial(compare, person, inputs, person.truth[TARGET], able, context))


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
        try:
            tuned[n], _ = finetune(bundle, cases[:n], where, target, steps, context=part)
        except InputError as error:  # hours of work must not be lost to one person
            rows.failures.append(f"Failed and not counted (fine-tuning on {n}): {error}")
    for draw in draws[len(pupils) :]:
        person = draw()
        for n, model in tuned.items():
            other = person.other
            inputs = {given: other[given]}
            one = partial(measure, person, inputs, other[target], target, model.folder, context)
            rows.add("tuned", one, pupils=n)


def subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """All but the empty one; small ones first, in the paper's order."""
    return [chosen for n in range(1, len(names) + 1) for chosen in combinations(names, n)]


def save_figure(person: Person, model: Path, intervals: Intervals, out: Path, context: Context) -> None:
    """PICTURES: one slice from each input alone and from all, and the curve of risk."""
    whole = tuple(name for name in GIVEN if name in person.shown)
    chosen = list(dict.fromkeys([*((name,) for name in whole), whole]))
    first, second = PICTURES
    figure(person, TARGET, chosen, model, context).save(out / first, optimize=True)
    curve(intervals.risk()).save(out / second, optimize=True)


def _described(source: Source | None, names: Sequence[str]) -> str:
    sequences = ", ".join(INPUTS)
    if source is None:
        return f"{len(names)} variations of ICBM152 simulated with {sequences}, bias field and noise, lesions"
    said = f"tested on {', '.join(names)} of {source.described}"
    if source.maps:
        said += "; simulated ones with bias field, noise and lesions (stroke, tumour, MS)"
    return said


def _trained(parts: Sequence[tuple[Source | None, Source | None]], size: Size, steps: int) -> str:
    fourfold = "in fourfold cross-validation, " if len(parts) > 1 else ""
    trained = (
        ", ".join(parts[0][0].names) if len(parts) == 1 and parts[0][0] else "three quarters of the people"
    )
    return (
        f"Rivals: {fourfold}trained on {trained}; each network {steps} steps of {size.batch} slices of "
        f"{size.crop[0]}x{size.crop[1]} pixels (one for all subsets also {LONGER} times as many); each "
        f"forest {size.trees} trees on about {size.voxels} voxels of the first {size.slices} slices."
    )
