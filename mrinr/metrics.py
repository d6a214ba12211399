"""PSNR, SSIM and mutual information with mask and range stated, and the floors that every method must beat.

`evaluate` reports whole image, brain and lesions side by side, because a constant brain already scores
above 25 dB over the whole of a mostly black image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mrinr.errors import InputError
from mrinr.intensity import foreground_mask
from mrinr.volume import Volume

if TYPE_CHECKING:
    from mrinr.perceptual import Lpips

WINDOW = 7  # voxels, uniform, as in scikit-image's default
BEST_PSNR = 200.0  # dB reported for identical images, so that reports stay valid JSON
SLAB = 32  # planes of an SSIM map worked on at once


def psnr(reference: np.ndarray, prediction: np.ndarray, mask: np.ndarray | None, data_range: float) -> float:
    """Peak signal-to-noise ratio in dB over the mask (None: everywhere); infinite for identical images."""
    error = mse(reference, prediction, mask)
    return float("inf") if error == 0 else float(10 * np.log10(data_range**2 / error))


def mse(reference: np.ndarray, prediction: np.ndarray, mask: np.ndarray | None) -> float:
    """Mean squared error over the mask (None: everywhere)."""
    difference = reference.astype(np.float64) - prediction
    return float(np.mean(np.square(difference if mask is None else difference[mask])))


def ssim(reference: np.ndarray, prediction: np.ndarray, mask: np.ndarray | None, data_range: float) -> float:
    """Structural similarity (Wang 2004), uniform windows of 7 in every dimension, sample covariance.

    The map is averaged in the mask; without a mask over all windows that lie inside the image.
    """
    similarity = ssim_map(reference, prediction, data_range)
    if mask is not None:
        return float(similarity[mask].mean())
    edge = WINDOW // 2
    return float(similarity[tuple(slice(edge, n - edge) for n in similarity.shape)].mean())


def ssim_map(reference: np.ndarray, prediction: np.ndarray, data_range: float) -> np.ndarray:
    """SSIM of the window around each voxel; images are mirrored at their borders; any dimensions."""
    edge = WINDOW // 2
    padded = [np.pad(x.astype(np.float64), edge, mode="symmetric") for x in (reference, prediction)]
    slabs = []
    for start in range(0, reference.shape[0], SLAB):
        x, y = (p[start : start + SLAB + 2 * edge] for p in padded)
        slabs.append(_ssim_of_windows(x, y, data_range))
    return np.concatenate(slabs)


def _ssim_of_windows(x: np.ndarray, y: np.ndarray, data_range: float) -> np.ndarray:
    count = WINDOW**x.ndim
    mean_x, mean_y = _window_means(x), _window_means(y)
    unbiased = count / (count - 1)
    var_x = unbiased * (_window_means(x * x) - mean_x**2)
    var_y = unbiased * (_window_means(y * y) - mean_y**2)
    covariance = unbiased * (_window_means(x * y) - mean_x * mean_y)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    return ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )


def _window_means(x: np.ndarray) -> np.ndarray:
    for axis in range(x.ndim):
        total = np.cumsum(np.moveaxis(x, axis, 0), axis=0)
        total = np.concatenate([np.zeros_like(total[:1]), total])
        x = np.moveaxis((total[WINDOW:] - total[:-WINDOW]) / WINDOW, 0, axis)
    return x


def mutual_information(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None, bins: int = 32) -> float:
    """Mutual information in nats from a joint histogram over the ranges of both images in the mask."""
    if mask is not None:
        a, b = a[mask], b[mask]
    joint = np.histogram2d(a.ravel(), b.ravel(), bins=bins)[0] / a.size
    expected = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / expected[seen])).sum())


# protocols ----------------------------------------------------------------------------------------------

Images = tuple[np.ndarray, np.ndarray, float, str]  # reference, prediction, data range, the range in words


def _honest(reference: np.ndarray, prediction: np.ndarray, mask: np.ndarray) -> Images:
    top = float(np.percentile(reference[mask], 99.9))
    return reference, prediction, top, "99.9th percentile of the reference in the mask"


def _irem(reference: np.ndarray, prediction: np.ndarray, mask: np.ndarray) -> Images:
    low, high = float(reference.min()), float(reference.max())
    words = "both images scaled by the reference's minimum and maximum; range 1"
    return (reference - low) / (high - low), (prediction - low) / (high - low), 1.0, words


def _multi_contrast(reference: np.ndarray, prediction: np.ndarray, mask: np.ndarray) -> Images:
    images = [_min_max(x) for x in (reference, prediction)]
    images = [(x - x[mask].min()) * mask for x in images]
    top = max(float(x.max()) for x in images)
    words = "each image min-max scaled, less its in-mask minimum, over the maximum of both, masked; range 1"
    return images[0] / top, images[1] / top, 1.0, words


def _multimodal(reference: np.ndarray, prediction: np.ndarray, mask: np.ndarray) -> Images:
    if reference.mean() <= 0 or prediction.mean() <= 0:
        raise InputError("The multimodal protocol divides by the mean, which is not above 0; use honest.")
    reference, prediction = reference / reference.mean(), prediction / prediction.mean()
    return (
        reference,
        prediction,
        float(reference.max()),
        "each image divided by its mean; the reference's maximum",
    )


def _crl(reference: np.ndarray, prediction: np.ndarray, mask: np.ndarray) -> Images:
    return _min_max(reference), _min_max(prediction), 1.0, "each image min-max scaled; range 1"


def _min_max(x: np.ndarray) -> np.ndarray:
    span = float(x.max() - x.min())
    return (x - x.min()) / (span if span > 0 else 1.0)


# What the papers state, and our reading of what they do not: IREM (Wu 2021) and the local INR (Chen 2022)
# give no scaling for their PSNR; the local INR's table fits images scaled to a range of 1, slice by slice.
PROTOCOLS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], Images]] = {
    "honest": _honest,
    "irem": _irem,
    "multi-contrast": _multi_contrast,
    "local-inr": _irem,
    "multimodal": _multimodal,
    "crl": _crl,
}


def evaluate(
    reference: Volume,
    prediction: Volume,
    mask: Volume | None = None,
    lesions: Volume | None = None,
    inputs: Sequence[Volume] = (),
    protocol: str = "honest",
    lpips: Lpips | None = None,
) -> dict[str, Any]:
    """Compare `prediction` with `reference` over the whole image, in the brain and in lesions.

    Parameters
    ----------
    mask, lesions : above 0 inside; on the reference's grid; without a mask the reference's foreground
    inputs : what the prediction was made from, on any grid (resampled linearly), for the floors
    protocol : a key of `PROTOCOLS`: 'honest', or the way in which a paper scaled its images
    lpips : made from weights that the user has; without it LPIPS is not computed

    Returns
    -------
    {protocol, mask, range, whole: {psnr, ssim}, brain: {...}, lesion: {...} or None, lpips,
    floors: {constant, identity, linear}}; each floor is {whole, brain, lesion, lpips} of a trivial
    prediction: the mean of the reference in the mask (0 outside), the best input times its best factor, and
    the least-squares fit of all inputs and a constant in the mask. Floors that need inputs are None without.

    Raises InputError for different grids, empty masks and a reference that is constant in the mask.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"The protocol '{protocol}' is not known; use {', '.join(PROTOCOLS)}.")
    for volume in filter(None, (prediction, mask, lesions)):
        if not volume.grid.same_as(reference.grid, tolerance=1e-2):
            raise InputError(
                f"{volume.name} is not on the grid of {reference.name}; "
                "resample it to that grid first (mrinr superres has --like)."
            )
    for volume in (reference, prediction):
        if not np.isfinite(volume.voxels).all():
            raise InputError(f"{volume.name} has voxels that are not finite numbers; replace them first.")
    if min(reference.voxels.shape) < WINDOW:
        raise InputError(
            f"{reference.name} is smaller than SSIM's window of {WINDOW} voxels along some axis."
        )
    inside = foreground_mask(reference) if mask is None else mask.voxels > 0
    if not inside.any():
        what = f"The foreground of {reference.name}" if mask is None else mask.name
        raise InputError(f"{what} is empty; give a --mask with voxels above 0 where the brain is.")
    lesion = None if lesions is None else lesions.voxels > 0
    if lesions is not None and not lesions.voxels.max() > 0:
        raise InputError(f"{lesions.name} marks no lesion (no voxel above 0); leave it out.")
    truth = reference.voxels
    if not float(truth[inside].max()) > max(float(truth[inside].min()), 0.0):
        raise InputError(f"{reference.name} is constant in the mask; choose another reference or mask.")

    def score(image: np.ndarray) -> dict[str, Any]:
        return _score(protocol, truth, image, inside, lesion, reference, lpips)

    floors = {name: score(image) for name, image in floor_images(reference, inside, inputs).items()}
    return {
        "protocol": protocol,
        "mask": "foreground estimated from the reference" if mask is None else mask.name,
        "range": PROTOCOLS[protocol](truth, truth, inside)[3],
        **score(prediction.voxels),
        "floors": {name: floors.get(name) for name in ("constant", "identity", "linear")},
    }


