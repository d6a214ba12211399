"""A subject encoded once, from which any target is decoded: whole, or in any plane."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import torch

from mrinr.context import Context
from mrinr.contrast.agreement import factors, shifted
from mrinr.contrast.evidence import evidence
from mrinr.contrast.network import ContrastRepresentation, Measured
from mrinr.contrast.parameters import times
from mrinr.contrast.relaxometry import fit_tissue
from mrinr.contrast.scale import known_to, percentiles, scale
from mrinr.engine.cache import LIMIT
from mrinr.geometry import Grid
from mrinr.simulation.signal import Sequence as MRSequence
from mrinr.synthesis.head import Head, canvas, cut, uncut, window
from mrinr.synthesis.prediction import Prediction

SLICES_AT_ONCE, VOXELS_AT_ONCE = 4, 2**15
ROOM = 0.8  # of the worker's cache that the features of one subject may take
VOXELS_OF_REGION, TIMES_AT_ONCE = 32, 128
PLANES_KEPT = 6  # two rows of three views
ON_GRID = 0.02  # voxels: nearer than this a point counts as the voxel

Decoding = Callable[[torch.Tensor], Prediction]


@dataclass(eq=False)
class Encoded:
    """What the network keeps of a subject's scans.

    features : (n, channels + scans) float16, of the voxels that are worked on: the network's, and `evidence`
    measured : what the scans say of the subject as a whole, on the network's device; None for "attention"
    index : (i, j, k) int32 on `grid`: the row of each voxel in `features`, -1 where there is none
    brain : (i, j, k) bool
    gain : what an image on the physical scale is multiplied by to have the first source's units
    checks : with several sources, for each |predicted from the others - measured| over its range in the brain
        (median; by the network alone), and what a constant brain would reach
    """

    features: torch.Tensor
    measured: Measured | None
    index: np.ndarray
    grid: Grid
    brain: np.ndarray
    gain: float
    checks: list[dict[str, float]] = field(default_factory=list)
    _planes: dict[str, tuple[np.ndarray, Decoding | None]] = field(default_factory=dict, repr=False)

    def decode(
        self,
        network: ContrastRepresentation,
        target: MRSequence,
        rows: np.ndarray | None = None,
        context: Context | None = None,
        show: Callable[[np.ndarray], None] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The image and half its raw 90 % interval in the voxels of these rows (all), on the physical scale.

        show : called now and then with the image so far
        """
        features = self.features if rows is None else self.features[torch.from_numpy(rows)]
        context = context or Context()
        mean, half = np.empty(len(features), np.float32), np.empty(len(features), np.float32)
        for start in range(0, len(features), VOXELS_AT_ONCE):
            context.progress(start / len(features), "Decoding")
            part = slice(start, start + VOXELS_AT_ONCE)
            mean[part], half[part] = _decode(network, features[part], target, self.measured)
            if show is not None:
                show(mean[: part.stop])
        return mean, half

    def worked_on(self) -> Grid:
        """The part of the grid in which there are voxels."""
        there = self.index >= 0
        ends = [np.flatnonzero(there.any(axis=other))[[0, -1]] for other in ((1, 2), (0, 2), (0, 1))]
        (i, ni), (j, nj), (k, nk) = ((int(low), int(high) + 1) for low, high in ends)
        return self.grid.crop((i, j, k), (ni, nj, nk))

    def filled(self, values: np.ndarray) -> np.ndarray:
        """(i, j, k) with `values` of the first rows in their voxels, 0 elsewhere."""
        out = np.zeros(self.grid.shape, np.float32)
        there = (self.index >= 0) & (self.index < len(values))
        out[there] = values[self.index[there]]
        return out

    def plane(
        self, network: ContrastRepresentation, target: MRSequence, grid: Grid
    ) -> tuple[np.ndarray, np.ndarray]:
        """Image and raw half interval on another grid of few voxels, such as a view's plane, anywhere.

        Features are interpolated linearly, then decoded; 0 where there is no head. What no target changes is
        kept for the last few planes.
        """
        key = repr((grid.shape, grid.affine.round(4).tolist()))
        if key not in self._planes:
            while len(self._planes) >= PLANES_KEPT:
                del self._planes[next(iter(self._planes))]
            points, to = np.moveaxis(np.indices(grid.shape), 0, -1).reshape(-1, 3), grid.to(self.grid)
            inside, features = self._at(points @ to[:3, :3].T + to[:3, 3])
            self._planes[key] = inside, _decoding(network, features, self.measured)
        inside, decoding = self._planes[key]
        mean, half = np.zeros(grid.size, np.float32), np.zeros(grid.size, np.float32)
        mean[inside], half[inside] = _played(decoding, target, _device(network))
        return mean.reshape(grid.shape), half.reshape(grid.shape)

    def signals(
        self, network: ContrastRepresentation, regions: Sequence[np.ndarray]
    ) -> Callable[[np.ndarray], np.ndarray]:
        """The regions' mean signals: a function of times (n, 3) that returns (n, regions).

        regions : rows of their voxels; of a large region some voxels stand for all
        """
        some = [rows[:: -(-len(rows) // VOXELS_OF_REGION)] for rows in regions]
        device, ends = _device(network), np.cumsum([0, *(len(rows) for rows in some)])
        features = self.features[torch.from_numpy(np.concatenate(some))].expand(TIMES_AT_ONCE, -1, -1)

        def at(asked: np.ndarray) -> np.ndarray:
            means = []
            for start in range(0, len(asked), TIMES_AT_ONCE):
                part = torch.from_numpy(asked[start : start + TIMES_AT_ONCE].astype(np.float32)).to(device)
                with torch.inference_mode():
                    decoding = network.decoding(*_split(network, features[: len(part)], self.measured))
                    found = decoding(part).mean[:, 0, 0].cpu().numpy()
                pairs = zip(ends[:-1], ends[1:], strict=True)
                means.append(np.stack([found[:, a:b].mean(1) for a, b in pairs], 1))
            return np.concatenate(means)

        return at

    def _at(self, points: np.ndarray) -> tuple[np.ndarray, torch.Tensor]:
        """Which of the points (n, 3), indices of `grid`, lie in the head, and the features there."""
        nearest = np.rint(points).astype(np.int64)
        rows = self._rows(nearest)
        inside = np.flatnonzero(rows >= 0)
        points, nearest, rows = points[inside], nearest[inside], rows[inside]
        off = np.abs(points - nearest)
        between = [axis for axis in range(3) if len(off) and off[:, axis].max() > ON_GRID]
        if not between:
            return inside, self.features[torch.from_numpy(rows)]
        low = nearest.copy()
        low[:, between] = np.floor(points[:, between])
        share = points[:, between] - low[:, between]
        total = torch.zeros(len(rows), 1)
        mixed = torch.zeros(len(rows), self.features.shape[1])
        for corner in product((0, 1), repeat=len(between)):
            at = low.copy()
            at[:, between] += corner
            found = self._rows(at)
            weight = np.where(np.array(corner, bool), share, 1 - share).prod(1) * (found >= 0)
            w = torch.from_numpy(weight.astype(np.float32))[:, None]
            mixed += w * self.features[torch.from_numpy(found.clip(0))]
            total += w
        return inside, mixed / total.clamp_min(1e-6)

    def _rows(self, index: np.ndarray) -> np.ndarray:
        """Rows of voxels (n, 3); -1 outside."""
        within = ((index >= 0) & (index < self.grid.shape)).all(1)
        rows = np.full(len(index), -1, np.int64)
        rows[within] = self.index[tuple(index[within].T)]
        return rows


def encode_head(
    network: ContrastRepresentation,
    head: Head,
    played: Sequence[MRSequence],
    context: Context,
    levels: Mapping[str, np.ndarray] | None = None,
) -> Encoded:
    """Encode the images of `head` (those of "0", "1", ... with the times `played`) and fuse them.

    levels : `scale.percentiles` of the images where `head` is not all of the brain

    Warns where the head has more voxels than the cache has room for: then it keeps what lies near the brain.
    """
    names = [str(n) for n in range(len(played))]
    if levels is None:
        levels = {name: percentiles(head.images[name], head.brain) for name in names}
    scales = [scale(levels[name], sequence) for name, sequence in zip(names, played, strict=True)]
    head = _fitting(head, network.channels + len(names), context)
    images, _ = canvas(head, names)
    rows, columns, axial = window(head)
    lit = cut(head.lit[..., axial].astype(np.float32), rows, columns) > 0
    brain = lit & (cut(head.brain[..., axial].astype(np.float32), rows, columns) > 0)
    device = _device(network)
    shown = [images[name] / found.gain for name, found in zip(names, scales, strict=True)]
    asked = torch.cat([_times(sequence, 1, device) for sequence in played])
    brighter = factors(network, shown, asked, scales, brain)
    shown = [x * factor for x, factor in zip(shown, brighter, strict=True)]
    said = len(asked) if network.variant == "modulation" else 0
    features = torch.zeros(int(lit.sum()), network.channels + said, dtype=torch.float16)
    predicted = [np.zeros(int(brain.sum()), np.float32) for _ in names] if len(names) > 1 else []
    done, seen = 0, 0
    for start in range(0, len(lit), SLICES_AT_ONCE):
        context.progress(start / len(lit), "Encoding")
        part = slice(start, start + SLICES_AT_ONCE)
        inside, brains = torch.from_numpy(lit[part]), torch.from_numpy(brain[part])
        with torch.inference_mode():
            own = []
            for whole, sequence, found, factor in zip(shown, played, scales, brighter, strict=True):
                image = torch.from_numpy(whole[part])[:, None].to(device)
                beside = shifted(found, float(np.log(factor)), len(image), device)
                own.append(_both_ways(network, image, _times(sequence, len(image), device), beside))
                context.check()
            kept = network.fuse(own).permute(0, 2, 3, 1)[inside.to(device)]
            stop = done + len(kept)
            features[done:stop, : network.channels] = kept.half().cpu()
            for n, check in enumerate(predicted):
                others = network.fuse([f for m, f in enumerate(own) if m != n]).permute(0, 2, 3, 1)
                values, _ = _decode(network, others[brains.to(device)], played[n], None)
                check[seen : seen + len(values)] = values
        done, seen = stop, seen + int(brains.sum())
    told, gain = None, head.units["0"] * scales[0].gain / brighter[0]
    if network.variant == "modulation" and brain.any():
        there = torch.from_numpy(brain[lit])
        spacing = np.linalg.norm(head.grid.affine[:3, :3], axis=0)[[2, 0, 1]]
        known = features[there, : network.channels]
        spreads = [known_to(*each) for each in zip(scales, played, strict=True)]
        told, gains = fit_tissue(network, known, shown, brain, asked, spreads)
        scaled = [image / own for image, own in zip(shown, gains, strict=True)]
        gain *= gains[0]
        weights = evidence(network, known, scaled, brain, told, spacing, context)
        features[there, network.channels :] = weights.half()
    numbers = np.zeros(lit.shape, np.float32)  # whole numbers are exact below 2^24, more than fit
    numbers[lit] = np.arange(1, len(features) + 1)
    return Encoded(
        features,
        told,
        uncut(numbers, head).astype(np.int32) - 1,
        head.grid,
        head.brain,
        gain,
        [_check(p, x[brain]) for p, x in zip(predicted, shown, strict=False)],
    )


def _both_ways(
    network: ContrastRepresentation, image: torch.Tensor, times: torch.Tensor, levels: torch.Tensor
) -> torch.Tensor:
    """The mean of features of an image and of its mirror image: left and right are alike, errors are not."""
    mirrored = network.encode(image.flip(2), times, levels).flip(2)
    return (network.encode(image, times, levels) + mirrored) / 2


def _fitting(head: Head, channels: int, context: Context) -> Head:
    """The head, or its brain and a little around it where the whole would not fit into the cache."""
    room = ROOM * LIMIT / (2 * channels)
    if head.lit.sum() <= room:
        return head
    near = head.brain.copy()
    for axis in range(3):
        for step in (-1, 1):
            near |= np.roll(near, 3 * step, axis)
    context.warn(
        "The head has too many voxels to be kept at once, so only the brain is worked on; crop the scan to "
        "see what lies around it."
    )
    return Head(head.grid, head.images, head.units, head.brain, near & head.lit)


def _decode(
    network: ContrastRepresentation, features: torch.Tensor, target: MRSequence, measured: Measured | None
) -> tuple[np.ndarray, np.ndarray]:
    """Image and raw half interval of features (n, channels + scans)."""
    return _played(_decoding(network, features, measured), target, _device(network))


def _decoding(
    network: ContrastRepresentation, features: torch.Tensor, measured: Measured | None
) -> Decoding | None:
    """None where there are no voxels, of which a convolution would make an error."""
    with torch.inference_mode():
        return network.decoding(*_split(network, features[None], measured)) if len(features) else None


def _split(
    network: ContrastRepresentation, features: torch.Tensor, measured: Measured | None
) -> tuple[torch.Tensor, Measured | None, torch.Tensor | None]:
    """The network's features as the image (n, channels, 1, voxels) that it decodes, and what was measured."""
    x = features.to(_device(network)).float().transpose(1, 2)[:, :, None]
    if measured is None:
        return x[:, : network.channels], None, None
    return x[:, : network.channels], measured, x[:, network.channels :]


def _played(
    decoding: Decoding | None, target: MRSequence, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    if decoding is None:
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    with torch.inference_mode():
        found = decoding(_times(target, 1, device))
        half = (found.low + found.high) / 2
    return found.mean.flatten().cpu().numpy(), half.flatten().cpu().numpy()


def _device(network: torch.nn.Module) -> torch.device:
    return next(network.parameters()).device


def _times(sequence: MRSequence, count: int, device: torch.device) -> torch.Tensor:
    return torch.tensor([times(sequence)], device=device).expand(count, -1)


def _check(predicted: np.ndarray, measured: np.ndarray) -> dict[str, float]:
    top = max(float(np.percentile(measured, 99)), 1e-6)
    return {
        "error": float(np.median(np.abs(predicted - measured))) / top,
        "constant": float(np.median(np.abs(measured - np.median(measured)))) / top,
    }
