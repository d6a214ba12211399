"""This subject's tissue: T1, T2 and proton density of each atom, fitted to all voxels of all scans at once.

The network knows its atoms as they were in training, but people differ by some 10 %. No voxel can tell by
itself while the gain of the scan is unknown; all of them together can, as tissues deviate each in its way.
Not in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from mrinr.contrast.network import Atoms, ContrastRepresentation, Measured
from mrinr.simulation.tissue import SPREAD

VOXELS = 20_000  # of the brain, that stand for all
VOICES = 20.0  # effective sample size: all voxels share the network's errors, which do not average out
ERROR = 0.06  # of such a voxel, in units of a scan's median
OUTLIER = 0.4  # in the same units: a residual counts for no more, as in a Huber loss
OPEN = np.array([0.2, 1.0, 2 / 3])  # of SPREAD (T1, T2, PD): the rest the network has seen already
REACH = 0.3  # length scale in log T1 and log T2: atoms nearer than this deviate alike
STEPS = 2  # of Gauss and Newton; with 30 T2 changes by less than 0.3 % where it is off by 15 to 30 %
STEP = 0.01  # of finite differences


def fit_tissue(
    network: ContrastRepresentation,
    features: torch.Tensor,
    images: Sequence[np.ndarray],
    brain: np.ndarray,
    times: torch.Tensor,
    spreads: Sequence[float],
) -> tuple[Measured, list[float]]:
    """The atoms of this subject, and what each image has to be divided by to lie on their scale.

    The most probable atoms and gains, with logarithms that are normal around those of the network and of 1.

    Parameters
    ----------
    features : (n, channels), of the brain's voxels, at least one, of the "modulation" variant
    images : (k, h, w) each, on the physical scale; 0 where a scan has ended
    brain : (k, h, w) bool
    times : (scans, 3), TR, TE, TI in ms
    spreads : how far the gain of each scan may be off, standard deviation of its logarithm (`Scale.spread`)
    """
    every = -(-len(features) // VOXELS)
    with torch.inference_mode():
        amounts = network.amounts(features[::every].to(times.device).float()).double().cpu()
        usual = Atoms(*(each.double().cpu() for each in network.atoms()))
    shown = [torch.from_numpy(np.ascontiguousarray(image[brain][::every])).double() for image in images]
    atoms, played = len(usual.T1), times.double().cpu()
    prior = _prior(usual, spreads)
    found = torch.zeros(len(prior), dtype=torch.float64)
    for _ in range(STEPS):
        information, towards = torch.linalg.inv(prior), torch.zeros_like(found)
        gains = found[3 * atoms :].exp()
        for n, image in enumerate(shown):
            there = image > 0
            if not there.any():
                continue
            unit = image[there].median()
            signals, slopes = _linear(usual, found[: 3 * atoms].view(3, atoms), played[n : n + 1])
            predicted = gains[n] * amounts[there] @ signals
            columns = torch.zeros(len(predicted), len(found), dtype=torch.float64)
            columns[:, : 3 * atoms] = gains[n] * (amounts[there, None] * slopes).flatten(1)
            columns[:, 3 * atoms + n] = predicted
            left = (image[there] - predicted).clamp(-OUTLIER * unit, OUTLIER * unit)
            weight = VOICES / len(predicted) / (ERROR * unit) ** 2
            information += weight * columns.T @ columns
            towards += weight * columns.T @ (left + columns @ found)
        found = torch.linalg.solve(information, towards)
    own = _moved(usual, found[: 3 * atoms].view(3, atoms))
    return (
        Measured(times, Atoms(*(each.float().to(times.device) for each in own))),
        found[3 * atoms :].exp().tolist(),
    )


def _prior(atoms: Atoms, spreads: Sequence[float]) -> torch.Tensor:
    """Covariance of the logarithms of all T1, all T2, all PD, and the gains."""
    places = torch.stack([atoms.T1, atoms.T2], 1).log() / REACH
    alike = torch.exp(-0.5 * torch.cdist(places, places) ** 2)
    parts = [deviation**2 * alike for deviation in (OPEN * SPREAD).tolist()]
    parts.append(torch.tensor(list(spreads), dtype=torch.float64).square().diag())
    prior = torch.block_diag(*parts)
    return prior + 1e-8 * torch.eye(len(prior), dtype=torch.float64)


def _moved(atoms: Atoms, by: torch.Tensor) -> Atoms:
    """Atoms with these (3, atoms) added to the logarithms of T1, T2 and PD."""
    return Atoms(*(each * factor for each, factor in zip(atoms, by.exp(), strict=True)))


def _linear(atoms: Atoms, at: torch.Tensor, times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Signals (atoms,) under one scan's times and their derivatives (3, atoms) at the logarithms `at`."""
    slopes = []
    for row in range(3):
        step = torch.zeros_like(at)
        step[row] = STEP
        low, high = (_moved(atoms, at + sign * step).signals(times)[0] for sign in (-1, 1))
        slopes.append((high - low) / (2 * STEP))
    return _moved(atoms, at).signals(times)[0], torch.stack(slopes)
