"""The learned prior on people that it never saw: what it adds, what of that lasts, and whether it invents.

    python Testing/benchmarks/prior.py --maps DATA/label_maps --real DATA/ms_registered/patient19 \
        --real-model MODEL --out Testing/benchmarks/results [--part NAME ...]

Label maps head_03, head_08, head_12 and head_16 are left out of all training. The real patient must be left
out of MODEL's (`mrinr train prior ... --held-out`). Simulated people are judged with the model that ships.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mrinr.context import Context
from mrinr.degrade import degrade
from mrinr.metrics import psnr, ssim
from mrinr.simulation import Subject, from_labels, simulate_subject
from mrinr.superres import auto, cubic, guided, pipeline, prior, tv
from mrinr.superres.guess import Guess
from mrinr.superres.problem import Problem
from mrinr.volume import Stack, Volume, read

HEADS = ("head_03", "head_08", "head_12", "head_16")
SIZE = 104  # mm, of the crops
NOISE = 0.01
HEADER = f"""# The learned prior

Crops of {SIZE} mm; slices cut by an exact integral, {100 * NOISE:g} % noise, headers exact. PSNR (dB) and
SSIM in the brain (real: above 2 % of the maximum) where every stack saw it, range: the truth's 99.9th
percentile there. CPU-s on one thread of an x86 core, no GPU, without the choice by hidden slices; GB is the
largest size of the process so far. Floors: `cubic`, and `guided`, which learns from the patient alone.
`guess`: the network's answer as it is; `guess + tv`: with data consistency; `prior`: also corrected by what
the patient's own slices teach. Label maps are cartoons: gains on real scans are smaller.
"""
Volumes = dict[str, torch.Tensor]


@dataclass
class Case:
    """Stacks by (contrast, slice axis), how thick (mm), and where errors count."""

    name: str
    truths: dict[str, Volume]
    stacks: tuple[tuple[str, int], ...]
    regions: dict[str, np.ndarray]
    thickness: float = 4.0
    model: str = prior.MODEL


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--maps", type=Path, required=True, help="holds " + ", ".join(HEADS))
    parser.add_argument("--real", type=Path, required=True, help="a patient's folder with T1, T2 and FLAIR")
    parser.add_argument("--real-model", required=True, help="a model that never saw that patient")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", nargs="*", choices=list(PARTS), default=list(PARTS))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    pages = [HEADER]
    for part in args.part:
        title, cases, methods = PARTS[part]
        pages.append(f"\n## {title}\n")
        lines = ["| case | method | contrast | where | PSNR | SSIM | CPU-s | GB |", "|---" * 8 + "|"]
        found: dict[tuple[str, str], list[float]] = {}
        for case in cases(args):
            for line, (method, where, db) in judged(case, methods):
                lines.append(line)
                found.setdefault((method, where), []).append(db)
                print(line, flush=True)
        means = [f"{method}, {where}: {np.mean(each):.2f}" for (method, where), each in found.items()]
        pages += ["Means over cases and contrasts (dB): " + "; ".join(means) + ".\n", *lines]
        print(means, flush=True)
    (args.out / "prior.md").write_text("\n".join([*pages, ""]))


def judged(case: Case, methods: tuple[str, ...]):
    """A line of the table, and (method, region, PSNR), for every method, contrast and region."""
    problem, units = problem_of(case)
    seen = [x.numpy() != 0 for x in cubic.solve(problem, Context()).volumes.values()]
    for method in methods:
        start = time.process_time()
        volumes = METHODS[method](problem, case.model)
        seconds = time.process_time() - start
        gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        for contrast, truth in case.truths.items():
            voxels = volumes[contrast].numpy().clip(0) * units[contrast]
            peak = float(np.percentile(truth.voxels[case.regions["brain"]], 99.9))
            for where, region in case.regions.items():
                inside = region & np.all(seen, axis=0)
                if not inside.any():
                    continue
                db = psnr(truth.voxels, voxels, inside, peak)
                likeness = f"{ssim(truth.voxels, voxels, inside, peak):.3f}" if where == "brain" else ""
                row = [
                    case.name,
                    method,
                    contrast,
                    where,
                    f"{db:.2f}",
                    likeness,
                    f"{seconds:.0f}",
                    f"{gigabytes:.1f}",
                ]
                yield f"| {' | '.join(row)} |", (method, where, db)


def problem_of(case: Case) -> tuple[Problem, dict[str, float]]:
    """The problem on the truths' grid, and what scaled intensities are to be multiplied by."""
    stacks = []
    for n, (contrast, axis) in enumerate(case.stacks):
        truth = case.truths[contrast]
        thick = degrade(truth, axis, case.thickness / float(truth.spacing[axis]), noise=NOISE, seed=n)
        named = Volume(thick.voxels, thick.affine, f"{contrast} {n}", thick.meta)
        stacks.append(Stack(named, contrast, axis, case.thickness))
    scales = pipeline.subject_scales(stacks)
    grid = next(iter(case.truths.values())).grid
    gains = pipeline.relative_gains(stacks)
    built = pipeline.build(stacks, gains, scales, grid, "box", torch.device("cpu"), 0)
    return built, {c: s.unit for c, s in scales.items()}


