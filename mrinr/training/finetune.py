"""Fine-tuning on one to three patients of one's own (Joyce 2017, section 5.4): only the decoder learns.

Encoders are run once; what follows costs a decoder only, so that it takes a minute or two without a GPU.
Neither MONAI nor accelerate is needed: this runs inside Slicer, too.
"""

from __future__ import annotations

import copy
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mrinr import bundles
from mrinr.bundles import Bundle
from mrinr.context import Context
from mrinr.engine.device import choose, set_threads
from mrinr.errors import InputError
from mrinr.metrics import psnr, ssim_map
from mrinr.synthesis.calibration import calibrate
from mrinr.synthesis.explained import Reader, slice_by_slice
from mrinr.synthesis.head import canvas, cut, prepare, window
from mrinr.synthesis.intensities import Readings
from mrinr.synthesis.levels import moved
from mrinr.synthesis.multimodal import Multimodal, fuse
from mrinr.synthesis.pipeline import align_to
from mrinr.training.export import card, hardware
from mrinr.training.multimodal import importance, in_float
from mrinr.training.recipe import mean_absolute, pinball
from mrinr.volume import Volume, check_image

STEPS = 600
RATE = 2e-3
BATCH, CROP = 4, 128
BLOCK = 5  # slices: of every five such blocks one is kept apart to judge on
AT_ONCE = 8  # slices
MOST_CASES = 20


@dataclass(eq=False)
class Lesson:
    """One patient: what the encoders make of the inputs, and the truth, on the pixels of the head.

    latents : by input, (k, latent, h, w) in half precision, aligned; shown : by input, (k, h, w)
    truth : (k, h, w), the brain's median at 1; brain : (k, h, w) bool
    units : by sequence, the median in the brain
    """

    latents: dict[str, torch.Tensor]
    shown: dict[str, np.ndarray]
    truth: np.ndarray
    brain: np.ndarray
    units: dict[str, float]

    @property
    def apart(self) -> np.ndarray:
        """Slices to judge on."""
        return np.arange(len(self.truth)) // BLOCK % 5 == 2


def finetune(
    bundle: Bundle,
    cases: Sequence[Mapping[str, Volume]],
    out: Path,
    target: str,
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    context: Context | None = None,
) -> tuple[Bundle, dict[str, Any]]:
    """Adapt the decoder of `target` to `cases` and save the new model in `out`; `bundle` stays as it is.

    Parameters
    ----------
    cases : patients: volumes by sequence, the target among them

    Returns the new model and a report: PSNR and SSIM in the brain before, after and of a linear fit of the
    inputs, all on slices that were kept apart, after a two-parameter match of intensities.

    Raises InputError where a case or the model cannot be used.
    """
    context = context or Context()
    inputs = check(bundle, cases, target)
    bundles.check_free(out)
    shipped = Readings.shipped(bundle.facts.get("taught", ()))
    torch.manual_seed(seed)
    random.seed(seed)
    set_threads(threads)
    where = choose(device)[0]
    network = bundle.network(where)
    assert isinstance(network, Multimodal)
    lessons = []
    for n, case in enumerate(cases):
        stage = context.stage(0.4 * n / len(cases), 0.4 * (n + 1) / len(cases))
        lessons.append(learn_from(network, case, inputs[n], target, where, stage))

    def reads(names: Sequence[str]) -> Reader | None:
        return None if shipped is None else shipped.reader(names, target)

    before = copy.deepcopy(network.decoders[target])
    seconds = _train(network, lessons, target, steps or STEPS, where, seed, context.stage(0.4, 0.95))
    context.progress(0.95, "Judging and saving the model")
    report: dict[str, Any] = {
        "model": bundle.name,
        "target": target,
        "cases": len(cases),
        "seconds": round(seconds, 1),
        "before": judge(before, lessons, where, reads),
        "after": judge(network.decoders[target], lessons, where),
        "linear": judge(None, lessons, where),
    }
    report["text"] = (
        f"{target} on slices kept apart: {report['before']['psnr']:.1f} dB before, "
        f"{report['after']['psnr']:.1f} dB after, {report['linear']['psnr']:.1f} dB by a linear fit."
    )
    facts = _facts(bundle, network, lessons, report, steps or STEPS, seed, where)
    saved = bundles.save(
        out, network.cpu(), bundle.architecture, bundle.facts["arguments"], facts, card(out.name, facts)
    )
    return saved, report


