"""IREM (Wu 2021): Figures 3, 4 and 6: three orthogonal stacks of one contrast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image

from mrinr.benchmark import equal_time
from mrinr.benchmark.cases import REAL, Case, case, heads
from mrinr.benchmark.chart import below, chart
from mrinr.benchmark.sheets import Claim, Sheet, results
from mrinr.benchmark.superres_tables import brain, claim, cost, floors, papers, ranked, sheet, short_fit
from mrinr.benchmark.table import Entry, compare
from mrinr.context import Context
from mrinr.degrade import degrade
from mrinr.errors import InputError
from mrinr.pictures import middle, panel, plane_axis, slice_image, window
from mrinr.superres.irem import EPOCHS, FEATURES
from mrinr.volume import Stack, Volume

HALF = "irem, half as long"
HEIGHT = 150  # pixels of a slice in the picture
PAPER_PEOPLE = 7  # five healthy, two with lesions


@dataclass(frozen=True)
class Size:
    """How much is done.

    voxels : of the middle of a head (None: all)
    factors : k; features : 2L beside the paper's choice; irem, profile_inr : settings
    """

    voxels: int | None
    factors: tuple[int, ...]
    features: tuple[int, ...]
    irem: dict[str, Any]
    profile_inr: dict[str, Any] = field(default_factory=dict)


SIZES = {
    "small": Size(32, (4, 8), (0, 16, 64), {"epochs": 16, "learning_rate": 1e-3, "batch": 500}),
    "full": Size(None, (4, 8), (0, 16, 64, 128, 512), {}),
}


def run(
    data: Path | None, small: bool, context: Context, out: Path, subjects: Sequence[str] = ()
) -> dict[str, Any]:
    """Healthy T1 and FLAIR with lesions at every factor, the effect of 2L, equal scan time; writes irem.png.

    Small: the middle of one head. Of a folder with real people those with T1 give the first table, those with
    FLAIR and lesions the second, as far as there are any.
    """
    size = SIZES["small" if small else "full"]
    found = heads(data, subjects, PAPER_PEOPLE)
    sheets: list[Sheet] = []
    healthy: list[Case] = []
    scores: dict[str, Any] = {}
    for n, (contrast, disease) in enumerate((("T1", "none"), ("FLAIR", "ms"))):
        able = [head for head in found if head.has([contrast])][: 1 if small else None]
        people = [case(head, [contrast], size.voxels, disease) for head in able]
        for m, factor in enumerate(size.factors if people else ()):
            low = 0.6 * (n + m / len(size.factors)) / 2
            part = context.stage(low, low + 0.3 / len(size.factors))
            rows, _ = compare(people, stacks(contrast, factor), entries(size), "irem", "irem", part)
            sick = " with lesions" if any(p.lesions for p in people) else ""
            said = f"three stacks, point-sampled by a cubic spline, k = {factor}, no noise"
            sheets.append(sheet(f"{contrast}{sick}, k = {factor}", rows, "irem", {}, said))
            scores[f"{contrast}, k = {factor}"] = rows
        if contrast == "T1":
            healthy = people
    if not healthy:
        raise InputError(f"Nobody in {data} has a T1; name another folder.")
    effect = ablation(healthy, size, scores, context.stage(0.6, 0.75))
    longer = twice_as_long(healthy, size, effect, context.stage(0.75, 0.85))
    noisy, on_time, rows, made = equal_time.run(
        healthy[0], "T1", 4, through_profiles(size), DENOISED, context.stage(0.85, 1.0)
    )
    scores["equal time"] = rows
    fair, level = own_profile(healthy, size.factors[-1], context)
    picture(healthy[0].truths["T1"], made, effect).save(out / "irem.png", optimize=True)
    return results(
        "irem",
        "IREM: three orthogonal stacks of one contrast",
        "IREM is above SRR and B-spline interpolation at k = 4 and 8, for healthy T1 and for FLAIR with "
        "lesions (Wu et al., MICCAI 2021, Figure 4; drawn there, so that no number can be put beside ours); "
        "more Fourier features are better, less and less so (Figure 3); in equal time three stacks give "
        "the better volume (Figure 6).",
        ", ".join(dict.fromkeys(row["case"] for group in scores.values() for row in group)),
        [*sheets, _effect_sheet(effect, size.factors[-1], scores), noisy, fair],
        [*claims(scores, effect, longer, level), *on_time],
        remarks(size, small, any(head.subject for head in found)),
        scores=scores,
        effect_of_features=effect,
        effect_twice_as_long=longer,
        picture="irem.png",
        picture_text="Top: effect of the number of Fourier features. Below: equal scan time, one plane of "
        "the truth, the isotropic scan and what is made of the scans.",
    )


DENOISED = Entry("isotropic scan, tv", "row", {"row": "tv"})


def entries(size: Size) -> list[Entry]:
    return [
        Entry("cubic", "cubic"),
        Entry("srr", "srr", profile="gaussian"),
        Entry("irem", "irem", size.irem),
        Entry(HALF, "irem", {**size.irem, "epochs": max(1, size.irem.get("epochs", EPOCHS) // 2)}),
        Entry("tv", "tv"),
        Entry("profile-inr", "profile-inr", size.profile_inr),
    ]


def through_profiles(size: Size) -> list[Entry]:
    """For slices with a box profile and noise: IREM, which knows none, first."""
    return [
        Entry("irem", "irem", size.irem),
        Entry("cubic", "cubic"),
        Entry("srr", "srr", profile="gaussian"),
        Entry("tv", "row", {"row": "tv"}, "box"),
        Entry("profile-inr", "profile-inr", size.profile_inr, "box"),
    ]


def stacks(contrast: str, factor: int) -> Any:
    """Three orthogonal stacks of a case, as the paper makes them."""

    def made(head: Case) -> list[Stack]:
        thick = [degrade(head.truths[contrast], axis, factor, profile="paper-spline") for axis in range(3)]
        return [
            Stack(Volume(v.voxels, v.affine, f"{contrast} axis {axis}", v.meta), contrast, axis)
            for axis, v in enumerate(thick)
        ]

    return made


def ablation(people: list[Case], size: Size, scores: dict[str, Any], context: Context) -> dict[int, float]:
    """Brain PSNR (dB) by number of Fourier features at the largest k; 0: the network gets the coordinates."""
    factor = size.factors[-1]
    some = [Entry(str(n), "irem", {**size.irem, "features": n}) for n in size.features]
    rows, _ = compare(people, stacks("T1", factor), some, "irem", some[0].label, context)
    found = {int(label): level for label, level in brain(rows).items()}
    return {**found, FEATURES: brain(scores[f"T1, k = {factor}"])["irem"]}


def falls(effect: dict[int, float]) -> list[tuple[int, int]]:
    """Neighbouring numbers of features of which the larger is the worse."""
    counts = sorted(effect)
    return [(a, b) for a, b in zip(counts, counts[1:], strict=False) if effect[a] > effect[b]]


def twice_as_long(
    people: list[Case], size: Size, effect: dict[int, float], context: Context
) -> dict[int, float]:
    """Like `ablation`, of the last two that fall and with twice the epochs; empty where none do."""
    if not falls(effect):
        return {}
    epochs = 2 * size.irem.get("epochs", EPOCHS)
    some = [Entry(str(n), "irem", {**size.irem, "features": n, "epochs": epochs}) for n in falls(effect)[-1]]
    rows, _ = compare(people, stacks("T1", size.factors[-1]), some, "irem", some[0].label, context)
    return {int(label): level for label, level in brain(rows).items()}


def own_profile(people: list[Case], factor: int, context: Context) -> tuple[Sheet, dict[str, float]]:
    """SRR beside interpolation where slices have the profile that it inverts: table, brain PSNR by label."""

    def made(head: Case) -> list[Stack]:
        thick = [degrade(head.truths["T1"], axis, factor, "gaussian") for axis in range(3)]
        return [Stack(replace(v, name=f"T1 axis {axis}"), "T1", axis) for axis, v in enumerate(thick)]

    both = [Entry("cubic", "cubic"), Entry("srr", "srr", profile="gaussian")]
    rows, _ = compare(people, made, both, "irem", "srr", context.quiet())
    said = f"three stacks, Gaussian profile, k = {factor}, no noise"
    return sheet("SRR on slices with its own profile, T1", rows, "srr", {}, said), brain(rows)


def _effect_sheet(effect: dict[int, float], factor: int, scores: dict[str, Any]) -> Sheet:
    table = Sheet(
        f"Effect of 2L, T1, k = {factor}", "brain PSNR (dB) as above; 0: coordinates", ["2L", "PSNR"]
    )
    table.rows.extend([str(n), effect[n]] for n in sorted(effect))
    lowest = floors(scores[f"T1, k = {factor}"], "T1")
    table.rows.extend([name, level] for name, (level, _) in lowest.items())
    return table


def claims(
    scores: dict[str, Any], effect: dict[int, float], longer: dict[int, float], fair: dict[str, float]
) -> list[Claim]:
    """A sentence for each claim of the paper but those on scan time.

    effect, longer : see `ablation` and `twice_as_long`
    fair : brain PSNR (dB) of cubic and SRR on slices with SRR's own profile
    """
    said = []
    for name, rows in scores.items():
        if name == "equal time":
            continue
        level = brain(rows)
        sick = brain(rows, where="lesion")
        in_lesions = f" In lesions: {ranked(sick)}." if sick else ""
        why = f"Brain PSNR (dB): {ranked(level)}.{in_lesions} {cost(rows, 'profile-inr', 'irem')}; "
        why += f"{cost(rows, 'tv', 'irem')}."
        good = level["irem"] > max(level["cubic"], level["srr"])
        theirs = papers(rows)
        why += f" By the paper's metric: {ranked({k: theirs[k] for k in ('cubic', 'srr', 'irem')})}."
        why += "" if good else _reason(level, fair)
        said.append(claim(f"IREM is above SRR and interpolation ({name})", good, why))
    why = f"Brain PSNR (dB) by 2L: {_listed(effect)}."
    if longer:
        then = f"with twice the epochs ({_listed(longer)}) more are"
        if falls(longer):
            why += f" The short fit is not the reason: {then} still worse."
        else:
            why += f" Likely reason: the short fit; {then} better."
    return [*said, claim("More Fourier features are better", not falls(effect), why)]


def _listed(effect: dict[int, float]) -> str:
    return ", ".join(f"{n}: {effect[n]:.2f}" for n in sorted(effect))


def _reason(level: dict[str, float], fair: dict[str, float]) -> str:
    """Why IREM, or SRR beside interpolation, is not where the paper has it: likely, and tested."""
    said = short_fit("irem", level["irem"] - level[HALF])
    if level["srr"] < level["cubic"]:
        said += (
            " SRR: these slices are point samples, which it does not know; on slices with its own profile "
            f"(last table) srr has {fair['srr']:.2f}, cubic {fair['cubic']:.2f}."
        )
    return said


def remarks(size: Size, small: bool, real: bool) -> list[str]:
    said = [
        "Fixed where the paper is silent: bandwidth 1/98 cycles/mm, linear output (mrinr/superres/irem.py); "
        "SRR: first-order Tikhonov, weight 0.01, 30 steps of conjugate gradients, Gaussian profile.",
        "Not simulated: motion between stacks (all are cut from one volume, headers exact).",
    ]
    if real:
        said.append(REAL)
    if small:
        epochs, batch = size.irem["epochs"], size.irem["batch"]
        said.append(
            f"Small: the middle {size.voxels} voxels of one head; IREM for {epochs} epochs in batches of "
            f"{batch} at 1e-3, not 100 of 2500 at 1e-4."
        )
    return said


def picture(truth: Volume, made: dict[str, Volume], effect: dict[int, float]) -> Image.Image:
    """The chart of 2L, and below it a coronal plane of what equal scan time gave."""
    axis = plane_axis(truth, "coronal")
    dark_bright = window(truth)
    shown = {"truth": truth, **made}
    planes = [slice_image(v, axis, middle(v, axis), dark_bright, HEIGHT) for v in shown.values()]
    counts = sorted(effect)
    drawn = chart(
        {"IREM": [(n, effect[k]) for n, k in enumerate(counts)]}, "2L", "brain PSNR (dB)",
        names=list(map(str, counts)),
    )  # fmt: skip
    half = (len(planes) + 1) // 2
    names = list(shown)
    scans = panel([planes[:half], planes[half:]], [names[:half], names[half:]], "Equal scan time")
    return below(panel([[drawn]], [[""]], "Effect of the number of Fourier features"), scans)
