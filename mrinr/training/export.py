"""What a trained model knows about itself: errors beside floors, calibration, scales, and its card."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from mrinr.synthesis.calibration import calibrate
from mrinr.synthesis.explained import slice_by_slice
from mrinr.training.recipe import Recipe

KEPT = 2000  # voxels of the brain drawn from a slice


def judge(
    recipe: Recipe | Any, network: nn.Module, held_out: Sequence[Any], fitted: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metrics with floors, and the interval's calibration, both by target, on people never trained on.

    With `fitted` of what the scans explain of the predictions, which is what synthesis returns.
    PSNR is that of each slice's brain, range: the truth's 99.9th percentile there; medians over slices.
    """
    rng = np.random.default_rng(0)
    scores: dict[str, dict[str, list[float]]] = {}
    raw: dict[str, list[np.ndarray]] = {}
    error: dict[str, list[np.ndarray]] = {}
    network.eval()
    for batch in held_out:
        with torch.no_grad():
            predicted = {t: recipe.predict(network, batch, t) for t in batch.clean}
        for target, found in predicted.items():
            half = (found.low + found.high) / 2
            mean = found.mean.float()
            if fitted:
                scans = [x[:, 0].numpy() for x in batch.seen.values()]
                alone = slice_by_slice(scans, mean[:, 0].numpy(), batch.brain[:, 0].numpy() > 0)
                mean = torch.from_numpy(alone)[:, None]
            for n in range(len(batch.brain)):
                inside = batch.brain[n, 0] > 0
                if not inside.any():  # a window beside the brain has nothing to judge
                    continue
                truth, image = (
                    batch.clean[target][n, 0][inside].numpy(),
                    mean[n, 0][inside].numpy(),
                )
                shown = np.stack([x[n, 0][inside].numpy() for x in batch.seen.values()], 1)
                row = scores.setdefault(target, {"model": [], "constant": [], "identity": [], "linear": []})
                top = max(float(np.percentile(truth, 99.9)), 1e-6)
                for name, guess in {"model": image, **fitted_floors(shown, truth)}.items():
                    row[name].append(_psnr(truth, guess, top))
                chosen = rng.choice(len(truth), min(KEPT, len(truth)), replace=False)
                raw.setdefault(target, []).append(half[n, 0][inside].float().numpy()[chosen])
                error.setdefault(target, []).append(np.abs(image - truth)[chosen])
    metrics = {
        target: {
            "slices": len(row["model"]),
            **{name: round(float(np.median(v)), 2) for name, v in row.items()},
        }
        for target, row in scores.items()
    }
    return metrics, {t: calibrate(np.concatenate(raw[t]), np.concatenate(error[t])) for t in raw}


def fitted_floors(shown: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """A constant, the best input times its best factor, the linear fit of all; fitted to the truth."""
    gains = (shown * truth[:, None]).sum(0) / np.maximum((shown**2).sum(0), 1e-9)
    scaled = shown * gains
    best = int(((scaled - truth[:, None]) ** 2).mean(0).argmin())
    design = np.concatenate([shown, np.ones((len(truth), 1), np.float32)], 1)
    fit = design @ np.linalg.lstsq(design, truth, rcond=None)[0]
    return {"constant": np.full_like(truth, truth.mean()), "identity": scaled[:, best], "linear": fit}


def hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} {platform.machine()} CPU core(s)"


def _psnr(truth: np.ndarray, guess: np.ndarray, top: float) -> float:
    return float(10 * np.log10(top**2 / max(float(((truth - guess) ** 2).mean()), 1e-12)))


def card(name: str, facts: dict[str, Any]) -> str:
    """The model card: what it does, what it was trained on, how well beside the floors, its limits."""
    training = facts["training"]
    lines = [
        f"# {name}",
        "",
        facts["intended_use"],
        "",
        f"- Inputs: {', '.join(facts['inputs'])}",
        f"- Targets: {', '.join(facts['targets'])}",
        f"- Trained on: {training['data']} ({training['licence']})",
        f"- Trained by: `{training['command']}`, seed {training['seed']}, {training['steps']} steps, "
        f"{training['hours']} hours on {training['hardware']}",
        *([f"- Mean with {training['averaged_with']}"] if "averaged_with" in training else []),
        "",
    ]
    if facts["metrics"]:
        lines += [
            "## How well",
            "",
            facts.get("metrics_of", ""),
            "",
            "| target | model | constant | best input scaled | linear fit | slices |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {t} | {m['model']} | {m['constant']} | {m['identity']} | {m['linear']} | {m['slices']} |"
            for t, m in facts["metrics"].items()
        ]
        lines.append("")
    if facts["statistics"]:
        lines += ["## On people never trained on", ""]
        lines += [f"- {name}: {value}" for name, value in facts["statistics"].items()] + [""]
    return "\n".join([*lines, "## Limits", "", *(f"- {limit}" for limit in facts.get("limits", [])), ""])
