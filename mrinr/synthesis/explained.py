"""What the patient's own scans explain of a prediction.

A network draws edges from what it learned; the scans show them. So functions of the scans are fitted to its
image and take its place: a linear one around each voxel (the guided filter, He, Sun & Tang 2013, equations 5
to 8), which keeps what a place has of its own, and, up to half, one polynomial of their intensities for the
whole brain, which has levels and partial volumes right and counts less where it explains little of the image.
Levels are known better from all voxels at once. So another polynomial is fitted to what the map of
intensities (`intensities`) reads off the scans: the network's image is moved by a share READ of the
difference between the two before anything is fitted to it, and of the polynomials' part in the result the
read one has that share, however little the network's own explains. What the network draws in tissue and no
fit follows over several voxels, as it does not follow a small lesion, is put back. No paper of the five has
this step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

import numpy as np
import torch
from torch.nn import functional

Reader = Callable[[torch.Tensor], torch.Tensor]

CUBIC = 3  # with more scans than this the polynomial is quadratic
RIDGE = 1e-6  # of a term's mean square
AT_ONCE = 16  # slices
AROUND = (5, 7, 7)  # voxels of a window of the local fit, along slices, rows and columns
STEP = (2, 3, 3)  # voxels from one window to the next
SMOOTH = 1e-3  # squared brain medians: contrast below its root is noise
DARK = 0.1  # brain medians
MOST = 0.5  # of a voxel that is a polynomial's
DOUBTED, TRUSTED = 0.6, 0.8  # R squared from which the polynomial counts, and counts in full
READ, FITTED_TO = 0.4, 20_000  # share that is read of levels, and the voxels that the reading is fitted to
EDGE = 9  # pixels over which polynomials fade out where the brain ends
PATCH = (3, 5, 5)  # voxels over which what no fit follows is averaged
STRAYS = 0.05  # brain medians: as far from the network the fits are trusted more
TISSUE = (0.5, 2.0)  # brain medians: outside of these lies fluid, and there the fits are better
DEEP = 7  # pixels from where the brain ends; nearer to it the network's edges are soft


@dataclass(frozen=True)
class Polynomial:
    """Of the scans' intensities: `factors` of its terms, its ends, and how much it counts, 0 to MOST."""

    factors: torch.Tensor
    least: float
    most: float
    weight: float

    def of(self, terms: torch.Tensor) -> torch.Tensor:
        """(k, h, w) of (terms, k, h, w)."""
        return torch.einsum("tkhw,t->khw", terms, self.factors).clamp(self.least, self.most)


