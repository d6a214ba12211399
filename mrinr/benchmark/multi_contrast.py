"""Multi-contrast INR (McGinnis 2023): Table 1, loss weights and Figure 3; and what a learned prior adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrinr.benchmark import convergence, prior_table
from mrinr.benchmark.cases import REAL, Case, Head, case, heads
from mrinr.benchmark.chart import below
from mrinr.benchmark.sheets import Claim, Sheet, results
from mrinr.benchmark.superres_tables import (
    brain,
    claim,
    cost,
    floors,
    mean_error,
    papers,
    ranked,
    sheet,
    short_fit,
)
from mrinr.benchmark.table import Entry, compare
from mrinr.context import Context
from mrinr.degrade import degrade
from mrinr.errors import InputError
from mrinr.perceptual import Lpips
from mrinr.pictures import middle, panel, plane_axis, slice_image, window
from mrinr.superres.guided import STEPS
from mrinr.superres.multi_contrast import EPOCHS
from mrinr.superres.prior import MODEL
from mrinr.volume import Stack, Volume

FACTOR = 4
PAPER_PEOPLE = 25  # of each data set
PUBLISHED = ("cubic", "single", "vanilla", "split-head")
OWN = ("tv", "guided", "profile-inr")
HALF = "single, half as long"
HEIGHT = 150  # pixels of a slice in the picture
COLUMNS = ("paper: first", "second", "MI errors")
# Table 1: PSNR / SSIM / LPIPS of either contrast, MI error of either and of both.
PAPER = {
    ("T1", "T2"): {
        "": COLUMNS,
        "cubic": ("21.20 / .896 / .098", "26.20 / .932 / .058", ".096 / .087 / .145"),
        "single": ("26.17 / .952 / .036", "29.92 / .957 / .028", ".051 / .030 / .079"),
        "vanilla": ("26.20 / .960 / .032", "29.78 / .962 / .026", ".008 / .015 / .065"),
        "split-head": ("28.75 / .965 / .028", "31.80 / .966 / .024", ".007 / .014 / .062"),
    },
    ("T1", "FLAIR"): {
        "": COLUMNS,
        "cubic": ("30.10 / .953 / .051", "28.72 / .945 / .054", ".062 / .087 / .115"),
        "single": ("30.85 / .956 / .029", "31.16 / .955 / .030", ".047 / .074 / .095"),
        "vanilla": ("31.60 / .966 / .019", "32.31 / .969 / .019", ".008 / .025 / .024"),
        "split-head": ("31.77 / .967 / .019", "32.51 / .970 / .018", ".008 / .023 / .024"),
    },
    ("DIR", "FLAIR"): {
        "": COLUMNS,
        "cubic": ("28.11 / .929 / .065", "26.55 / .923 / .079", ".083 / .096 / .136"),
        "single": ("29.94 / .937 / .037", "28.66 / .936 / .041", ".063 / .072 / .096"),
        "vanilla": ("30.82 / .956 / .024", "29.75 / .950 / .029", ".022 / .033 / .009"),
        "split-head": ("31.69 / .956 / .023", "30.25 / .952 / .028", ".021 / .033 / .009"),
    },
}
# Table 2: BraTS 2019, MSSEG 2016 and the clinical MS data.
PLANES = {
    ("T1", "T2"): ("axial", "coronal"),
    ("T1", "FLAIR"): ("axial", "sagittal"),
    ("DIR", "FLAIR"): ("axial", "sagittal"),
}

CHIEF = ("T1", "FLAIR")


@dataclass(frozen=True)
class Size:
    """How much is done.

    voxels : of the middle of a head (None: all); prior_voxels : of the heads that the prior is judged on
    networks : settings of the published networks; everywhere : on every pair, else on the chief one only
    weights : (alpha, beta), on the chief pair
    own : settings of this package's methods by name; steps : of the patient's own network, for the prior
    """

    voxels: int | None
    prior_voxels: int | None
    networks: dict[str, Any]
    everywhere: bool
    weights: tuple[tuple[float, float], ...]
    own: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: int = STEPS


SIZES = {
    "small": Size(32, 64, {"epochs": 12, "batch": 125, "width": 512}, False, ((1, 1), (4, 1), (1, 4))),
    "full": Size(None, None, {}, True, ((1, 1), (2, 1), (4, 1), (1, 2), (1, 4))),
}


def run(
    data: Path | None,
    small: bool,
    context: Context,
    out: Path,
    subjects: Sequence[str] = (),
    models: Sequence[str] = (),
    lpips_weights: Sequence[Path] = (),
) -> dict[str, Any]:
    """Every pair on the paper's degradation, loss weights, convergence; the prior's table; the picture.

    Small: the middle of the first head, the published networks on the chief pair only, which is T1 + FLAIR
    where somebody has it; of the heads that the prior is judged on a larger part. models : the prior, one;
    that which ships by default. lpips_weights : the two files of `Lpips`; without them it is not computed.
    Raises InputError where nobody has both contrasts of a pair, and for weights that cannot be used.
    """
    if len(models) > 1:
        raise InputError("Name one --models, the learned prior to judge.")
    lpips = Lpips(*lpips_weights) if lpips_weights else None
    size = SIZES["small" if small else "full"]
    found = heads(data, subjects, PAPER_PEOPLE)
    sheets: list[Sheet] = []
    scores: dict[str, list[dict[str, Any]]] = {}
    said: list[Claim] = []
    curve, shown, person = None, {}, None
    pairs = [pair for pair in PLANES if any(head.has(pair) for head in found)]
    if not pairs:
        named = ", ".join(" + ".join(pair) for pair in PLANES)
        raise InputError(f"Nobody in {data} has both contrasts of a pair ({named}); name another folder.")
    chief = CHIEF if CHIEF in pairs else pairs[-1]
    for n, pair in enumerate(pairs):
        able = [head for head in found if head.has(pair)][: 1 if small else None]
        people = [case(head, pair, size.voxels, "ms") for head in able]
        main = pair == chief
        part = context.stage(0.5 * n / len(pairs), 0.5 * (n + 1) / len(pairs))
        published = size.everywhere or main
        rows, made = compare(
            people,
            stacks(pair),
            entries(size, published),
            "multi-contrast",
            reference(published),
            part,
            lpips=lpips,
        )
        planes = ", ".join(f"{plane} {c}" for plane, c in zip(PLANES[pair], pair, strict=True))
        degradation = f"{planes}, point-sampled by a cubic spline, k = {FACTOR}, no noise"
        name = " + ".join(pair)
        sheets.append(sheet(name, rows, reference(published), PAPER[pair], degradation))
        scores[name] = rows
        if published:
            said += claims(name, rows)
        if main:
            shown, person = made, people[0]
            part = context.stage(0.5, 0.65)
            job_stacks = stacks(pair)(person)
            found_weights, curve = convergence.run(
                person, job_stacks, size.networks, size.weights, "split-head", part
            )
            sheets += [with_floors(each, rows, pair) for each in found_weights]
            said.append(convergence.claim_of(curve))
    table, rows, left_out = prior_table.run(
        found, size.prior_voxels, models[0] if models else MODEL, size.steps, context.stage(0.65, 1.0)
    )
    sheets += table
    scores["learned prior"] = rows
    if person is not None and curve is not None:
        picture(person, shown, curve).save(out / "multi_contrast.png", optimize=True)
    unseen = "" if "coronal" in PLANES[chief] else ", a plane that no stack saw finely"
    drawn = {
        "picture": "multi_contrast.png",
        "picture_text": "Top: mutual information and PSNR by epoch. Below: truth and reconstructions of "
        f"{chief[1]}, coronal{unseen}.",
    }
    everyone = ", ".join(dict.fromkeys(row["case"] for group in scores.values() for row in group))
    return results(
        "multi-contrast",
        "Multi-contrast INR: two contrasts from one thick stack each",
        "cubic is below single, single below vanilla, vanilla below split-head; mutual information of the "
        "predictions settles near the truth's (McGinnis et al., MICCAI 2023, Table 1 and Figure 3).",
        everyone,
        sheets,
        said + prior_table.claims(rows),
        [*remarks(size, small, found, chief, lpips is not None), *left_out],
        scores=scores,
        convergence=curve,
        **(drawn if curve is not None else {}),
    )


def reference(published: bool) -> str:
    """The paper's method, or where it was not run the costliest of ours."""
    return "split-head" if published else "profile-inr"