def check(bundle: Bundle, cases: Sequence[Mapping[str, Volume]], target: str) -> list[list[str]]:
    """The inputs of each case. Raises InputError for what cannot be learned from."""
    if bundle.architecture != "multimodal":
        raise InputError(f"The model {bundle.name} cannot be fine-tuned; choose a multimodal one.")
    if target not in bundle.targets:
        raise InputError(f"The model {bundle.name} predicts {', '.join(bundle.targets)}, not {target}.")
    if not 1 <= len(cases) <= MOST_CASES:
        raise InputError(f"Fine-tuning takes 1 to {MOST_CASES} patients, not {len(cases)}.")
    found = []
    for n, case in enumerate(cases, 1):
        if target not in case:
            raise InputError(f"Patient {n} has no {target} to learn from; add it or leave the patient out.")
        found.append([name for name in case if name in bundle.inputs and name != target])
        if not found[-1]:
            known = " or ".join(bundle.inputs)
            raise InputError(f"Patient {n} has nothing beside {target}; add {known}.")
        for volume in case.values():
            check_image(volume)
    return found


def learn_from(
    network: Multimodal,
    case: Mapping[str, Volume],
    inputs: list[str],
    target: str,
    device: torch.device,
    context: Context,
) -> Lesson:
    """Bring one patient to the working space and encode it once."""
    names = [*inputs, target]
    aligned = align_to(inputs[0], {name: case[name] for name in names}, "auto", context.stage(0, 0.4))
    head = prepare(aligned, inputs[0], device, context.stage(0.4, 0.7))
    images, _ = canvas(head, names)
    rows, columns, levels = window(head)
    brain = cut(head.brain[..., levels].astype(np.float32), rows, columns) > 0
    kept: dict[str, list[torch.Tensor]] = {name: [] for name in inputs}
    for start in range(0, len(brain), AT_ONCE):
        context.progress(0.7 + 0.3 * start / len(brain), "Encoding the inputs")
        part = {
            name: torch.from_numpy(images[name][start : start + AT_ONCE])[:, None].to(device)
            for name in inputs
        }
        with torch.no_grad():
            latents, _ = network.align(network.encode(part))
        for name, latent in latents.items():
            kept[name].append(latent.half().cpu())
    return Lesson(
        {name: torch.cat(parts) for name, parts in kept.items()},
        {name: images[name] for name in inputs},
        images[target],
        brain,
        head.units,
    )


