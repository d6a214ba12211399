"""All voxels together say what T1, T2 and proton density a subject's tissue has, and how bright a scan is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

from mrinr.contrast import relaxometry as module
from mrinr.contrast.network import Atoms, ContrastRepresentation, attained
from mrinr.contrast.relaxometry import fit_tissue
from mrinr.simulation.tissue import TISSUES

SHAPE = (6, 30, 28)
TIMES = torch.tensor([[8000.0, 90.0, 0.0], [8000.0, 12.0, 0.0]])  # T2- and proton density-weighted
TISSUE = ("white matter", "grey matter", "CSF")
SPREADS = (0.1, 0.1)  # of the gains


class Known:
    """A phantom that knows what its voxels are made of: three tissues of the 3 T table."""

    def __init__(self) -> None:
        self.shares = torch.from_numpy(np.random.default_rng(0).dirichlet([0.3] * 3, int(np.prod(SHAPE))))

    def atoms(self) -> Atoms:
        T1, T2 = (torch.tensor([float(TISSUES[name][n]) for name in TISSUE]) for n in range(2))
        return Atoms(T1, T2, torch.ones(3))

    def amounts(self, features: torch.Tensor) -> torch.Tensor:
        PD = torch.tensor([TISSUES[name][2] for name in TISSUE])
        return (self.shares[features[:, 0].long()] * PD).float()


def voxels() -> torch.Tensor:
    """Features that number the voxels."""
    return torch.arange(int(np.prod(SHAPE)))[:, None].float()


def scans(network: Known, T2: tuple[float, ...], gains=(1.0, 1.0), noise: float = 0.03) -> list[np.ndarray]:
    """Of a subject whose tissues have their T1 from the table and these T2 (ms)."""
    rng = np.random.default_rng(1)
    amounts = network.amounts(voxels()).double()
    signals = attained(TIMES, network.atoms().T1, torch.tensor(T2)).double()
    images = [gain * (amounts @ row).numpy() for gain, row in zip(gains, signals, strict=True)]
    return [(x + noise * np.median(x) * rng.normal(size=x.shape)).reshape(SHAPE) for x in images]


EVERYWHERE = np.ones(SHAPE, bool)


def test_two_echo_times_tell_t2_of_each_tissue_whatever_the_gains():
    network, T2 = Known(), (58.0, 98.0, 1500.0)
    found, gains = fit_tissue(network, voxels(), scans(network, T2, (1.08, 0.95)), EVERYWHERE, TIMES, SPREADS)
    assert found.atoms.T2[0].item() == pytest.approx(58, rel=0.05)  # 72 in the table
    assert found.atoms.T2[1].item() == pytest.approx(98, rel=0.05)  # 90
    np.testing.assert_allclose(gains, (1.08, 0.95), rtol=0.03)
    torch.testing.assert_close(found.times, TIMES)


def test_the_fit_is_the_most_probable_subject(monkeypatch):
    network = Known()
    images = scans(network, (60.0, 95.0, 1500.0), (1.1, 1.0))
    monkeypatch.setattr(module, "OUTLIER", 10.0)  # no voxel is an outlier here
    found, gains = fit_tissue(network, voxels(), images, EVERYWHERE, TIMES, SPREADS)
    usual = [each.double().numpy() for each in network.atoms()]
    amounts, times = network.amounts(voxels()).double(), TIMES.double()
    whiten = np.linalg.inv(
        np.linalg.cholesky(module._prior(Atoms(*map(torch.from_numpy, usual)), SPREADS).numpy())
    )

    def residuals(x: np.ndarray) -> np.ndarray:
        T1, T2, PD = (
            torch.from_numpy(u * np.exp(d)) for u, d in zip(usual, x[:9].reshape(3, 3), strict=True)
        )
        parts = [whiten @ x]
        for n, image in enumerate(images):
            predicted = np.exp(x[9 + n]) * (amounts @ (attained(times, T1, T2)[n] * PD)).numpy()
            unit = module.ERROR * np.median(image) / np.sqrt(module.VOICES / image.size)
            parts.append((predicted - image.ravel()) / unit)
        return np.concatenate(parts)

    best = least_squares(residuals, np.zeros(11)).x
    reached = np.concatenate(
        [np.log(np.array(found.atoms, dtype=float) / np.array(usual)).ravel(), np.log(gains)]
    )
    np.testing.assert_allclose(reached, best, atol=0.006)


def test_a_subject_as_in_training_stays_as_it_is():
    network = Known()
    images = scans(network, tuple(network.atoms().T2.tolist()), noise=0.0)
    found, gains = fit_tissue(network, voxels(), images, EVERYWHERE, TIMES, SPREADS)
    for own, usual in zip(found.atoms, network.atoms(), strict=True):
        torch.testing.assert_close(own, usual, rtol=1e-4, atol=0)
    np.testing.assert_allclose(gains, 1, rtol=1e-4)


def test_a_brighter_scan_is_a_matter_of_its_gain_not_of_more_water():
    network = Known()
    images = scans(network, tuple(network.atoms().T2.tolist()), (1.2, 1.2), noise=0.0)
    found, gains = fit_tissue(network, voxels(), images, EVERYWHERE, TIMES, SPREADS)
    assert min(gains) > 1.15 and (found.atoms.PD - 1).abs().max() < 0.03


def test_what_is_no_tissue_of_the_network_hardly_moves_the_others():
    network, rng = Known(), np.random.default_rng(2)
    images = scans(network, tuple(network.atoms().T2.tolist()))
    plain, _ = fit_tissue(network, voxels(), images, EVERYWHERE, TIMES, SPREADS)
    strange = rng.random(SHAPE) < 0.01
    images[0][strange] *= 20
    found, _ = fit_tissue(network, voxels(), images, EVERYWHERE, TIMES, SPREADS)
    torch.testing.assert_close(found.atoms.T2[:2], plain.atoms.T2[:2], rtol=0.02, atol=0)


def test_a_scan_that_shows_nothing_and_a_brain_of_one_voxel_break_nothing():
    network = Known()
    images = scans(network, (60.0, 95.0, 1500.0))
    alone, gains = fit_tissue(network, voxels(), [images[0], 0 * images[1]], EVERYWHERE, TIMES, SPREADS)
    assert gains[1] == pytest.approx(1) and gains[0] != 1
    one = np.zeros(SHAPE, bool)
    one[3, 10, 10] = True
    single, gains = fit_tissue(network, voxels()[:1], images, one, TIMES, SPREADS)
    for found in (alone, single):
        assert all(torch.isfinite(each).all() and each.min() > 0 for each in found.atoms)


def test_a_trained_model_is_asked_in_the_same_way():
    torch.manual_seed(0)
    network = ContrastRepresentation("modulation", width=8, blocks=2, features=40, hidden=16, atoms=12).eval()
    features = torch.randn(int(np.prod(SHAPE)), 40)
    with torch.no_grad():
        signals = network.amounts(features) @ network.atoms().signals(TIMES).T
    images = [(1.1 * row).reshape(SHAPE).numpy() for row in signals.T]
    found, gains = fit_tissue(network, features.half(), images, EVERYWHERE, TIMES, SPREADS)
    assert min(gains) > 1.05
    for own, usual in zip(found.atoms, network.atoms(), strict=True):
        torch.testing.assert_close(own, usual, rtol=0.06, atol=0)  # it is the gain that is off


def test_people_vary_as_simulated_ones_do_and_like_tissues_alike():
    atoms = Atoms(
        *(torch.tensor(x, dtype=torch.float64) for x in ([850, 900, 4000], [72, 75, 1500], [1, 1, 1]))
    )
    prior = module._prior(atoms, (0.03, 0.2)).numpy()
    deviations = np.sqrt(np.diag(prior))
    np.testing.assert_allclose(deviations[3:6], 0.1, rtol=1e-3)  # T2 varies by 10 % from person to person
    assert (deviations[:3] < 0.1).all() and (deviations[6:9] < 0.031).all()
    np.testing.assert_allclose(deviations[9:], (0.03, 0.2), rtol=1e-3)
    correlation = prior / np.outer(deviations, deviations)
    assert correlation[3, 4] > 0.9 and correlation[3, 5] < 0.01 and abs(correlation[0, 3]) < 0.01


def test_where_a_scan_has_ended_it_counts_for_nothing():
    network, T2 = Known(), (58.0, 98.0, 1500.0)
    images = scans(network, T2)
    whole, _ = fit_tissue(network, voxels(), images, EVERYWHERE, TIMES, SPREADS)
    images[1][:4] = 0
    found, _ = fit_tissue(network, voxels(), images, EVERYWHERE, TIMES, SPREADS)
    torch.testing.assert_close(found.atoms.T2, whole.atoms.T2, rtol=0.02, atol=0)