def weight_of(method: str, problem: Problem) -> float:
    return auto.noise_weight(method, problem, auto.noise(problem))


def by_guess(problem: Problem, model: str, consistent: bool) -> Volumes:
    base = guided.filled(problem, cubic.solve(problem, Context()).volumes, Context())
    found = Guess(problem, prior.load(prior.find(model), problem.device)).volumes(base, base, Context())
    if not consistent:
        return {**base, **found}
    return tv.solve(
        problem,
        Context(),
        weight_of("prior", problem),
        {**base, **found},
        found,
        guided.ANCHOR,
        outer=3,
        inner=6,
    ).volumes


METHODS: dict[str, Callable[[Problem, str], Volumes]] = {
    "cubic": lambda p, model: cubic.solve(p, Context()).volumes,
    "tv": lambda p, model: tv.solve(p, Context(), weight_of("tv", p)).volumes,
    "guided": lambda p, model: guided.solve(p, Context(), weight_of("guided", p)).volumes,
    "guess": lambda p, model: by_guess(p, model, False),
    "guess + tv": lambda p, model: by_guess(p, model, True),
    "prior": lambda p, model: prior.solve(
        p, Context(), weight_of("prior", p), model=model, compare=False
    ).volumes,
}
ALL = tuple(METHODS)


def real(args: argparse.Namespace) -> list[Case]:
    """Pairs of a real patient; T1 and T2 were thick axial slices once: along that axis they are no truth."""
    made = []
    for stacks in ((("T1", 1), ("FLAIR", 0)), (("T2", 1), ("FLAIR", 0)), (("T1", 1), ("T2", 0))):
        scans = {c: read(args.real / f"{c}.nii.gz") for c, _ in stacks}
        truths = cropped({c: Volume(v.voxels.clip(0), v.affine, c) for c, v in scans.items()})
        first = next(iter(truths.values())).voxels
        where = {"brain": first > 0.02 * first.max()}
        name = f"{args.real.name} {' + '.join(c for c, _ in stacks)}"
        made.append(Case(name, truths, stacks, where, model=args.real_model))
    return made


def simulated(args: argparse.Namespace) -> list[Case]:
    """A pair of each left-out head, as scanned, with skull."""
    return [
        _case(args.maps, head, "none", n, (("T1", 2), ("T2", 1)), thickness)
        for n, (head, thickness) in enumerate(zip(HEADS, (3.3, 4.0, 5.0, 6.5), strict=True))
    ]


def alone(args: argparse.Namespace) -> list[Case]:
    return [
        _case(args.maps, head, "none", n, ((c, 2),), 4.0)
        for n, head in enumerate(HEADS)
        for c in ("T1", "T2")
    ]


