"""The training loop: resumable, on one or several devices, with pictures to watch."""

from __future__ import annotations

import copy
import io
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.files import reason, write_bytes
from mrinr.training.batch import Batch
from mrinr.training.recipe import Recipe, mean_absolute

AVERAGE = 0.998  # what is exported is the running average of the weights
CHECKPOINT, HISTORY = "checkpoint.pt", "history.jsonl"
SAVE_EVERY = 120.0  # seconds between two checkpoints


@dataclass(frozen=True)
class Budget:
    """When training ends: after `steps`, or after `hours` of it, whichever comes first."""

    steps: int
    hours: float | None = None

    def spent(self, step: int, seconds: float) -> float:
        """Fraction of the training that is done."""
        of_time = 0.0 if self.hours is None else seconds / (3600 * self.hours)
        return min(max(step / self.steps, of_time), 1.0)


def fit(
    recipe: Recipe,
    batches: Iterable[Batch],
    validation: Sequence[Batch],
    budget: Budget,
    work: Path,
    device: str = "cpu",
    context: Context | None = None,
) -> dict[str, Any]:
    """Train until the budget is spent and leave the averaged weights in the recipe's generator.

    Parameters
    ----------
    batches : endless
    validation : batches of people never trained on; their error and pictures are written as training goes on
    work : folder for checkpoint, history.jsonl and validation picture; training goes on from what is there
    device : "cpu", "cuda" or "mps"; several GPUs are used where `accelerate launch` started this

    Returns {steps, seconds, validation}. Raises Cancelled; the checkpoint then holds what was reached.
    """
    from accelerate import Accelerator

    context = context or Context()
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision="bf16" if _has_bfloat16(device) else "no")
    for name, network in recipe.networks.items():
        network.to(accelerator.device)
        recipe.optimizers[name].register_step_pre_hook(_averaging(accelerator, network))
    generator = recipe.networks["generator"]
    average = copy.deepcopy(generator).requires_grad_(False)
    # Before an earlier run's state comes in: its rate has decayed.
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in recipe.optimizers.items()}
    done = _resume(work, recipe, average)
    step, before = done["step"], done["seconds"]
    first = budget.spent(step, before)  # of earlier runs: progress, and the time left, are of this one
    started = saved = time.monotonic()
    recent: dict[str, float] = {}
    try:
        for batch in batches:
            seconds = before + time.monotonic() - started
            fraction = budget.spent(step, seconds)
            if fraction >= 1:
                break
            for name, optimizer in recipe.optimizers.items():
                for group in optimizer.param_groups:
                    group["lr"] = rates[name] * recipe.decay(fraction)
            losses = recipe.step(batch.to(accelerator.device), accelerator)
            if not all(np.isfinite(list(losses.values()))):
                raise InputError(f"Training diverged at step {step}; lower the learning rate.")
            step += 1
            _into(average, generator, min(AVERAGE, step / (step + 10)))
            recent = {name: 0.98 * recent.get(name, value) + 0.02 * value for name, value in losses.items()}
            context.progress((fraction - first) / (1 - first), f"Step {step}: " + _in_words(recent))
            if time.monotonic() - saved > SAVE_EVERY and accelerator.is_main_process:
                saved = time.monotonic()
                _save(work, recipe, average, step, seconds)
                _report(work, recipe, average, validation, step, recent)
    finally:
        seconds = before + time.monotonic() - started
        if accelerator.is_main_process:
            _save_undisturbed(work, recipe, average, step, seconds)
    generator.load_state_dict(average.state_dict())
    generator.to("cpu")
    found = _report(work, recipe, average, validation, step, recent)
    return {"steps": step, "seconds": round(seconds), "validation": found}


def _has_bfloat16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    return device == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def _averaging(accelerator: Any, network: nn.Module) -> Any:
    """Before a step, gradients become their mean over the processes (which drew different inputs)."""

    def hook(*_: Any) -> None:
        if accelerator.num_processes > 1:
            for parameter in network.parameters():
                if parameter.requires_grad:
                    own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                    parameter.grad = accelerator.reduce(own, "mean")

    return hook


def _into(average: nn.Module, network: nn.Module, kept: float) -> None:
    with torch.no_grad():
        for old, new in zip(average.parameters(), network.parameters(), strict=True):
            old.lerp_(new, 1 - kept)
        for kept_buffer, buffer in zip(average.buffers(), network.buffers(), strict=True):
            kept_buffer.copy_(buffer)


