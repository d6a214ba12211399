"""What scans say of a voxel corrects its mixture of tissues as estimation theory has it, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from mrinr.context import Context
from mrinr.contrast import evidence as module
from mrinr.contrast.evidence import evidence
from mrinr.contrast.network import ContrastRepresentation, Measured, Mixture, attained

SHAPE, SPACING = (6, 30, 28), (1.0, 1.0, 1.0)
TIMES = torch.tensor([[5000.0, 100.0, 0.0], [2000.0, 12.0, 800.0]])  # of two scans
ASKED = torch.tensor([[500.0, 15.0, 0.0], [9000.0, 120.0, 2500.0]])


@pytest.fixture
def network() -> ContrastRepresentation:
    torch.manual_seed(0)
    return ContrastRepresentation("modulation", width=8, blocks=2, features=40, hidden=16, atoms=12).eval()


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(int(np.prod(SHAPE)), 40, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def brain() -> np.ndarray:
    return np.ones(SHAPE, bool)


def image_of(values: torch.Tensor) -> torch.Tensor:
    """(n, c) as the (1, c, 1, n) that networks take."""
    return values.T[None, :, None]


def as_in_training(network) -> Measured:
    """Two scans of a subject whose tissue is that of the network's atoms."""
    with torch.no_grad():
        return Measured(TIMES, network.decoder.atoms())


def decoded(network, features, weights=None, asked=ASKED) -> np.ndarray:
    """(targets, n)"""
    said = () if weights is None else (as_in_training(network), image_of(weights))
    with torch.no_grad():
        play = network.decoding(image_of(features), *said)
        return np.stack([play(one[None]).mean.flatten().numpy() for one in asked])


def scans(network, features, seed: int = 2) -> list[np.ndarray]:
    """What the features predict of two scans, with a texture that they know nothing of."""
    rng = np.random.default_rng(seed)
    return [
        (x.reshape(SHAPE) * np.exp(0.1 * rng.normal(size=SHAPE))).astype(np.float32)
        for x in decoded(network, features, asked=TIMES)
    ]


def test_the_estimate_is_the_linear_one_of_least_mean_square_error(network, features, brain, monkeypatch):
    images = scans(network, features)
    monkeypatch.setattr(module, "_smooth", lambda values, *_: torch.ones_like(values))  # no shading
    weights = evidence(network, features, images, brain, as_in_training(network), SPACING, Context())
    assert isinstance(network.decoder, Mixture)
    with torch.no_grad():
        amounts = network.decoder.mixture(image_of(features))[1][0, :, 0].double().numpy()  # (atoms, n)
        known, wanted = (attained(t, *network.decoder.atoms()[:2]).double().numpy() for t in (TIMES, ASKED))
    found = decoded(network, features, weights)
    compared = 0
    for voxel in range(0, amounts.shape[1], 131):
        mass = amounts[:, voxel].sum()
        chance = amounts[:, voxel] / mass  # of being a voxel of this atom alone
        signals = mass * np.concatenate([known, wanted])
        mean = signals @ chance
        covariance = (signals * chance) @ signals.T - np.outer(mean, mean)
        noise = np.diag([(module.DOUBT * np.median(image)) ** 2 for image in images])
        left = np.array([image.ravel()[voxel] for image in images]) - mean[:2]
        gained = np.linalg.solve(covariance[:2, :2] + noise, left)
        favoured = mass * known.T @ gained
        if (1 + favoured - chance @ favoured).min() < 0:
            continue  # some atoms are ruled out, and the estimate is no longer linear
        expected = mean[2:] + covariance[2:, :2] @ gained
        np.testing.assert_allclose(found[:, voxel], expected, rtol=2e-3, atol=1e-4)
        compared += 1
    assert compared > 20


def test_what_was_measured_is_given_back_more_truly(network, features, brain):
    images = scans(network, features)
    weights = evidence(network, features, images, brain, as_in_training(network), SPACING, Context())
    before = decoded(network, features, asked=TIMES)
    after = decoded(network, features, weights, TIMES)
    for n, image in enumerate(images):
        errors = [np.sqrt(np.mean((x[n] - image.ravel()) ** 2)) for x in (before, after)]
        assert errors[1] < 0.8 * errors[0]


