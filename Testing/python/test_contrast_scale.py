"""Gains and levels: one scale for all contrasts of a subject, read from percentiles."""

from __future__ import annotations

import numpy as np
import pytest

from mrinr.contrast.scale import FIXED, PERCENTS, gain, known_to, scale
from mrinr.errors import InputError
from mrinr.simulation.sequences import SEQUENCES
from mrinr.simulation.signal import Sequence, signal
from mrinr.simulation.tissue import TISSUES
from mrinr.training.contrast_sequences import plain

T1_WEIGHTED, FLAIR = (plain(SEQUENCES[name]) for name in ("T1", "FLAIR"))


def brain(played: Sequence, rng: np.random.Generator, fluid: float = 0.05, spread: float = 0.0) -> np.ndarray:
    """Voxels of a brain, PD 1 for water: two tissues in one voxel of three, each a little off the table."""
    names = ("white matter", "grey matter", "deep grey", "CSF")
    signals = np.array([
        signal(played, *(np.array(TISSUES[name][:3]) * np.exp(spread * rng.standard_normal(3))))
        for name in names
    ])  # fmt: skip
    drawn = signals[rng.choice(4, (2, 4000), p=(0.38, 0.57 - fluid, 0.05, fluid))]
    mixed = np.where(rng.random(4000) < 0.3, drawn.mean(0), drawn[0])
    return mixed * np.exp(0.05 * rng.standard_normal(4000))


@pytest.mark.parametrize(
    "name", ["T1", "T2", "FLAIR", "PD", "T1FLAIR", "STIR", *(f"CRL{n}" for n in range(1, 10))]
)
def test_one_gain_takes_all_contrasts_of_a_usual_brain_to_the_physical_scale(name):
    played, everywhere = plain(SEQUENCES[name]), np.ones(4000)
    for fluid in (0.03, 0.1):  # as much of it as a mask may hold
        image = 250 * brain(played, np.random.default_rng(0), fluid)
        assert gain(image, everywhere, played) == pytest.approx(250, rel=0.3 if name == "CRL8" else 0.15)
        assert gain(3 * image, everywhere, played) == pytest.approx(3 * gain(image, everywhere, played))


@pytest.mark.parametrize("name", ["T1FLAIR", "CRL1", "CRL8"])
def test_gains_vary_less_between_people_than_the_median_where_tissues_differ_much(name):
    played, rng = plain(SEQUENCES[name]), np.random.default_rng(0)
    people = [brain(played, rng, rng.uniform(0.02, 0.12), 0.07) for _ in range(60)]
    found = np.std([np.log(gain(image, np.ones(4000), played)) for image in people])
    assert found < 0.8 * np.std([np.log(np.median(image)) for image in people])


def test_levels_say_how_this_brain_differs_whatever_its_gain():
    rng = np.random.default_rng(0)
    usual = np.percentile(brain(T1_WEIGHTED, rng), PERCENTS)
    grey_is_darker = usual * np.where(np.array(PERCENTS) < 50, 0.8, 1.0)
    a, b, c = (scale(each, T1_WEIGHTED) for each in (usual, grey_is_darker, 7 * grey_is_darker))
    assert (b.levels - a.levels)[:4].mean() < (b.levels - a.levels)[-4:].mean() - 0.15
    np.testing.assert_allclose(c.levels, b.levels, atol=1e-5)
    assert c.gain == pytest.approx(7 * b.gain)


def test_an_image_without_signal_has_no_gain():
    with pytest.raises(InputError, match="no signal in the brain"):
        gain(np.zeros(9), np.ones(9), T1_WEIGHTED)


def test_a_gain_is_known_as_people_vary_and_stays_where_only_fluid_shines():
    level = np.ones(len(PERCENTS))
    for played in (T1_WEIGHTED, FLAIR):
        found = scale(level, played)
        assert known_to(found, played) == found.spread > FIXED
    water = Sequence(8000, 500)  # tissue has decayed
    assert known_to(scale(level, water), water) == FIXED
