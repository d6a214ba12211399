"""What was measured has its say: the tissue of each voxel in the brain is corrected towards it.

The network gives each voxel shares of atoms. As far as these disagree about a scan of the subject, the scan
itself decides: the linear minimum mean square error estimate, with the shares as prior. Atoms whose signal
lies where the scan's does gain what others lose, so the result is a mixture of atoms still, obeys the signal
equation and keeps its sum of atoms. Not in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from mrinr.context import Context
from mrinr.contrast.network import ContrastRepresentation, Measured

VOXELS_AT_ONCE = 2**15
DOUBT = 0.12  # of a scan's median: noise, and what atoms cannot explain
SHADING = 40.0  # mm: where scan and prediction differ more smoothly than this the coil is to blame
MOST = 6e4  # that float16 holds
NO_WORD = 1e6  # variance of what was not measured


def evidence(
    network: ContrastRepresentation,
    features: torch.Tensor,
    images: Sequence[np.ndarray],
    brain: np.ndarray,
    measured: Measured,
    spacing: Sequence[float],
    context: Context,
) -> torch.Tensor:
    """What each scan says beyond the features: the weights (n, scans) of `Mixture.corrected`.

    Parameters
    ----------
    features : (n, channels), of the brain's voxels, of the "modulation" variant
    images : (k, h, w) each, on the physical scale
    brain : (k, h, w) bool
    measured : what all voxels together have said (`relaxometry`)
    spacing : mm along k, h, w
    """
    means, covariances = [], []
    with torch.inference_mode():
        for part in features.split(VOXELS_AT_ONCE):
            context.check()
            mean, covariance = network.moments(part.to(measured.times.device).float(), measured)
            means.append(mean.cpu())
            covariances.append(covariance.cpu())
    mean, covariance = torch.cat(means), torch.cat(covariances)
    left = torch.empty_like(mean)
    for n, image in enumerate(images):
        context.check()
        shown = torch.from_numpy(np.ascontiguousarray(image[brain])).float()
        seen = shown > 0  # beyond its last slice a scan says nothing
        left[:, n] = 0
        covariance[~seen, n, n] += NO_WORD
        if not seen.any():
            continue
        where = brain & (image > 0)
        shading = _smooth(shown[seen], where, spacing) / _smooth(mean[seen, n], where, spacing).clamp_min(
            1e-6
        )
        left[seen, n] = shown[seen] / shading.clamp_min(1e-6) - mean[seen, n]
        covariance[:, n, n] += (DOUBT * float(shown[seen].median())) ** 2 + 1e-12
    return torch.linalg.solve(covariance, left[..., None])[..., 0].clamp(-MOST, MOST)


def _smooth(values: torch.Tensor, brain: np.ndarray, spacing: Sequence[float]) -> torch.Tensor:
    """Means over boxes, twice, of what is in the brain; (n,) as `values`."""
    inside = torch.from_numpy(brain)
    both = torch.zeros(2, 1, *brain.shape)
    both[0, 0][inside] = values
    both[1, 0][inside] = 1.0
    for _ in range(2):
        for axis, (size, step) in enumerate(zip(brain.shape, spacing, strict=True)):
            reach = min(int(SHADING / 2 / step), size // 2 - 1)
            if reach > 0:
                both = _sums(both, axis + 2, reach)
    total, count = both[:, 0][:, inside]
    return total / count.clamp_min(1e-6)


def _sums(values: torch.Tensor, axis: int, reach: int) -> torch.Tensor:
    """Over each place and `reach` neighbours on both sides along an axis, as far as there are any."""
    up_to = functional.pad(values.movedim(axis, -1), (1, 0)).cumsum(-1)
    at, size = torch.arange(values.shape[axis]), values.shape[axis]
    ends, starts = (at + reach + 1).clamp_max(size), (at - reach).clamp_min(0)
    return (up_to[..., ends] - up_to[..., starts]).movedim(-1, axis)
