"""What became of each claim of the multi-modal paper (Joyce 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mrinr.benchmark.multimodal_tables import MISALIGNED, Rows, grouped, mean, rivals
from mrinr.benchmark.sheets import Claim

CONVERGED = 0.95  # error after twice the steps, over that before: a training of less effect has ended
ALLOWED = 1.05  # error of the one model over that of one trained for the subset
COUNTED = {1: "one", 2: "one and two", 3: "one, two and three"}
FITS = 0.7  # error after fine-tuning over that before: takes away half of what the paper's did
UNTESTED = "not testable here"


def claims(found: Mapping[str, Rows]) -> list[Claim]:
    """A sentence for each."""
    return [
        _one_for_all(found),
        _beats_forests(found),
        _more_is_better(found),
        _misaligned_helps(found),
        _tuning_helps(found.get("tuned", ())),
        Claim("Better than LSDN and DEDIS", UNTESTED, "Neither is part of this project."),
    ]


def _percent(ratios: Sequence[float]) -> str:
    return f"{100 * (np.mean(ratios) - 1):+.0f} %"


def judged(good: bool) -> str:
    return "reproduced here" if good else "not reproduced"


def error(rows: Rows, key: str = "mse") -> float:
    return mean(rows, key) or 0.0


def _one_for_all(found: Mapping[str, Rows]) -> Claim:
    claim = "One model does as well on a subset as a model trained for it (error at most 5 % higher)"
    alone = rivals(found, "alone")
    if not alone:
        return Claim(claim, "not tested in this run", "No model was trained for one subset alone.")
    ratios = {}
    for words, rows in (
        ("one model, equal steps", rivals(found, "one")),
        ("twice the steps", rivals(found, "longer")),
        ("the model that ships, which learned other sequences too, on other draws", _shipped(found)),
    ):
        if set(alone) <= set(rows):
            ratios[words] = [error(rows[subset]) / error(alone[subset]) for subset in alone]
    said = "; ".join(
        f"{words}: {_percent(each)} on average, {_percent([max(each)])} for the worst subset"
        for words, each in ratios.items()
    )
    equal, longer = (float(np.mean(ratios[words])) for words in list(ratios)[:2])
    why = f"MSE beside models trained alone: {said}."
    if equal > ALLOWED:
        why += (
            " The likely reason, too few steps to learn seven tasks in, is "
            f"{'supported' if longer < equal else 'not supported'} by the longer training."
        )
    return Claim(claim, judged(equal <= ALLOWED), why)


def _shipped(found: Mapping[str, Rows]) -> dict[tuple[str, ...], Rows]:
    """Rows of the model that ships, by subset, if it was tested on the people that rivals were."""
    rows = found.get("subsets", ())
    people = {row["person"] for row in found.get("rivals", ())}
    return grouped(rows, "inputs") if {row["person"] for row in rows} == people else {}


def _beats_forests(found: Mapping[str, Rows]) -> Claim:
    claim = "A network beats the random forest on every subset, by 16 % of its error on average"
    alone, forest = rivals(found, "alone"), rivals(found, "forest")
    if not alone:
        return Claim(claim, "not tested in this run", "No forest was grown.")
    ratios = {s: error(alone[s]) / error(forest[s]) for s in alone}
    better = [" + ".join(subset) for subset, ratio in ratios.items() if ratio < 1]
    shipped = _shipped(found)
    why = (
        f"MSE of networks trained alone beside forests: {_percent(list(ratios.values()))} on average; lower "
        f"for {', '.join(better) or 'no subset'}."
    )
    if shipped:
        ours = [error(shipped[subset]) / error(forest[subset]) for subset in forest if subset in shipped]
        why += f" The model that ships: {_percent(ours)} on average."
    if len(better) < len(ratios):
        one, longer = ([error(rows) for rows in rivals(found, kind).values()] for kind in ("one", "longer"))
        after = [b / a for a, b in zip(one, longer, strict=True)]
        short = np.mean(after) < CONVERGED
        why += (
            f" The likely reason, too short a training, is {'supported' if short else 'not supported'}: "
            f"twice the steps change the error of the network for all subsets by {_percent(after)}; "
            "forests need no such training."
        )
    return Claim(claim, judged(len(better) == len(ratios)), why)


def _more_is_better(found: Mapping[str, Rows]) -> Claim:
    claim = "More inputs give smaller errors"
    some = grouped(found.get("subsets", ()), "inputs")
    if len(some) < 3:
        return Claim(claim, UNTESTED, "The data lack T1, T2 or DWI.")
    errors = {subset: error(rows) for subset, rows in some.items()}
    best, most = min(errors, key=errors.__getitem__), max(errors, key=len)
    levels = _by_count(errors)
    good = _falls(levels) and best == most
    matched = {subset: error(rows, "matched") for subset, rows in some.items()}
    why = (
        f"Mean MSE with {COUNTED[len(levels)]} inputs: {_listed(levels)}, least with {' + '.join(best)}; "
        f"PSNR once intensities are matched: {_listed(_by_count(matched))} dB, best with "
        f"{' + '.join(max(matched, key=matched.__getitem__))}."
    )
    if (
        not good
        and _falls([-level for level in _by_count(matched)])
        and max(matched, key=len) == max(matched, key=matched.__getitem__)
    ):
        why += " So the level of the image is the likely reason: with matched intensities more are better."
    falling = []
    for kind, words in (("alone", "models trained alone"), ("forest", "forests")):
        rows = {s: error(r) for s, r in rivals(found, kind).items()}
        if rows:
            why += f" MSE of {words}: {_listed(_by_count(rows))}."
            falling.append(_falls(_by_count(rows)))
    if falling and all(falling) and not good:
        why += " So more inputs do hold more, and the one model leaves some of it unused."
    return Claim(claim, judged(good), why)


def _falls(values: Sequence[float]) -> bool:
    return all(a > b for a, b in zip(values, values[1:], strict=False))


def _by_count(values: Mapping[tuple[str, ...], float]) -> list[float]:
    """Means over subsets of one size, from one input on."""
    return [
        float(np.mean([value for subset, value in values.items() if len(subset) == count]))
        for count in sorted({len(subset) for subset in values})
    ]


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def _misaligned_helps(found: Mapping[str, Rows]) -> Claim:
    claim = "A misaligned T1 beside DWI beats DWI alone"
    some = grouped(found.get("misaligned", ()), "label")
    if not some:
        return Claim(claim, UNTESTED, "The data lack T1 or DWI.")
    alone, aligned, wrong = MISALIGNED
    errors = {label: error(rows) for label, rows in some.items()}
    matched = {label: error(rows, "matched") for label, rows in some.items()}
    listed = ", ".join(f"{label} {errors[label]:.3g} ({matched[label]:.1f} dB matched)" for label in errors)
    why = f"MSE of the model that ships: {listed}."
    for kind, words in (("alone", "networks trained for each case"), ("forest", "forests")):
        each = [
            error(rows)
            for name, inputs, *_ in MISALIGNED.values()
            if (rows := rivals(found, name.replace("alone", kind)).get(inputs, ()))
        ]
        if len(each) == len(MISALIGNED):
            why += f" {words.capitalize()}, in that order: {_listed(each)}."
    if errors[wrong] >= errors[alone]:
        if errors[aligned] >= errors[alone]:
            why += (
                " DWI alone nearly is the target here: even an aligned T1 adds nothing to it in this model."
            )
        why += (
            " It is not the gain: matched intensities say the same."
            if matched[wrong] < matched[alone]
            else " It is the gain: matched intensities say the contrary."
        )
        better = errors[f"{wrong}, registered"] < errors[wrong]
        why += (
            f" Rigid registration before the synthesis {'repairs much of it' if better else 'does not help'}."
        )
    return Claim(claim, judged(errors[wrong] < errors[alone]), why)


def _tuning_helps(rows: Rows) -> Claim:
    claim = "Fine-tuning the decoder on 1 to 3 volumes fits the model to another hospital"
    by_count = grouped(rows, "pupils").values()
    errors, matched = ([error(some, key) for some in by_count] for key in ("mse", "matched"))
    if len(errors) < 2:
        return Claim(claim, UNTESTED, "It takes two people at least.")
    changes = ", ".join(f"{100 * (each / errors[0] - 1):+.0f} %" for each in errors[1:])
    gains = ", ".join(f"{level - matched[0]:+.2f} dB" for level in matched[1:])
    why = f"MSE beside no fine-tuning (paper: -64 to -69 %): {changes}; PSNR, intensities matched: {gains}."
    if max(errors[1:]) < errors[0] and min(matched[1:]) <= matched[0]:
        why += (
            " So it learns no more than the other hospital's scale and offset: with matched intensities its "
            "images are no better than before."
        )
    return Claim(claim, judged(max(errors[1:]) < FITS * errors[0]), why)