def explained(
    images: Sequence[np.ndarray],
    predicted: np.ndarray,
    brain: np.ndarray,
    lit: np.ndarray,
    read: Polynomial | None = None,
) -> np.ndarray:
    """`predicted` as far as `images` explain it; all (k, h, w), on the scale that models know.

    images : the scans, moved to where the network saw them
    brain : bool, where polynomials are fitted and count beside the local fit; elsewhere that counts alone
    lit : bool, the head; what lies around it is air and stays as it is
    read : see `as_read`
    """
    if not brain.any():
        return predicted
    shown = torch.from_numpy(np.stack(images).astype(np.float32))
    image, inside, head = (torch.from_numpy(x) for x in (predicted, brain, lit))
    polynomials = [_fitted(shown, image, inside)]
    near = functional.avg_pool2d(inside[:, None].float(), EDGE, 1, EDGE // 2)[:, 0]
    if read is not None:
        polynomials = [replace(polynomials[0], weight=(1 - READ) * polynomials[0].weight), read]
    levels = _everywhere(polynomials, shown)
    if read is not None:
        image = image + READ * near * (levels[1] - levels[0])
    fits = torch.empty_like(image)
    for rows, part in _slabs(len(image)):
        found = local(shown[:, rows], image[rows], head[rows].float())[part]
        at = slice(rows.start + part.start, rows.start + part.stop)
        fits[at] = found + near[at] * sum(
            polynomial.weight * (level[at] - found)
            for polynomial, level in zip(polynomials, levels, strict=True)
        )
    tissue = _deep(inside) * (fits > TISSUE[0]) * (fits < TISSUE[1])
    fits += tissue * _unfollowed(image - fits)
    return torch.where(head, fits.clamp_min(0), torch.from_numpy(predicted)).numpy()


def _everywhere(polynomials: Sequence[Polynomial], images: torch.Tensor) -> list[torch.Tensor]:
    """What each makes of `images` (m, k, h, w)."""
    found = [torch.empty_like(images[0]) for _ in polynomials]
    for at in (slice(n, n + AT_ONCE) for n in range(0, images.shape[1], AT_ONCE)):
        terms = _terms(images[:, at])
        for level, polynomial in zip(found, polynomials, strict=True):
            level[at] = polynomial.of(terms)
    return found


def _deep(inside: torch.Tensor) -> torch.Tensor:
    """1 in (k, h, w) where a square of DEEP pixels to each side lies inside, else 0."""
    outside = (~inside)[:, None].float()
    for size, around in (((2 * DEEP + 1, 1), (DEEP, 0)), ((1, 2 * DEEP + 1), (0, DEEP))):
        outside = functional.max_pool2d(outside, size, 1, around)
    return 1 - outside[:, 0]


def _unfollowed(left: torch.Tensor) -> torch.Tensor:
    """What of the residual (k, h, w) is neither noise nor the network's lack of sharpness."""
    sides = [n // 2 for n in PATCH[::-1] for _ in range(2)]
    mean = functional.avg_pool3d(functional.pad(left[None, None], sides, "replicate"), PATCH, 1)[0, 0]
    return mean - mean.clamp(-STRAYS, STRAYS)


def slice_by_slice(
    images: Sequence[np.ndarray], predicted: np.ndarray, brain: np.ndarray, reader: Reader | None = None
) -> np.ndarray:
    """The same for slices (k, h, w) that need not be neighbours; what no image shows is air.

    reader : see `as_read`; the slices are then of one scan
    """
    lit = brain | (np.max(images, axis=0) > DARK)
    read = None if reader is None else as_read(images, brain, reader)
    each = [
        explained([x[[n]] for x in images], predicted[[n]], brain[[n]], lit[[n]], read)
        for n in range(len(brain))
    ]
    return np.concatenate(each)


def local(images: torch.Tensor, predicted: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The linear fit of `predicted` (k, h, w) by `images` (m, k, h, w) around each voxel.

    Windows lie STEP apart, factors between their middles are interpolated. `weight` (k, h, w) is 0 for voxels
    that do not count.
    """
    m = len(images)
    count = _mean(weight).clamp_min(1e-6)
    means = [_mean(image * weight) / count for image in images]
    mean = _mean(predicted * weight) / count
    matrix = torch.empty(*mean.shape, m, m)
    vector = torch.empty(*mean.shape, m)
    for a in range(m):
        weighted = images[a] * weight
        vector[..., a] = _mean(weighted * predicted) / count - means[a] * mean
        for b in range(a, m):
            shared = _mean(weighted * images[b]) / count - means[a] * means[b]
            matrix[..., a, b] = matrix[..., b, a] = shared
    factors = torch.linalg.solve(matrix + SMOOTH * torch.eye(m), vector).movedim(-1, 0)
    offset = mean - (factors * torch.stack(means)).sum(0)
    fine = functional.interpolate(
        torch.cat([factors, offset[None]])[None], _padded(weight.shape), mode="trilinear", align_corners=True
    )[0]
    k, h, w = weight.shape
    fine = fine[:, :k, :h, :w]
    return (fine[:-1] * images).sum(0) + fine[-1]


def _fitted(images: torch.Tensor, predicted: torch.Tensor, inside: torch.Tensor) -> Polynomial:
    """That of the network's image, least squares over the voxels `inside`; the weight is by its R squared."""
    matrix, vector = torch.tensor(0.0), torch.tensor(0.0)
    for n in range(len(predicted)):
        # Products of scans are nearly collinear: float32 is not enough for their normal equations.
        terms = _terms(images[:, n][:, inside[n]].double())
        matrix = matrix + terms @ terms.mT
        vector = vector + terms @ predicted[n][inside[n]].double()
    factors = _solved(matrix, vector)
    values = predicted[inside].double()
    left = values.square().sum() - 2 * factors @ vector + factors @ matrix @ factors
    spread = (values - values.mean()).square().sum().clamp_min(1e-9)
    most_of_it = (1 - float(left / spread) - DOUBTED) / (TRUSTED - DOUBTED)
    least, most = (float(end) for end in values.aminmax())
    return Polynomial(factors.float(), least, most, MOST * min(max(most_of_it, 0.0), 1.0))


def as_read(images: Sequence[np.ndarray], brain: np.ndarray, reader: Reader) -> Polynomial | None:
    """That of what is read off voxels of the brain; None where there are none.

    images, brain : (k, h, w); brain is that of the scales, without anything around it
    reader : from voxels (v, images), drawn at random, to intensities of the target (v,); see
        `Readings.reader`
    """
    places = torch.from_numpy(np.argwhere(brain))
    if not len(places):
        return None
    drawn = torch.randint(len(places), (FITTED_TO,), generator=torch.Generator().manual_seed(0))
    level, row, column = places[drawn].unbind(1)
    voxels = torch.stack([torch.from_numpy(image)[level, row, column] for image in images])
    values, terms = reader(voxels.mT), _terms(voxels.double())
    factors = _solved(terms @ terms.mT, terms @ values.double())
    least, most = (float(end) for end in values.aminmax())
    return Polynomial(factors.float(), least, most, MOST * READ)


def _solved(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    return torch.linalg.solve(matrix + torch.diag(RIDGE * matrix.diagonal() + 1e-9), vector)


def _terms(images: torch.Tensor) -> torch.Tensor:
    """1 and all products of up to three `images` (m, ...), or two where there are many; (terms, ...)."""
    most = 3 if len(images) <= CUBIC else 2
    found = [torch.ones_like(images[0])]
    for order in range(1, most + 1):
        found += [
            images[list(some)].prod(0) for some in combinations_with_replacement(range(len(images)), order)
        ]
    return torch.stack(found)


def _slabs(count: int) -> Iterator[tuple[slice, slice]]:
    """Slices to look at, and which of these to keep: some at a time, with what their windows reach."""
    reach = 2 * STEP[0] + AROUND[0]
    for start in range(0, count, AT_ONCE):
        stop = min(start + AT_ONCE, count)
        first, last = max(0, start - reach), min(count, stop + reach)
        first -= first % STEP[0]  # windows lie where they would lie without slabs
        yield slice(first, last), slice(start - first, stop - first)


def _padded(shape: torch.Size) -> list[int]:
    """So large that the last window's middle is the last voxel."""
    return [(n - 1 + step - 1) // step * step + 1 for n, step in zip(shape, STEP, strict=True)]


def _mean(image: torch.Tensor) -> torch.Tensor:
    """Over each window of (k, h, w), as if there were zeros outside."""
    sides = [
        side
        for n, to, reach in list(zip(image.shape, _padded(image.shape), AROUND, strict=True))[::-1]
        for side in (reach // 2, reach // 2 + to - n)
    ]
    return functional.avg_pool3d(functional.pad(image, sides)[None, None], AROUND, STEP)[0, 0]