def lesions(args: argparse.Namespace) -> list[Case]:
    """Tumours with rim, core and oedema, strokes and MS, of which training had only the real patients' MS."""
    pairs = {
        "tumour": (("T1ce", 2), ("T2", 1)),
        "stroke": (("DWI", 2), ("T1", 1)),
        "ms": (("FLAIR", 2), ("T1", 1)),
    }
    return [
        _case(args.maps, head, kind, n, pairs[kind], 4.0, around=True)
        for n, (head, kind) in enumerate(zip(HEADS, ("tumour", "stroke", "tumour", "ms"), strict=True))
    ]


def one_contrast(args: argparse.Namespace) -> list[Case]:
    """Spots and a ring that one contrast shows and its guide does not."""
    made = []
    for n, head in enumerate(HEADS[:2]):
        case = _case(args.maps, head, "none", n, (("T1", 2), ("T2", 1)), 4.0)
        odd = np.zeros(next(iter(case.truths.values())).voxels.shape, bool)
        index = np.moveaxis(np.indices(odd.shape), 0, -1)
        rng = np.random.default_rng(n)
        places = np.argwhere(case.regions["brain"])
        for m in range(12):
            distance = np.linalg.norm(index - places[rng.integers(len(places))], axis=-1)
            radius = rng.uniform(2, 6)
            odd |= (distance < radius) & (distance > (radius - 2 if m % 3 == 0 else -1))
        odd &= case.regions["brain"]
        shown = case.truths["T1"]
        voxels = np.where(odd, np.percentile(shown.voxels[case.regions["brain"]], 99), shown.voxels)
        case.truths["T1"] = Volume(voxels.astype(np.float32), shown.affine, "T1")
        case.regions["spots"] = odd
        case.name += ", spots in T1 only"
        made.append(case)
    return made


def _case(
    maps: Path,
    head: str,
    disease: str,
    seed: int,
    stacks: tuple[tuple[str, int], ...],
    thickness: float,
    around: bool = False,
) -> Case:
    contrasts = list(dict.fromkeys(c for c, _ in stacks))
    subject: Subject = simulate_subject(from_labels(read(maps / f"{head}.nii.gz")), contrasts, seed, disease)
    volumes = {**subject.volumes, "brain": subject.brain, "lesions": subject.lesions}
    inside = np.argwhere((subject.lesions if around else subject.brain).voxels > 0.5)
    parts = cropped(volumes, inside.mean(0))
    where = {"brain": parts["brain"].voxels > 0.5, "lesions": parts["lesions"].voxels > 0.5}
    name = f"{head} {disease if disease != 'none' else 'healthy'}, {thickness:g} mm"
    return Case(name, {c: parts[c] for c in contrasts}, stacks, where, thickness)


def cropped(volumes: dict[str, Volume], centre: np.ndarray | None = None) -> dict[str, Volume]:
    first = next(iter(volumes.values()))
    shape = np.array(first.voxels.shape)
    size = np.minimum(shape, np.rint(SIZE / first.spacing).astype(int))
    middle = np.argwhere(first.voxels > 0.02 * first.voxels.max()).mean(0) if centre is None else centre
    low = np.clip(np.rint(middle).astype(int) - size // 2, 0, shape - size)
    part = first.grid.crop(tuple(int(n) for n in low), tuple(int(n) for n in low + size))
    box = tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))
    return {c: Volume(np.ascontiguousarray(v.voxels[box]), part.affine, c) for c, v in volumes.items()}


PARTS = {
    "real": ("A real patient that the model never saw", real, ALL),
    "simulated": ("Simulated heads with skull, T1 axial and T2 coronal", simulated, ALL),
    "lesions": ("Disease that training never showed", lesions, ("cubic", "guided", "guess + tv", "prior")),
    "spots": (
        "What one contrast shows and the other does not",
        one_contrast,
        ("cubic", "guided", "guess + tv", "prior"),
    ),
    "alone": ("One stack alone", alone, ("cubic", "tv", "prior")),
}

if __name__ == "__main__":
    main()