def _save(work: Path, recipe: Recipe, average: nn.Module, step: int, seconds: float) -> None:
    """Put a new checkpoint in the place of the old one, or leave that."""
    state = {
        "step": step,
        "seconds": seconds,
        "average": average.state_dict(),
        "networks": {name: network.state_dict() for name, network in recipe.networks.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in recipe.optimizers.items()},
    }
    packed = io.BytesIO()
    torch.save(state, packed)
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{work} cannot be made ({reason(error)}); choose another folder.") from error
    write_bytes(work / CHECKPOINT, packed.getbuffer())


def _save_undisturbed(*state: Any) -> None:
    """`_save`, and once more where torch broke it off to tell, as it does once, of a killed process."""
    try:
        _save(*state)
    except RuntimeError as error:
        if not told_of_killed(error):
            raise
        _save(*state)
        raise


def told_of_killed(error: BaseException) -> bool:
    """Whether it says that a process of the DataLoader was killed, or that nothing more comes from it.

    What such a process raised itself comes as the same type, "Caught ... in DataLoader worker process 0".
    """
    broken = isinstance(error, (ConnectionError, EOFError)) and not str(error).startswith("Caught ")
    return broken or "DataLoader worker (pid" in str(error)


def reached(work: Path) -> int:
    """The step that an earlier run in `work` came to; 0 where there is none, or none that can be read."""
    try:
        return int(torch.load(work / CHECKPOINT, map_location="cpu", weights_only=True)["step"])
    except Exception:  # whatever is wrong with it, `fit` says so
        return 0


def _resume(work: Path, recipe: Recipe, average: nn.Module) -> dict[str, Any]:
    path = work / CHECKPOINT
    if not path.exists():
        return {"step": 0, "seconds": 0.0}
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        average.load_state_dict(state["average"])
        for name, network in recipe.networks.items():
            network.load_state_dict(state["networks"][name])
            recipe.optimizers[name].load_state_dict(state["optimizers"][name])
    except OSError as error:
        raise InputError(f"{path} cannot be read ({reason(error)}).") from error
    except Exception as error:
        raise InputError(
            f"{path} is no checkpoint of this model; choose another folder, or remove it to begin again."
        ) from error
    return state


def _report(
    work: Path,
    recipe: Recipe,
    network: nn.Module,
    validation: Sequence[Batch],
    step: int,
    losses: dict[str, float],
) -> dict[str, float]:
    """Mean absolute error in the brain by target, in brain medians; a line of history and a picture."""
    device = next(network.parameters()).device
    errors: dict[str, list[float]] = {}
    rows = []
    network.eval()
    with torch.no_grad():
        for batch in validation:
            batch = batch.to(device)
            for target, truth in batch.clean.items():
                image = recipe.predict(network, batch, target).mean
                errors.setdefault(target, []).append(float(mean_absolute(image, truth, batch.brain)))
                rows.append([*(x[0, 0] for x in batch.seen.values()), image[0, 0], truth[0, 0]])
    network.train()
    found = {target: round(float(np.mean(values)), 5) for target, values in errors.items()}
    line = {"step": step, "losses": losses, "validation": found}
    with open(work / HISTORY, "a", encoding="utf-8") as history:
        history.write(json.dumps(line) + "\n")
    if rows:
        _picture(rows[:8]).save(work / "validation.png")
    return found


def _picture(rows: Sequence[Sequence[torch.Tensor]]) -> Any:
    """Inputs, prediction and truth side by side, a row for each; black at 0, white at twice the median."""
    from PIL import Image  # Slicer, which fine-tunes but never trains, may lack it

    columns = max(len(row) for row in rows)
    height, width = rows[0][0].shape
    sheet = np.zeros((len(rows) * height, columns * width), np.uint8)
    for r, row in enumerate(rows):
        for c, image in enumerate([*[None] * (columns - len(row)), *row]):
            if image is not None:
                grey = (image.float().cpu().numpy() * 110).clip(0, 255).astype(np.uint8)
                sheet[r * height : (r + 1) * height, c * width : (c + 1) * width] = grey
    return Image.fromarray(sheet)


def _in_words(losses: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
