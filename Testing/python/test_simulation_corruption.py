"""Corruption of inputs against what statistics says of it."""

from __future__ import annotations

import numpy as np
import pytest

from mrinr.simulation.corruption import bias_field, gamma, imperfect_strip, missing_slab, rician, thick
from mrinr.simulation.fields import blurred, smooth_noise


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("level", [0.0, 1.0, 5.0, 30.0])
def test_noise_is_rician(rng, level):
    sigma = 1.5
    drawn = rician(np.full((400, 500), level, np.float32), sigma, rng).astype(float)
    assert (drawn**2).mean() == pytest.approx(level**2 + 2 * sigma**2, rel=0.02)
    # E m^4 = s^4 + 8 s^2 sigma^2 + 8 sigma^4
    fourth = level**4 + 8 * level**2 * sigma**2 + 8 * sigma**4
    assert (drawn**4).mean() == pytest.approx(fourth, rel=0.04)
    if level == 0:
        assert drawn.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.01)  # Rayleigh
    if level == 30:
        assert drawn.std() == pytest.approx(sigma, rel=0.01)


@pytest.mark.parametrize("shape", [(120, 90), (60, 70, 50)])
def test_bias_is_smooth_positive_and_as_strong_as_asked(rng, shape):
    assert np.allclose(bias_field(shape, rng, 0.0), 1)
    for amount in (0.1, 0.3):
        field = bias_field(shape, rng, amount)
        assert np.abs(np.log(field)).max() == pytest.approx(amount, rel=1e-4)
        assert max(np.abs(np.diff(field, axis=axis)).max() for axis in range(len(shape))) < amount / 5


def test_gamma_keeps_black_and_the_top_and_order(rng):
    x = np.linspace(0, 50, 101, dtype=np.float32)
    for exponent in (0.75, 1.35):
        y = gamma(x, exponent, 50)
        assert y[0] == 0 and y[-1] == pytest.approx(50)
        assert (np.diff(y) > 0).all()
        assert y[50] == pytest.approx(50 * 0.5**exponent, rel=1e-5)


@pytest.mark.parametrize("thickness", [1, 2, 3.5, 6])
def test_thick_slices_average_a_ramp_to_itself_and_blur_waves(thickness):
    z = np.arange(60, dtype=np.float32)
    ramp = np.broadcast_to(z, (4, 5, 60))
    inner = slice(8, -8)
    np.testing.assert_allclose(thick(ramp, thickness)[..., inner], ramp[..., inner], atol=1e-3)
    assert thick(ramp, thickness, axis=0).shape == ramp.shape
    wave = np.broadcast_to(np.cos(np.pi * z), (4, 5, 60)).astype(np.float32)
    amplitude = np.abs(thick(wave, thickness)[..., inner]).max()
    assert amplitude == 1 if thickness == 1 else amplitude < 0.35


def test_a_lost_slab_lies_at_one_end_and_the_rest_is_kept(rng):
    ones = np.ones((10, 12, 40), np.float32)
    for _ in range(20):
        kept = missing_slab(ones, rng, most=0.25)[0, 0]
        assert kept.sum() >= 30
        assert np.abs(np.diff(kept)).sum() <= 1


def test_stripping_errs_by_a_few_voxels_at_the_border_only(rng):
    grid = np.indices((80, 80, 70)) - np.array([39.5, 39.5, 34.5])[:, None, None, None]
    depth = 28 - np.linalg.norm(grid, axis=0)  # distance to the border of a ball
    for _ in range(5):
        mask = imperfect_strip(depth > 0, rng, error=2.0)
        assert mask[depth > 7.5].all() and not mask[depth < -7.5].any()
    errors = []
    for _ in range(30):
        mask = imperfect_strip(depth > 0, rng, error=2.0)
        line = mask[40, 40:, 35]  # from the middle outwards: how far the mask reaches
        errors.append(line.sum() - (depth > 0)[40, 40:, 35].sum())
    assert abs(np.mean(errors)) < 1.2
    assert 1.2 < np.std(errors) < 2.8


def test_fields_have_unit_deviation_and_vary_over_the_step(rng):
    field = smooth_noise((200, 220), rng, 10)
    assert field.std() == pytest.approx(1, rel=0.1) and abs(field.mean()) < 0.15
    near, far = (np.mean(field[n:] * field[:-n]) for n in (2, 40))
    assert near > 0.9 and abs(far) < 0.2


def test_a_blurred_point_is_a_gaussian():
    point = np.zeros((41, 41, 41), np.float32)
    point[20, 20, 20] = 1
    soft = blurred(point, 2.0)
    assert soft.sum() == pytest.approx(1, rel=1e-5)
    away = np.arange(-20, 21)
    assert (soft.sum((1, 2)) * away**2).sum() == pytest.approx(4, rel=0.1)