def _train(
    network: Multimodal,
    lessons: Sequence[Lesson],
    target: str,
    steps: int,
    device: torch.device,
    seed: int,
    context: Context,
) -> float:
    """Change the decoder of `target`; returns the seconds that it took."""
    started = time.monotonic()
    decoder = network.decoders[target].train()
    optimizer = torch.optim.Adam(decoder.parameters(), RATE)
    rng = np.random.default_rng(seed)
    for step in range(steps):
        context.progress(step / steps, f"Fine-tuning {target}")
        for group in optimizer.param_groups:
            group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        lesson = lessons[int(rng.integers(len(lessons)))]
        names = list(lesson.latents)  # all of them in every other step: what the model will be used with
        if step % 2:
            names = rng.choice(names, rng.integers(1, len(names) + 1), replace=False).tolist()
        latents, truth, brain = _crops(lesson, names, rng, device)
        weight = importance(brain)
        found = in_float(decoder(latents))
        loss = mean_absolute(found.mean, truth, weight) + pinball(found, truth, weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    decoder.eval()
    return time.monotonic() - started


def _crops(
    lesson: Lesson, names: Sequence[str], rng: np.random.Generator, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Fused latents, truth and brain of BATCH windows that hold some brain."""
    levels = np.flatnonzero(lesson.brain.any((1, 2)) & ~lesson.apart)
    if len(levels) == 0:
        raise InputError("The patient has too few slices of brain to learn from; give a whole head.")
    height, width = lesson.truth.shape[1:]
    latents, truths, brains = [], [], []
    for level in rng.choice(levels, BATCH):
        i, j = (int(rng.integers(max(n - CROP, 0) + 1)) for n in (height, width))
        box = np.s_[i : i + CROP, j : j + CROP]
        chosen = {name: lesson.latents[name][level][:, box[0], box[1]].float() for name in names}
        latents.append(fuse(chosen))
        truths.append(torch.from_numpy(lesson.truth[level][box])[None])
        brains.append(torch.from_numpy(lesson.brain[level][box].astype(np.float32))[None])
    return tuple(torch.stack(x).to(device) for x in (latents, truths, brains))  # type: ignore[return-value]


def judge(
    decoder: torch.nn.Module | None,
    lessons: Sequence[Lesson],
    device: torch.device,
    reads: Callable[[Sequence[str]], Reader | None] = lambda names: None,
) -> dict[str, float]:
    """Means over the patients of PSNR and SSIM in the brain, on slices kept apart, intensities matched first.

    Without a decoder the linear fit of the inputs is judged. Range: the truth's 99.9th percentile there.
    reads : by the names of the inputs, what reads the target's levels off them (see `Readings.reader`)
    """
    scores = []
    for lesson in lessons:
        levels = lesson.apart & lesson.brain.any((1, 2))
        truth, brain = lesson.truth[levels], lesson.brain[levels]
        if decoder is None:
            columns = [x[levels] for x in lesson.shown.values()]
        else:
            reader = reads(list(lesson.shown))
            columns = [decoded(decoder, lesson, np.flatnonzero(levels), device, reader)[0]]
        design = np.stack([*(x[brain] for x in columns), np.ones(int(brain.sum()), np.float32)], 1)
        weights = np.linalg.lstsq(design, truth[brain], rcond=None)[0]
        image = sum(w * x for w, x in zip(weights, columns, strict=False)) + weights[-1]
        top = float(np.percentile(truth[brain], 99.9))
        similar = [ssim_map(a, b, top)[m].mean() for a, b, m in zip(truth, image, brain, strict=True)]
        scores.append((psnr(truth, image, brain, top), float(np.mean(similar))))
    means = np.mean(scores, axis=0)
    return {"psnr": round(float(means[0]), 3), "ssim": round(float(means[1]), 4)}


def decoded(
    decoder: torch.nn.Module,
    lesson: Lesson,
    levels: np.ndarray,
    device: torch.device,
    reader: Reader | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Image, as far as the inputs explain it, and half-width of the interval, (levels, h, w)."""
    images, halves = [], []
    for start in range(0, len(levels), AT_ONCE):
        at = levels[start : start + AT_ONCE]
        fused = fuse({name: latent[at].float() for name, latent in lesson.latents.items()})
        with torch.inference_mode():
            found = decoder(fused.to(device))
        images.append(found.mean[:, 0].cpu().numpy())
        halves.append((found.low + found.high)[:, 0].cpu().numpy() / 2)
    scans = [x[levels] for x in lesson.shown.values()]
    image = slice_by_slice(scans, np.concatenate(images), lesson.brain[levels], reader)
    return image, np.concatenate(halves)


def _facts(
    bundle: Bundle,
    network: Multimodal,
    lessons: Sequence[Lesson],
    report: Mapping[str, Any],
    steps: int,
    seed: int,
    device: torch.device,
) -> dict[str, Any]:
    """Those of the model that was adapted, with what was changed."""
    target = report["target"]
    facts: dict[str, Any] = copy.deepcopy(
        {k: v for k, v in bundle.facts.items() if k not in ("format", "arguments")}
    )
    facts.pop("architecture", None)
    facts["normalisation"]["levels"] = moved(
        facts["normalisation"]["levels"], target, [lesson.units for lesson in lessons]
    )
    raw, error = [], []
    for lesson in lessons:
        levels = np.flatnonzero(lesson.apart & lesson.brain.any((1, 2)))
        image, half = decoded(network.decoders[target], lesson, levels, device)
        inside = lesson.brain[levels]
        raw.append(half[inside])
        error.append(np.abs(image - lesson.truth[levels])[inside])
    facts["calibration"][target] = calibrate(np.concatenate(raw), np.concatenate(error))
    facts["training"] |= {
        "data": f"{facts['training']['data']}; {target} fine-tuned on {report['cases']} patient(s)",
        "command": f"mrinr finetune {bundle.name} --target {target} --steps {steps} --seed {seed}",
        "seed": seed,
        "steps": facts["training"]["steps"] + steps,
        "hardware": f"{facts['training']['hardware']}; {hardware()}",
    }
    facts["metrics"] = {name: row for name, row in facts["metrics"].items() if name != target}
    facts["taught"] = sorted({*facts.get("taught", ()), target})
    facts["fine_tuned_from"] = {"model": bundle.name, "weights_sha256": bundle.sha256, **report}
    return facts


def from_folder(bundle: Bundle, data: Path, target: str | None) -> tuple[list[dict[str, Volume]], str]:
    """The patients in a folder that have the target, and the target's name."""
    from mrinr.training.folders import find_subjects
    from mrinr.volume import read

    if target is None:
        if len(bundle.targets) > 1:
            raise InputError(
                f"The model {bundle.name} predicts {', '.join(bundle.targets)}; say which with --target."
            )
        target = bundle.targets[0]
    wanted = {*bundle.inputs, target}
    cases = []
    for subject in find_subjects(data):
        if target in subject.images:
            cases.append({name: read(path) for name, path in subject.images.items() if name in wanted})
    if not cases:
        raise InputError(f"No patient in {data} has a {target}; name a folder of patients that do.")
    return cases, target
