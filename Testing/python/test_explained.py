"""What the scans explain of a prediction: fits against numpy's, edges, lesions, and what stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

pytest.importorskip("torch")

from mrinr.synthesis import explained as module
from mrinr.synthesis.explained import explained

SHAPE = (12, 48, 40)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def mixture(rng: np.random.Generator) -> np.ndarray:
    """Shares of three tissues, (3, k, h, w), with partial volumes."""
    blobs = np.stack([gaussian_filter(rng.normal(size=SHAPE), 3) for _ in range(3)])
    hard = (blobs == blobs.max(0)).astype(np.float32)
    return np.stack([gaussian_filter(share, 0.8) for share in hard]).astype(np.float32)


def image(shares: np.ndarray, *levels: float) -> np.ndarray:
    return np.tensordot(np.array(levels, np.float32), shares, 1).astype(np.float32)


def everywhere() -> np.ndarray:
    return np.ones(SHAPE, bool)


def error(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - truth) ** 2)))


def test_errors_that_the_scans_do_not_share_go(rng):
    shares = mixture(rng)
    scans = [image(shares, 1.0, 0.7, 0.2), image(shares, 0.6, 0.9, 2.0)]
    truth = image(shares, 0.9, 1.2, 0.1)
    noisy = truth + rng.normal(0, 0.1, SHAPE).astype(np.float32)
    blurred = gaussian_filter(truth, (0, 1.5, 1.5))
    for predicted, left in ((noisy, 0.25), (blurred, 0.85)):
        found = explained(scans, predicted, everywhere(), everywhere())
        assert error(found, truth) < left * error(predicted, truth)


def test_a_prediction_that_the_scans_explain_wholly_stays(rng):
    shares = mixture(rng)
    scans = [image(shares, 1.0, 0.7, 0.2), image(shares, 0.6, 0.9, 2.0)]
    truth = image(shares, 0.9, 1.2, 0.1)
    assert error(explained(scans, truth, everywhere(), everywhere()), truth) < 0.02


def test_a_lesion_that_the_scans_show_keeps_its_brightness(rng):
    shares = mixture(rng)
    scan, predicted = image(shares, 1.0, 0.7, 0.2), image(shares, 0.9, 0.8, 0.3)
    at = np.s_[4:9, 20:30, 15:25]
    scan[at], predicted[at] = 1.4, 2.0
    found = explained([scan], predicted, everywhere(), everywhere())
    assert found[at].mean() == pytest.approx(2.0, abs=0.15)


def test_of_a_lesion_that_no_scan_shows_most_stays_but_where_the_brain_ends(rng, monkeypatch):
    shares = mixture(rng)
    scan, without = image(shares, 1.0, 0.7, 0.2), image(shares, 0.9, 0.8, 0.3)
    at = np.s_[4:9, 20:30, 15:25]
    predicted = without.copy()
    predicted[at] += 1.0
    stays = explained([scan], predicted, everywhere(), everywhere())[at] - without[at]
    assert 0.55 < stays.mean() < 0.85
    brain = everywhere()
    brain[..., 26:] = False
    found = explained([scan], predicted, brain, everywhere())
    monkeypatch.setattr(module, "STRAYS", 9)  # nothing is put back
    put_back = found - explained([scan], predicted, brain, everywhere())
    assert put_back[at][..., :3].mean() > 0.05
    assert not put_back[..., 26 - module.DEEP :].any()


def test_one_scan_is_fitted_by_the_cubic_that_numpy_finds(rng):
    scan = rng.uniform(0.2, 2, SHAPE).astype(np.float32)
    predicted = (np.sin(scan) + 0.17 * rng.normal(size=SHAPE)).astype(np.float32)
    import torch

    found = module._fitted(
        torch.from_numpy(scan)[None], torch.from_numpy(predicted), torch.from_numpy(everywhere())
    )
    expected = np.polynomial.polynomial.polyfit(scan.ravel(), predicted.ravel(), 3)
    np.testing.assert_allclose(found.factors.numpy(), expected, atol=2e-3)
    left = predicted - np.polynomial.polynomial.polyval(scan, expected)
    trust = (1 - left.var() / predicted.var() - module.DOUBTED) / (module.TRUSTED - module.DOUBTED)
    assert 0 < trust < 1 and found.weight == pytest.approx(0.5 * trust, abs=1e-3)


def test_a_polynomial_that_explains_little_of_the_prediction_does_not_count(rng, monkeypatch):
    import torch

    monkeypatch.setattr(module, "STRAYS", 9)  # nothing is put back
    scan = rng.uniform(0.5, 1.5, SHAPE).astype(np.float32)
    places = gaussian_filter(rng.normal(size=SHAPE), 4)
    predicted = (scan + places / places.std()).astype(np.float32) + 4  # shading that the scan does not have
    whole = everywhere()
    local = module.local(*(torch.from_numpy(x.astype(np.float32)) for x in (scan[None], predicted, whole)))
    np.testing.assert_allclose(explained([scan], predicted, whole, whole), local.numpy(), atol=1e-5)


def test_what_is_read_off_the_scans_corrects_levels_in_the_brain_only(rng):
    import torch

    shares = mixture(rng)
    scans = [image(shares, 1.0, 0.7, 0.2), image(shares, 0.6, 0.9, 2.0)]
    truth, wrong = image(shares, 0.9, 1.2, 0.1), image(shares, 1.4, 0.8, 0.6)
    levels = np.linalg.inv(np.array([[1.0, 0.7, 0.2], [0.6, 0.9, 2.0], [1, 1, 1]])).T @ [0.9, 1.2, 0.1]

    def read(voxels: torch.Tensor) -> torch.Tensor:  # by the levels of the three tissues
        return voxels @ torch.tensor(levels[:2]).float() + float(levels[2])

    brain = everywhere()
    brain[..., 20:] = False
    found_in = module.as_read(scans, brain, read)
    alone, found = (explained(scans, wrong, brain, everywhere(), by) for by in (None, found_in))
    inner, outer = np.s_[..., :14], np.s_[..., 28:]
    assert error(found[inner], truth[inner]) < (1 - 0.8 * module.READ) * error(alone[inner], truth[inner])
    np.testing.assert_array_equal(found[outer], alone[outer])
    assert module.as_read(scans, ~everywhere(), read) is None


def test_the_local_fit_is_the_ridge_regression_of_its_window(rng):
    import torch

    scans = rng.uniform(0, 1, (2, *SHAPE)).astype(np.float32)
    predicted = rng.uniform(0, 1, SHAPE).astype(np.float32)
    weight = (rng.uniform(size=SHAPE) > 0.3).astype(np.float32)
    middle = (4, 24, 18)  # of a window: a multiple of STEP
    window = tuple(slice(c - n // 2, c + n // 2 + 1) for c, n in zip(middle, module.AROUND, strict=True))
    inside = weight[window] > 0
    x = np.stack([scan[window][inside] for scan in scans], 1).astype(float)
    y = predicted[window][inside].astype(float)
    centred = x - x.mean(0)
    matrix = centred.T @ centred / len(y) + module.SMOOTH * np.eye(2)
    slope = np.linalg.solve(matrix, centred.T @ (y - y.mean()) / len(y))
    expected = y.mean() + slope @ (scans[(slice(None), *middle)] - x.mean(0))
    found = module.local(*(torch.from_numpy(each) for each in (scans, predicted, weight)))
    assert float(found[middle]) == pytest.approx(expected, abs=1e-4)


def test_slabs_leave_no_seams(rng, monkeypatch):
    scans = [rng.uniform(0, 1, (41, 24, 24)).astype(np.float32) for _ in range(2)]
    predicted = rng.uniform(0, 1, (41, 24, 24)).astype(np.float32)
    inside = np.ones(predicted.shape, bool)
    found = []
    for count in (5, 100):
        monkeypatch.setattr(module, "AT_ONCE", count)
        found.append(explained(scans, predicted, inside, inside))
    np.testing.assert_allclose(*found, atol=1e-5)


@pytest.mark.parametrize("scan", [np.zeros(SHAPE, np.float32), np.ones(SHAPE, np.float32)])
def test_a_scan_without_contrast_explains_the_level_and_breaks_nothing(scan, rng):
    predicted = rng.uniform(0.5, 1.5, SHAPE).astype(np.float32)
    found = explained([scan, scan], predicted, everywhere(), everywhere())
    assert np.isfinite(found).all() and abs(found.mean() - predicted.mean()) < 0.05


def test_air_stays_as_it_is_and_without_a_brain_all_does(rng):
    scan, predicted = (rng.uniform(0, 1, SHAPE).astype(np.float32) for _ in range(2))
    lit = everywhere()
    lit[:, :10] = False
    found = explained([scan], predicted, lit, lit)
    np.testing.assert_array_equal(found[:, :10], predicted[:, :10])
    assert (found[:, 10:] != predicted[:, 10:]).any()
    np.testing.assert_array_equal(explained([scan], predicted, ~everywhere(), lit), predicted)


def test_slices_that_are_no_neighbours_are_fitted_each_for_itself(rng):
    scan, predicted = (rng.uniform(0.2, 1, SHAPE).astype(np.float32) for _ in range(2))
    found = module.slice_by_slice([scan], predicted, everywhere())
    one = np.s_[3:4]
    alone = explained([scan[one]], predicted[one], everywhere()[one], everywhere()[one])
    np.testing.assert_allclose(found[one], alone, atol=1e-6)