def entries(size: Size, published: bool) -> list[Entry]:
    made = [Entry("cubic", "cubic")]
    if published:
        made += [Entry(name, name, size.networks) for name in ("single", "vanilla", "split-head")]
        half = {**size.networks, "epochs": max(1, size.networks.get("epochs", EPOCHS) // 2)}
        made.append(Entry(HALF, "single", half))
    return [*made, *(Entry(name, name, size.own.get(name, {})) for name in OWN)]


def stacks(pair: tuple[str, str]) -> Any:
    """One stack of each contrast of a case, as the paper makes them."""

    def made(head: Case) -> list[Stack]:
        found = []
        for contrast, plane in zip(pair, PLANES[pair], strict=True):
            axis = plane_axis(head.truths[contrast], plane)
            thick = degrade(head.truths[contrast], axis, FACTOR, profile="paper-spline")
            found.append(Stack(Volume(thick.voxels, thick.affine, contrast, thick.meta), contrast, axis))
        return found

    return made


def claims(name: str, rows: list[dict[str, Any]]) -> list[Claim]:
    """The order of the methods, and of their errors of mutual information."""
    level, theirs, wrong = brain(rows), papers(rows), mean_error(rows)
    broken, by_theirs = _broken(level), _broken(theirs)
    why = f"Brain PSNR (dB), mean of both: {ranked(level)}{broken and f'; {broken}'}. "
    why += f"By the paper's metric: {ranked({label: theirs[label] for label in PUBLISHED})}"
    why += f"; {by_theirs}." if by_theirs else "."
    if level["single"] <= level["cubic"]:
        why += short_fit("single", level["single"] - level[HALF])
    verdict = "not reproduced" if broken else "reproduced here"
    if broken and not by_theirs:
        verdict = "reproduced by the paper's metric, not by the honest one"
    said = [Claim(f"cubic < single < vanilla < split-head ({name})", verdict, why)]
    errors = {label: wrong[label] for label in PUBLISHED}
    best = errors["split-head"] <= min(errors["cubic"], errors["single"])
    said.append(
        claim(
            f"Learning both contrasts together keeps their mutual information ({name})",
            best and errors["vanilla"] <= min(errors["cubic"], errors["single"]),
            f"Error, nats: {ranked(wrong, 3)}.",
        )
    )
    ours = "; ".join(cost(rows, label, "split-head") for label in ("profile-inr", "guided", "tv"))
    said.append(
        Claim(f"This package's own methods on the paper's degradation ({name})", "for comparison", f"{ours}.")
    )
    return said


def with_floors(table: Sheet, rows: list[dict[str, Any]], pair: tuple[str, str]) -> Sheet:
    """The table of loss weights with the floors of `rows` below."""
    first, second = (floors(rows, contrast) for contrast in pair)
    for name, (level, _) in first.items():
        table.rows.append([name, level, second[name][0], (level + second[name][0]) / 2, ""])
    return table


def _broken(level: dict[str, float]) -> str:
    """Where the order of the published methods is not the paper's, in words; empty where it is."""
    steps = zip(PUBLISHED, PUBLISHED[1:], strict=False)
    return ", ".join(f"{b} is not above {a}" for a, b in steps if level[b] <= level[a])


def remarks(size: Size, small: bool, found: Sequence[Head], chief: tuple[str, str], lpips: bool) -> list[str]:
    said = [
        "LPIPS: mean over the slices of all axes, with AlexNet's weights and LPIPS's linear ones as given."
        if lpips
        else "LPIPS is not computed: its weights are in no package, and none were given (--lpips-weights)."
    ]
    missing = [" + ".join(pair) for pair in PLANES if not any(head.has(pair) for head in found)]
    if missing:
        said.append(f"Not testable here, because nobody has both: {', '.join(missing)}.")
    if any(head.subject for head in found):
        said.append(REAL)
    if small:
        s = size.networks
        said.append(
            f"Small: the middle {size.voxels} voxels of one head; published networks {s['width']} wide, not "
            f"1024, for {s['epochs']} epochs in batches of {s['batch']}, not 50 of 1000, on "
            f"{' + '.join(chief)} only."
        )
    return said


def picture(person: Case, made: dict[str, dict[str, Volume]], curve: dict[str, Any]) -> Any:
    contrast = list(person.truths)[-1]
    truth = person.truths[contrast]
    axis, dark_bright = plane_axis(truth, "coronal"), window(truth)
    shown = {"truth": truth, **{label: volumes[contrast] for label, volumes in made.items()}}
    planes = [slice_image(v, axis, middle(v, axis), dark_bright, HEIGHT) for v in shown.values()]
    charts, captions = convergence.charts(curve)
    half, names = (len(planes) + 1) // 2, list(shown)
    scans = panel([planes[:half], planes[half:]], [names[:half], names[half:]], f"{contrast}, coronal")
    return below(panel([charts], [captions], "Convergence"), scans)