def _score(
    protocol: str,
    truth: np.ndarray,
    image: np.ndarray,
    inside: np.ndarray,
    lesion: np.ndarray | None,
    reference: Volume,
    lpips: Lpips | None,
) -> dict[str, Any]:
    a, b, data_range, _ = PROTOCOLS[protocol](truth, image, inside)
    similarity = ssim_map(a, b, data_range)

    def region(mask: np.ndarray | None) -> dict[str, float]:
        where = similarity if mask is None else similarity[mask]
        found = {"psnr": min(psnr(a, b, mask, data_range), BEST_PSNR), "ssim": float(where.mean())}
        if protocol in ("multimodal", "local-inr"):
            found["mse"] = mse(a, b, mask)
        return found

    whole = region(None)
    whole["ssim"] = ssim(a, b, None, data_range)
    if protocol == "local-inr":
        whole = _slice_by_slice(a, b, inside, int(np.abs(reference.affine[2, :3]).argmax()), data_range)
    return {
        "whole": whole,
        "brain": region(inside),
        "lesion": None if lesion is None else region(lesion),
        "lpips": "not computed" if lpips is None else lpips(a, b, data_range),
    }


def _slice_by_slice(
    a: np.ndarray, b: np.ndarray, inside: np.ndarray, axis: int, data_range: float
) -> dict[str, float]:
    """Means over the axial slices that hold some of the mask, as 2D methods report."""
    planes = zip(*(np.moveaxis(x, axis, 0) for x in (a, b, inside)), strict=True)
    scores = [
        (min(psnr(x, y, None, data_range), BEST_PSNR), ssim(x, y, None, data_range), mse(x, y, None))
        for x, y, m in planes
        if m.any()
    ]
    return dict(zip(("psnr", "ssim", "mse"), np.mean(scores, axis=0).tolist(), strict=True))