def test_proton_density_stays_and_no_atom_becomes_negative(network, features, brain):
    weights = evidence(
        network, features, scans(network, features), brain, as_in_training(network), SPACING, Context()
    )
    assert isinstance(network.decoder, Mixture)
    with torch.no_grad():
        amounts = network.decoder.mixture(image_of(features))[1]
        corrected = network.decoder.corrected(amounts, 3 * image_of(weights), as_in_training(network))
    assert corrected.min() >= 0
    torch.testing.assert_close(corrected.sum(1), amounts.sum(1), rtol=1e-4, atol=1e-6)


def test_shading_of_the_coil_is_no_evidence(network, features, brain, monkeypatch):
    plain = [x.reshape(SHAPE).astype(np.float32) for x in decoded(network, features, asked=TIMES)]
    ramp = np.exp(np.linspace(-0.3, 0.3, SHAPE[1], dtype=np.float32))[None, :, None]
    fields = [1.7 * ramp, 0.8 / ramp]
    shaded = [x * field for x, field in zip(plain, fields, strict=True)]

    def change(images) -> float:
        weights = evidence(network, features, images, brain, as_in_training(network), SPACING, Context())
        return float(
            np.sqrt(np.mean((decoded(network, features, weights) - decoded(network, features)) ** 2))
        )

    assert change(plain) < 1e-4
    corrected = change(shaded)
    monkeypatch.setattr(module, "_smooth", lambda values, *_: torch.ones_like(values))
    assert corrected < 0.5 * change(shaded)


def test_a_scan_that_ends_within_the_brain_says_nothing_beyond(network, features, brain):
    images = scans(network, features)
    images[1][:3] = 0
    weights = evidence(network, features, images, brain, as_in_training(network), SPACING, Context()).reshape(
        *SHAPE, 2
    )
    assert weights[:3, ..., 1].abs().max() < 1e-3 * weights[3:, ..., 1].abs().max()
    assert weights[:3, ..., 0].abs().max() > 0


@pytest.mark.parametrize("slices", [2, 4])
def test_where_a_scan_ends_it_does_not_seem_brighter(network, features, brain, slices):
    images = [x.reshape(SHAPE).astype(np.float32) for x in decoded(network, features, asked=TIMES)]
    images[1][:slices] = 0  # what is left agrees with the features
    weights = evidence(network, features, images, brain, as_in_training(network), SPACING, Context())
    change = decoded(network, features, weights) / decoded(network, features)
    assert np.abs(change - 1).max() < 1e-3


def test_where_there_is_no_proton_density_there_is_no_signal_either(network):
    assert isinstance(network.decoder, Mixture)
    amounts, weights = torch.zeros(1, 12, 1, 3), torch.ones(1, 2, 1, 3)
    with torch.no_grad():
        found = network.decoder.corrected(amounts, weights, as_in_training(network))
    assert torch.equal(found, amounts)


def test_means_over_boxes_are_those_of_the_brain_alone():
    rng = np.random.default_rng(0)
    brain = np.zeros((9, 60, 50), bool)
    brain[1:8, 10:50, 8:44] = True
    smooth = gaussian_filter(rng.normal(size=brain.shape), 15) * 50 + 3
    found = module._smooth(torch.from_numpy(smooth[brain]).float(), brain, (6.0, 1.0, 1.0))
    assert np.abs(found.numpy() - smooth[brain]).max() < 0.5 * np.ptp(smooth[brain])
    constant = module._smooth(torch.full((int(brain.sum()),), 2.5), brain, (6.0, 1.0, 1.0))
    np.testing.assert_allclose(constant.numpy(), 2.5, rtol=1e-5)


def test_a_brain_of_one_voxel_breaks_nothing(network, features):
    brain = np.zeros(SHAPE, bool)
    brain[3, 10, 10] = True
    images = scans(network, features)
    weights = evidence(network, features[:1], images, brain, as_in_training(network), SPACING, Context())
    assert weights.shape == (1, 2) and torch.isfinite(weights).all()
