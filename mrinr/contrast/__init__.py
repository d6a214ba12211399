"""Any TR, TE and TI from scans of others: the contrast representation model. Torch loads with a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mrinr.context import Context
from mrinr.simulation.signal import Sequence as MRSequence
from mrinr.synthesis.result import Synthesis
from mrinr.volume import Volume

__all__ = ["MODEL", "Synthesis", "change_contrast"]

MODEL = "crl-compact"


def change_contrast(
    sources: Sequence[tuple[Volume, MRSequence]],
    target: MRSequence,
    model: str | Path = MODEL,
    register: str = "auto",
    device: str = "auto",
    seed: int = 0,
    threads: int | None = None,
    context: Context | None = None,
) -> Synthesis:
    """The head of `sources` as a scan with the times of `target` would show it.

    The result lies on the grid of the first source and has its units, at the same gain: what the target would
    have been, had it been acquired beside it. `mrinr.contrast.parameters` reads and checks times.

    Parameters
    ----------
    sources : scans of one head, as scanned or stripped, each with its TR, TE and TI (ms)
    model : the name of a model that ships with MRINR, or a model folder
    register : "auto" aligns the sources rigidly to the first by mutual information, "off" trusts the headers
    device : "auto", "cpu", "cuda" or "mps"

    Raises
    ------
    InputError : one sentence about which source or option is wrong and what to do
    Cancelled : after the context's Cancel
    """
    from mrinr.contrast.pipeline import Options, run
    from mrinr.engine.device import or_cpu

    context = context or Context()
    options = Options(model, register, device, seed, threads)
    return or_cpu(
        lambda kind: run(list(sources), target, replace(options, device=kind), context), device, context
    )
