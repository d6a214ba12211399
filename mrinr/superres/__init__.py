"""Super-resolution: anisotropic stacks in, isotropic volumes out. No torch is imported until a run starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mrinr.context import Context
from mrinr.superres.estimate import estimate
from mrinr.superres.result import Reconstruction
from mrinr.volume import Stack, Volume

__all__ = ["METHODS", "Reconstruction", "estimate", "reconstruct"]

# name: one line for people, in the order in which a person should see them
METHODS = {
    "auto": "chooses method, prior weight and slice profile by predicting hidden slices",
    "guided": "two-stage guided ridge regression and joint total variation (two planes needed)",
    "prior": "guided, led by a network that has learned from other people's scans",
    "tv": "joint total variation through the slice profile",
    "profile-inr": "implicit neural representation trained through the slice profile",
    "best": "four times profile-inr, and guided where it helps; slow without a GPU",
    "irem": "IREM as published (Wu 2021), one contrast",
    "single": "one implicit neural representation for each contrast (McGinnis 2023, baseline)",
    "vanilla": "one network with an output for each contrast (McGinnis 2023, ablation)",
    "split-head": "shared layers with a head for each contrast (McGinnis 2023, proposed)",
    "cubic": "cubic interpolation, averaged over the stacks of a contrast (baseline)",
}


def reconstruct(
    stacks: Sequence[Stack],
    method: str = "auto",
    spacing: float | str = "auto",
    like: Volume | None = None,
    profile: str = "auto",
    register: str = "auto",
    mask: Volume | None = None,
    device: str = "auto",
    seed: int = 0,
    threads: int | None = None,
    roi: Sequence[float] | None = None,
    prior: bool = True,
    context: Context | None = None,
    **settings: object,
) -> Reconstruction:
    """Reconstruct every contrast of `stacks` on one grid.

    Parameters
    ----------
    stacks : any number of stacks; those of equal `contrast` are fused into one volume
    method : a key of `METHODS`
    spacing : millimetres of the isotropic target voxel; "auto" takes the finest in-plane spacing that
        memory allows. The grid has the first stack's axes and field of view
    like : take this volume's grid instead
    profile : slice profile of stacks whose own is "auto": "auto", "box", "gaussian" or "point"
    register : "auto" aligns every stack rigidly to the first by mutual information, "off" trusts the headers
    mask : where to judge the result (it never limits the reconstruction); estimated when None
    device : "auto", "cpu", "cuda" or "mps"
    roi : (R min, R max, A min, A max, S min, S max) in mm: reconstruct only this box
    prior : whether "auto" and "best" may use what was learned from other people, where hidden slices say
        that it helps
    settings : the method's own settings (see its file), for example `weight=` for `tv`; none for "auto"

    Returns
    -------
    Reconstruction: volumes, residuals, coverage (by contrast), rescanned stacks, report

    Raises
    ------
    InputError : one sentence about which stack or setting is wrong and what to do
    Cancelled : after the context's Cancel
    """
    from mrinr.engine.device import or_cpu
    from mrinr.superres.pipeline import Options, run

    options = Options(
        method, spacing, like, profile, register, mask, device, seed, threads, roi, prior, dict(settings)
    )
    context = context or Context()
    return or_cpu(lambda kind: run(list(stacks), replace(options, device=kind), context), device, context)
