"""Training the recogniser: cross entropies of the sequence, of each flip and of being no MR head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mrinr.synthesis import INPUTS
from mrinr.synthesis.prediction import Prediction
from mrinr.synthesis.recogniser import ANSWERS, FLIPS, Recogniser, likely
from mrinr.training.looks import Looks

SEQUENCES = len(INPUTS)


class RecogniserRecipe:
    """The losses of a batch, of answers that have a meaning."""

    def __init__(self, network: Recogniser, rate: float = 2e-3) -> None:
        self.networks: dict[str, nn.Module] = {"generator": network}
        self.optimizers = {"generator": torch.optim.AdamW(network.parameters(), rate, weight_decay=0.01)}

    def decay(self, fraction: float) -> float:
        return (1 - fraction) ** 0.9 + 1e-3

    def step(self, batch: Looks, accelerator: Any) -> dict[str, float]:
        network, optimizer = self.networks["generator"], self.optimizers["generator"]
        with accelerator.autocast():
            logits = network(batch.views)
        losses = terms(logits.float(), batch)
        optimizer.zero_grad(set_to_none=True)
        accelerator.backward(torch.stack(list(losses.values())).sum())
        optimizer.step()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def predict(self, network: nn.Module, batch: Looks, target: str) -> Prediction:
        """How likely each answer is, in the place of an image."""
        found = likely(network(batch.views).float())[:, None, None]
        return Prediction(found, torch.zeros_like(found), torch.zeros_like(found))

    def statistics(self, held_out: Sequence[Looks]) -> dict[str, float]:
        """How often the averaged network is right about people never trained on."""
        network = self.networks["generator"].eval()
        right: dict[str, list[bool]] = {name: [] for name in ("sequence", *FLIPS, "other")}
        with torch.no_grad():
            for batch in held_out:
                found, truth = likely(network(batch.views)), batch.answers[:, 0, 0]
                asked = batch.asked[:, 0, 0] > 0
                same = found[:, :SEQUENCES].argmax(1) == truth[:, :SEQUENCES].argmax(1)
                right["sequence"] += same[asked[:, 0]].tolist()
                for name in (*FLIPS, "other"):
                    n = ANSWERS.index(name)
                    right[name] += ((found[:, n] > 0.5) == (truth[:, n] > 0.5))[asked[:, n]].tolist()
        return {f"{name} right": round(sum(x) / len(x), 3) for name, x in right.items() if x}


def terms(logits: torch.Tensor, batch: Looks) -> dict[str, torch.Tensor]:
    """The terms of the loss: "sequence", "flips" and "other"."""
    answers, asked = batch.answers[:, 0, 0], batch.asked[:, 0, 0]
    known = asked[:, 0]
    sequence = functional.cross_entropy(logits[:, :SEQUENCES], answers[:, :SEQUENCES], reduction="none")
    yes = functional.binary_cross_entropy_with_logits(logits, answers, reduction="none") * asked
    return {
        "sequence": (sequence * known).sum() / known.sum().clamp_min(1),
        "flips": yes[:, SEQUENCES:-1].sum() / known.sum().clamp_min(1),
        "other": yes[:, -1].mean(),
    }
