"""One synthesised contrast of one person scored: honestly, beside floors and reference; as the paper."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from mrinr.benchmark.crl_people import Slab
from mrinr.contrast.reference import TOP, Lookup
from mrinr.contrast.scale import scale
from mrinr.metrics import PROTOCOLS, floor_images, psnr, ssim
from mrinr.simulation.signal import Sequence as MRSequence

APART = 8  # voxels between two that are looked up in several sources


def measured(
    person: Slab, image: np.ndarray, names: Sequence[str], target: str, played: MRSequence
) -> dict[str, Any]:
    """The numbers of `image` (i, j, k), in the units of the person's scans, made from the scans `names`.

    psnr, ssim : in the brain, range: the truth's 99.9th percentile there
    papers, papers_ssim : of the slab (the mean over its slices), what is not brain dark, each image min-max
        scaled
    reference, identity, linear : PSNR of the voxel-wise reference and of the floors
    papers_identity, papers_linear : of the floors, as `papers`
    papers_cut : as `papers`, of images whose brightest voxels are cut to the 99.9th percentile in the brain
    """
    truth, brain = person.truth[target].voxels, person.inside
    top = PROTOCOLS["honest"](truth, image, brain)[2]
    fitted = floor_images(person.truth[target], brain, [person.seen(name) for name in names])

    def as_the_paper(image: np.ndarray) -> tuple[Any, ...]:
        return PROTOCOLS["crl"](truth * brain, image * brain, brain)

    papers = as_the_paper(image)
    low = {f"papers_{name}": psnr_of(as_the_paper(fitted[name])) for name in ("identity", "linear")}
    slices = zip(*(np.moveaxis(x, 2, 0) for x in papers[:2]), strict=True)
    return {
        "person": person.name,
        "sources": list(names),
        "target": target,
        "psnr": psnr(truth, image, brain, top),
        "ssim": ssim(truth * brain, image * brain, brain, top),
        "papers": psnr_of(papers),
        "papers_cut": psnr_of(PROTOCOLS["crl"](_cut(truth, brain), _cut(image, brain), brain)),
        "papers_ssim": float(np.mean([ssim(a, b, None, papers[2]) for a, b in slices])),
        "reference": reference(person, tuple(sorted(names)), target, played),
        "identity": psnr(truth, fitted["identity"], brain, top),
        "linear": psnr(truth, fitted["linear"], brain, top),
        **low,
    }


def _cut(image: np.ndarray, brain: np.ndarray) -> np.ndarray:
    return np.minimum(image * brain, np.percentile(image[brain], 99.9))


def psnr_of(papers: tuple[Any, ...]) -> float:
    return psnr(papers[0], papers[1], None, papers[2])


def gain(person: Slab, target: str, image: np.ndarray) -> float:
    """What `image` (i, j, k) has to be multiplied by: 1, or the best where nobody knows (real people)."""
    if not person.real:
        return 1.0
    truth, found = (x[person.inside].astype(np.float64) for x in (person.truth[target].voxels, image))
    return float((truth * found).sum() / max(float((found * found).sum()), 1e-12))


@lru_cache(300)
def reference(person: Slab, names: tuple[str, ...], target: str, played: MRSequence) -> float:
    """PSNR of the voxel-wise reference; of some voxels where several sources are searched through."""
    sources = tuple(person.times[name] for name in names)
    gains = [scale(person.levels[name], one).gain for name, one in zip(names, sources, strict=True)]
    known = [person.seen(name).voxels[person.inside] / one for name, one in zip(names, gains, strict=True)]
    some = slice(None, None, 1 if len(names) == 1 else APART)
    looked_up = np.zeros(person.inside.shape, np.float32)
    some_of = np.flatnonzero(person.inside)[some]
    looked_up.flat[some_of] = lookup(sources, played)(np.stack(known, 1)[some]) * gains[0]
    truth = person.truth[target].voxels
    top = max(float(np.percentile(truth[person.inside], TOP)), 1e-6)
    found = looked_up.flat[some_of] * gain(person, target, looked_up)
    return psnr(truth.ravel()[some_of], found, None, top)


@cache
def lookup(sources: tuple[MRSequence, ...], target: MRSequence) -> Lookup:
    return Lookup(sources, target)