def floor_images(reference: Volume, inside: np.ndarray, inputs: Sequence[Volume]) -> dict[str, np.ndarray]:
    """Trivial predictions; a constant term is added in the mask only, where it was fitted."""
    truth = reference.voxels[inside].astype(np.float64)
    floors = {"constant": np.where(inside, truth.mean(), 0.0)}
    if not inputs:
        return floors
    from mrinr.itk import resample

    images = [
        v.voxels if v.grid.same_as(reference.grid) else resample(v, reference.grid).voxels for v in inputs
    ]
    for volume, image in zip(inputs, images, strict=True):
        if not np.isfinite(image).all() or not image[inside].any():
            raise InputError(f"{volume.name} holds no usable intensities in the mask; leave that input out.")
    columns = np.stack([image[inside] for image in images], axis=1).astype(np.float64)
    gains = (columns * truth[:, None]).sum(axis=0) / np.square(columns).sum(axis=0)
    best = int(np.square(columns * gains - truth[:, None]).mean(axis=0).argmin())
    floors["identity"] = images[best] * gains[best]
    design = np.concatenate([columns, np.ones((len(truth), 1))], axis=1)
    fit = np.linalg.lstsq(design, truth, rcond=None)[0]
    floors["linear"] = sum(w * x for w, x in zip(fit, images, strict=False)) + fit[-1] * inside
    return floors
