"""Sequences and tissues of the simulator against the literature: agent, diffusion, the CRL paper's table."""

from __future__ import annotations

import numpy as np
import pytest

from mrinr.errors import InputError
from mrinr.simulation import Sequence
from mrinr.simulation.sequences import SEQUENCES, csf, csf_null, jittered, named
from mrinr.simulation.signal import signal
from mrinr.simulation.tissue import TISSUES, concentration, draw_scan, with_agent

# Table 1 of papers/crl_2024.txt: TR, TE, TI in ms.
CRL = {
    1: (2479, 9.62, 1055),
    2: (2479, 10.42, 0),
    3: (6777, 10.42, 0),
    4: (6777, 62.52, 0),
    5: (8000, 10.42, 0),
    6: (8000, 39.92, 0),
    7: (8142, 104.2, 0),
    8: (8000, 99.98, 1030),
    9: (8000, 98.78, 2025),
}


def of(tissue: str, name: str) -> float:
    return float(signal(SEQUENCES[name], *TISSUES[tissue]))


def scans(count: int = 200):
    return [draw_scan((9, 9, 9), np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize("number", CRL)
def test_the_nine_sequences_are_those_of_the_paper(number):
    sequence = named(["crl"])[f"CRL{number}"]
    assert CRL[number] == (sequence.TR, sequence.TE, sequence.TI)


def test_groups_and_names_can_be_mixed_and_unknown_ones_are_refused():
    assert list(named(["clinical", "DWI"])) == ["T1", "T2", "FLAIR", "PD", "DWI"]
    assert len(named(["crl"])) == 9
    with pytest.raises(InputError, match="'T7' is not known"):
        named(["T7"])


def test_stir_nulls_fat():
    assert of("fat", "STIR") < 0.02 * of("grey matter", "STIR")


# diffusion ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tissue", "ADC"), [("grey matter", 0.83), ("white matter", 0.75), ("CSF", 3.0)])
def test_diffusion_weighting_takes_the_signal_down_by_exp_of_minus_b_adc(tissue, ADC):
    without = Sequence(TR=6000, TE=80)
    for b in (500, 1000):
        with_it = Sequence(TR=6000, TE=80, b=b)
        ratio = signal(with_it, *TISSUES[tissue]) / signal(without, *TISSUES[tissue])
        assert ratio == pytest.approx(np.exp(-b * 1e-3 * ADC), rel=1e-9)


def test_a_stroke_is_bright_and_fluid_dark_on_dwi():
    assert of("stroke", "DWI") > 1.5 * of("grey matter", "DWI")
    assert of("CSF", "DWI") < 0.5 * of("white matter", "DWI")


def test_a_negative_b_is_refused():
    with pytest.raises(InputError, match=r"^[^\n]+\.$"):
        Sequence(TR=600, TE=10, b=-1)


# contrast agent -------------------------------------------------------------------------------------------


def test_rates_rise_by_relaxivity_times_concentration():
    before = TISSUES["enhancing rim"]
    after = with_agent(before, 0.5)
    assert pytest.approx(4.5 * 0.5) == 1000 / after.T1 - 1000 / before.T1
    assert pytest.approx(5.5 * 0.5) == 1000 / after.T2 - 1000 / before.T2
    assert pytest.approx(838) == before.T1 - with_agent(before, concentration(before.T1, 838)).T1


@pytest.mark.parametrize(("tissue", "mean", "deviation"), [("enhancing rim", 838, 210), ("oedema", 123, 74)])
def test_the_drop_in_t1_has_the_spread_of_the_literature(tissue, mean, deviation):
    drops = np.array([scan.values[tissue].T1 - scan.enhanced[tissue].T1 for scan in scans()])
    assert drops.mean() == pytest.approx(mean, abs=3.5 * deviation / np.sqrt(len(drops)))
    assert drops.std() == pytest.approx(deviation, rel=0.2)
    assert (drops >= 0).all()


def test_agent_makes_rim_and_vessels_bright_and_leaves_the_brain_nearly_as_it_was():
    for scan in scans(20):
        after, before = (
            {tissue: float(signal(SEQUENCES["T1ce"], *v)) for tissue, v in values.items()}
            for values in (scan.enhanced, scan.values)
        )
        for tissue in ("white matter", "grey matter", "CSF", "stroke", "fat"):
            assert 0.999 < after[tissue] / before[tissue] < 1.06
        assert after["enhancing rim"] > 1.15 * before["enhancing rim"]
        assert after["vessel"] > 3 * before["vessel"]
        assert before["vessel"] < 0.5 * before["white matter"]
        assert after["vessel"] > after["white matter"]


# tissue ---------------------------------------------------------------------------------------------------


def test_every_scan_shows_white_matter_brighter_than_grey_on_t1():
    for scan in scans():
        white, grey = (signal(SEQUENCES["T1"], *scan.values[f"{t} matter"]) for t in ("white", "grey"))
        assert white > 1.08 * grey


def test_tissues_vary_by_a_tenth_from_scan_to_scan():
    drawn = np.log([scan.values["muscle"][:3] for scan in scans(400)])
    np.testing.assert_allclose(drawn.std(axis=0), [0.10, 0.10, 0.03], rtol=0.12)
    np.testing.assert_allclose(np.exp(drawn.mean(axis=0)), TISSUES["muscle"][:3], rtol=0.02)


# jitter ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEQUENCES)
def test_jittered_times_stay_near_and_can_be_played(name):
    sequence, rng = SEQUENCES[name], np.random.default_rng(0)
    drawn = [jittered(sequence, rng) for _ in range(200)]  # a Sequence that cannot be played raises
    for made in drawn:
        for time in ("TR", "TE"):
            assert 1 / 1.1501 < getattr(made, time) / getattr(sequence, time) < 1.1501
        assert (made.b, made.agent, made.flip) == (sequence.b, sequence.agent, sequence.flip)
    assert np.std([made.TR / sequence.TR for made in drawn]) > 0.03


@pytest.mark.parametrize("name", ["FLAIR", "T1FLAIR", "DIR", "CRL1"])
def test_jittered_inversions_still_null_csf(name):
    rng = np.random.default_rng(1)
    assert csf_null(SEQUENCES[name]) == pytest.approx(SEQUENCES[name].TI, rel=0.02)
    assert max(csf(jittered(SEQUENCES[name], rng)) for _ in range(100)) < 0.03


def test_the_null_of_csf_is_the_closed_form():
    sequence = Sequence(TR=9000, TE=120, TE_last=240, TI=1)
    T1 = TISSUES["CSF"].T1
    expected = T1 * (np.log(2) - np.log(1 + np.exp(-(9000 - 240) / T1)))
    assert csf_null(sequence) == pytest.approx(expected)
    assert csf(Sequence(TR=9000, TE=120, TE_last=240, TI=expected)) < 1e-9
