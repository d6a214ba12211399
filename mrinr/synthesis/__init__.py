"""Synthesis of missing sequences: some of a patient's in, another one out. Torch loads with a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mrinr.context import Context
from mrinr.synthesis.result import Synthesis
from mrinr.volume import Volume

__all__ = ["INPUTS", "Synthesis", "synthesize"]

INPUTS = ("T1", "T2", "FLAIR", "PD", "DWI", "T1ce")


def synthesize(
    inputs: Mapping[str, Volume],
    target: str,
    model: str | Path = "auto",
    like: str | None = None,
    register: str = "auto",
    device: str = "auto",
    seed: int = 0,
    threads: int | None = None,
    context: Context | None = None,
) -> Synthesis:
    """Predict the sequence `target` from those in `inputs`.

    Parameters
    ----------
    inputs : volumes by sequence (keys of `INPUTS`), any grids, heads as scanned or stripped
    model : the name of a model that ships with MRINR, a model folder, or "auto": the one that fits
    like : the input whose grid the result gets; None for the first
    register : "auto" aligns the inputs rigidly to `like` by mutual information, "off" trusts the headers
    device : "auto", "cpu", "cuda" or "mps"

    Raises
    ------
    InputError : one sentence about which input or option is wrong and what to do
    Cancelled : after the context's Cancel
    """
    from mrinr.engine.device import or_cpu
    from mrinr.synthesis.pipeline import Options, run

    options = Options(target, model, like, register, device, seed, threads)
    context = context or Context()
    return or_cpu(lambda kind: run(dict(inputs), replace(options, device=kind), context), device, context)
