"""Metrics agree with scikit-image, and every evaluation shows the floors beside the method."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import mutual_info_score

from mrinr.errors import InputError
from mrinr.metrics import PROTOCOLS, evaluate, mutual_information, psnr, ssim, ssim_map
from mrinr.volume import Volume


def head(seed: int = 0, shape: tuple[int, int, int] = (40, 36, 33)) -> np.ndarray:
    """A smooth textured ball in air."""
    random = np.random.default_rng(seed)
    texture = ndimage.gaussian_filter(random.normal(size=shape), 2)
    texture = 100 + 30 * texture / texture.std()
    radius = np.linalg.norm(np.indices(shape) - np.array(shape)[:, None, None, None] / 2, axis=0)
    return (np.clip(texture, 20, None) * (radius < 14)).astype(np.float32)


def volume(voxels: np.ndarray, name: str = "v", spacing: float = 1.0) -> Volume:
    return Volume(voxels, np.diag([spacing, spacing, spacing, 1]), name)


TRUTH = head()
NOISY = TRUTH + np.random.default_rng(1).normal(0, 8, TRUTH.shape).astype(np.float32)
BRAIN = TRUTH > 0


@pytest.mark.parametrize("data_range", [1.0, 137.0])
def test_psnr_and_ssim_agree_with_scikit_image(data_range):
    expected = peak_signal_noise_ratio(TRUTH, NOISY, data_range=data_range)
    assert abs(psnr(TRUTH, NOISY, None, data_range) - expected) < 1e-4
    mean, full = structural_similarity(
        TRUTH.astype(float), NOISY.astype(float), data_range=data_range, full=True
    )
    assert abs(ssim(TRUTH, NOISY, None, data_range) - mean) < 1e-4
    assert np.abs(ssim_map(TRUTH, NOISY, data_range) - full).max() < 1e-4
    assert abs(ssim(TRUTH, NOISY, BRAIN, data_range) - full[BRAIN].mean()) < 1e-4


def test_ssim_of_a_plane_agrees_with_scikit_image_too():
    expected = structural_similarity(TRUTH[20].astype(float), NOISY[20].astype(float), data_range=150)
    assert abs(ssim(TRUTH[20], NOISY[20], None, 150) - expected) < 1e-4


def test_mutual_information_of_an_image_with_itself_is_its_entropy():
    values = np.repeat(np.arange(32.0), 50)
    assert abs(mutual_information(values, values) - np.log(32)) < 1e-9
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 400_000))
    assert mutual_information(a, b) < 0.01
    correlated = 0.8 * a + 0.6 * b  # -log(1 - rho^2) / 2 for Gaussians
    assert abs(mutual_information(a, correlated, bins=64) + np.log(1 - 0.64) / 2) < 0.03


def test_the_honest_protocol_states_mask_range_and_floors():
    found = evaluate(volume(TRUTH), volume(NOISY), volume(BRAIN.astype(float), "brain.nii.gz"))
    top = np.percentile(TRUTH[BRAIN], 99.9)
    assert abs(found["brain"]["psnr"] - 10 * np.log10(top**2 / np.mean((TRUTH - NOISY)[BRAIN] ** 2))) < 1e-3
    assert found["mask"] == "brain.nii.gz" and "99.9th percentile" in found["range"]
    assert found["lesion"] is None
    assert found["floors"]["identity"] is None and found["floors"]["linear"] is None
    constant = np.where(BRAIN, TRUTH[BRAIN].mean(), 0)
    expected = 10 * np.log10(top**2 / np.mean((TRUTH - constant) ** 2))
    assert abs(found["floors"]["constant"]["whole"]["psnr"] - expected) < 1e-3


def test_a_constant_brain_scores_high_over_the_whole_image_and_low_in_the_brain():
    found = evaluate(volume(TRUTH), volume(NOISY))
    floor = found["floors"]["constant"]
    assert floor["whole"]["psnr"] > floor["brain"]["psnr"] + 5
    assert found["brain"]["psnr"] > floor["brain"]["psnr"]


def test_the_linear_floor_finds_a_linear_answer_and_identity_the_best_scaled_input():
    first, second = head(3), head(4)
    truth = (0.3 * first + 0.5 * second + 20) * BRAIN
    found = evaluate(volume(truth), volume(first), inputs=[volume(first), volume(second)])
    floors = found["floors"]
    assert floors["linear"]["brain"]["psnr"] > 60
    assert floors["constant"]["brain"]["psnr"] < floors["linear"]["brain"]["psnr"]
    gain = (first * truth)[BRAIN].sum() / (first**2)[BRAIN].sum()
    other = (second * truth)[BRAIN].sum() / (second**2)[BRAIN].sum()
    errors = [np.mean((g * x - truth)[BRAIN] ** 2) for g, x in ((gain, first), (other, second))]
    top = np.percentile(truth[BRAIN], 99.9)
    assert abs(floors["identity"]["brain"]["psnr"] - 10 * np.log10(top**2 / min(errors))) < 0.05


def test_inputs_on_another_grid_are_resampled_for_the_floors():
    thick = Volume(TRUTH.reshape(40, 36, 11, 3).mean(axis=3), np.diag([1.0, 1, 3, 1]) + _shift(1.0), "thick")
    found = evaluate(volume(TRUTH), volume(NOISY), inputs=[thick])
    assert found["floors"]["identity"]["brain"]["psnr"] > found["floors"]["constant"]["brain"]["psnr"] + 3


def _shift(z: float) -> np.ndarray:
    matrix = np.zeros((4, 4))
    matrix[2, 3] = z
    return matrix


def test_an_error_in_the_lesion_only_shows_in_the_lesion_row():
    lesion = np.zeros(TRUTH.shape, bool)
    lesion[18:22, 16:20, 15:18] = True
    erased = np.where(lesion, 0, TRUTH)
    found = evaluate(volume(TRUTH), volume(erased), None, volume(lesion.astype(float)))
    assert found["lesion"]["psnr"] < 10 < found["brain"]["psnr"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_is_valid_json_and_ranks_a_better_image_higher(protocol):
    worse = TRUTH + 3 * (NOISY - TRUTH)
    a, b, same = (evaluate(volume(TRUTH), volume(x), protocol=protocol) for x in (NOISY, worse, TRUTH))
    for region in ("whole", "brain"):
        assert b[region]["psnr"] < a[region]["psnr"] < same[region]["psnr"] == 200
        assert b[region]["ssim"] < a[region]["ssim"] < same[region]["ssim"] == pytest.approx(1)
    json.dumps(a, allow_nan=False)


def test_the_papers_metric_follows_its_recipe():
    def scaled(x):
        x = (x - x.min()) / (x.max() - x.min())
        return (x - x[BRAIN].min()) * BRAIN

    a, b = scaled(TRUTH), scaled(NOISY)
    top = max(a.max(), b.max())
    expected = peak_signal_noise_ratio(a / top, b / top, data_range=1)
    found = evaluate(volume(TRUTH), volume(NOISY), volume(BRAIN.astype(float)), protocol="multi-contrast")
    assert abs(found["whole"]["psnr"] - expected) < 1e-3


def min_max(x: np.ndarray) -> np.ndarray:
    return (x - x.min()) / (x.max() - x.min())


@pytest.mark.parametrize(
    ("protocol", "scaled"),
    [
        ("irem", lambda x: (x - TRUTH.min()) / (TRUTH.max() - TRUTH.min())),
        ("crl", min_max),
        ("multimodal", lambda x: x / x.mean()),
    ],
)
def test_every_papers_numbers_are_those_of_scikit_image(protocol, scaled):
    """PSNR, SSIM and where it is printed MSE, of the whole image and in the brain."""
    a, b = scaled(TRUTH.astype(float)), scaled(NOISY.astype(float))
    top = a.max() if protocol == "multimodal" else 1.0
    mean, full = structural_similarity(a, b, data_range=top, full=True)
    found = evaluate(volume(TRUTH), volume(NOISY), volume(BRAIN.astype(float)), protocol=protocol)
    for region, where, similarity in (
        ("whole", np.ones(BRAIN.shape, bool), mean),
        ("brain", BRAIN, full[BRAIN].mean()),
    ):
        expected = peak_signal_noise_ratio(a[where], b[where], data_range=top)
        assert abs(found[region]["psnr"] - expected) < 1e-4
        assert abs(found[region]["ssim"] - similarity) < 1e-4
        if protocol == "multimodal":
            assert abs(found[region]["mse"] - mean_squared_error(a[where], b[where])) < 1e-4


def test_the_local_inrs_numbers_are_means_over_axial_slices_of_scikit_images():
    a, b = ((x - TRUTH.min()) / (TRUTH.max() - TRUTH.min()) for x in (TRUTH.astype(float), NOISY))
    planes = [(a[..., k], b[..., k]) for k in range(a.shape[2]) if BRAIN[..., k].any()]
    found = evaluate(volume(TRUTH), volume(NOISY), volume(BRAIN.astype(float)), protocol="local-inr")["whole"]
    expected = {
        "psnr": np.mean([peak_signal_noise_ratio(x, y, data_range=1) for x, y in planes]),
        "ssim": np.mean([structural_similarity(x, y, data_range=1) for x, y in planes]),
        "mse": np.mean([mean_squared_error(x, y) for x, y in planes]),
    }
    assert all(abs(found[name] - value) < 1e-4 for name, value in expected.items())


def test_mutual_information_agrees_with_scikit_learn():
    joint, _, _ = np.histogram2d(TRUTH[BRAIN], NOISY[BRAIN], bins=32)
    expected = mutual_info_score(None, None, contingency=joint)
    assert abs(mutual_information(TRUTH, NOISY, BRAIN) - expected) < 1e-4


def test_what_cannot_be_compared_is_refused_in_one_sentence():
    small = volume(TRUTH[:, :, :-1], "small")
    empty = volume(np.zeros_like(TRUTH), "empty")
    for arguments, words in (
        ((volume(TRUTH, "ref"), small), "small is not on the grid of ref"),
        ((volume(TRUTH), volume(NOISY, "moved", 1.1)), "moved is not on the grid"),
        ((volume(TRUTH), volume(NOISY), empty), "empty is empty"),
        ((volume(TRUTH), volume(NOISY), None, empty), "marks no lesion"),
        ((empty, volume(NOISY)), "empty"),
        ((volume(TRUTH), volume(NOISY * np.nan, "bad")), "bad has voxels that are not finite"),
    ):
        with pytest.raises(InputError, match=words):
            evaluate(*arguments)
    with pytest.raises(InputError, match="protocol 'x' is not known"):
        evaluate(volume(TRUTH), volume(NOISY), protocol="x")
