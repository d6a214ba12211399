"""Benchmarks of synthesis in miniature: people, protocols, tables and what is said of the papers' claims."""

from __future__ import annotations

import json

import numpy as np
import pytest
import small_models
from scipy import stats
from simulated_head import label_map

from mrinr import benchmark, bundles
from mrinr.benchmark import local_inr, measure, multimodal, people
from mrinr.benchmark.local_inr import Size
from mrinr.benchmark.measure import Intervals, papers_mse
from mrinr.benchmark.people import simulated, those_named
from mrinr.benchmark.split import folds
from mrinr.benchmark.wilcoxon import verdict, wilcoxon
from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.training.sources import find_sources
from mrinr.volume import write

NAMES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return small_models.make(tmp_path_factory.mktemp("shelf"))


@pytest.fixture(autouse=True)
def models(shelf, monkeypatch):
    monkeypatch.setenv(small_models.SHELF, str(shelf))
    monkeypatch.setattr(bundles, "_shipped_folders", small_models.on_the_shelf)


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    for name in NAMES:
        write(label_map(), folder / f"{name}.nii.gz")
    return folder


# Wilcoxon ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [3, 12, 40, 80])
def test_the_signed_rank_test_is_that_of_scipy(count):
    rng = np.random.default_rng(count)
    a, b = rng.normal(0.2, 1, count), rng.normal(0, 1, count)
    assert wilcoxon(a, b) == pytest.approx(stats.wilcoxon(a, b).pvalue, abs=1e-10)


def test_ties_and_equal_pairs_are_treated_as_by_scipy():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 6, 60), rng.integers(0, 5, 60)
    theirs = stats.wilcoxon(a, b, method="asymptotic", correction=False).pvalue
    assert wilcoxon(a, b) == pytest.approx(theirs, abs=1e-10)
    assert wilcoxon(a, a) == 1.0


def test_too_few_people_are_not_tested():
    better = np.arange(20.0)
    assert "not tested: 11 people" in verdict(better[:11], better[:11] + 1)
    assert verdict(better, better + 1 + better / 7) == "p < 0.001"


# people --------------------------------------------------------------------------------------------------


def test_a_simulated_person_has_what_the_benchmark_measures(maps):
    person = simulated("a", maps / "a.nii.gz", 2, 20)
    grid = person.brain.grid
    assert min(grid.shape) == 20 and person.lesions is not None
    everything = [*person.truth.values(), *person.shown.values(), *person.other.values(), person.misaligned]
    assert all(volume.grid.same_as(grid) for volume in everything)
    inside = person.brain.voxels > 0
    noise = (person.shown["T1"].voxels - person.truth["T1"].voxels)[inside]
    assert 0.01 < np.abs(noise).mean() / np.median(person.truth["T1"].voxels[inside]) < 0.1

    def likeness(volume) -> float:
        return np.corrcoef(volume.voxels[inside], person.truth["T1"].voxels[inside])[0, 1]

    assert likeness(person.misaligned) < likeness(person.shown["T1"]) - 0.02


def test_people_that_the_model_was_trained_on_are_left_out_unless_they_are_named(maps):
    source = find_sources([maps], [])
    card = "people simulated from 2 label maps (a, c)"
    assert those_named(source, (), card).names == ["b", "d"]
    assert those_named(source, ("a",), card).names == ["a"]
    with pytest.raises(InputError, match="There is no 'e'"):
        those_named(source, ("e",), card)
    with pytest.raises(InputError, match="trained on everybody"):
        those_named(source, (), "(a, b, c, d)")


# measures ------------------------------------------------------------------------------------------------


def test_the_papers_error_does_not_know_the_gain_nor_what_is_not_brain():
    rng = np.random.default_rng(0)
    brain = np.zeros((12, 12, 12), bool)
    brain[2:10, 3:9, 2:10] = True
    truth = rng.uniform(1, 2, brain.shape)
    image = truth + rng.normal(0, 0.1, brain.shape)
    trimmed = [np.where(brain, x, 0)[2:10, 3:9, 2:10] for x in (truth, image)]
    expected = np.mean((trimmed[0] / trimmed[0].mean() - trimmed[1] / trimmed[1].mean()) ** 2)
    assert papers_mse(truth, 7 * image, brain) == pytest.approx(expected)
    assert papers_mse(truth, np.where(brain, image, 99), brain) == pytest.approx(expected)


def test_coverage_and_risk_are_those_of_the_errors():
    rng = np.random.default_rng(0)
    sigma = rng.uniform(0.01, 0.1, (30, 30, 30))
    error = np.abs(rng.normal(0, sigma))
    found = Intervals()
    found.add({"brain": np.ones(sigma.shape, bool), "none": sigma < 0}, 1.645 * sigma, error, 2 * error)
    coverage = found.coverage()
    assert set(coverage) == {"brain"}
    assert coverage["brain"]["coverage"] == pytest.approx(90, abs=1)
    assert coverage["brain"]["matched"] < 65
    risk = list(found.risk().values())
    assert risk == sorted(risk) and risk[-1] == pytest.approx(100 * np.sqrt((error**2).mean()), rel=0.03)


# benchmarks ----------------------------------------------------------------------------------------------


def test_the_multimodal_benchmark_in_miniature(maps, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(multimodal, "SMALL_STEPS", 2)
    monkeypatch.setattr(people, "SLAB", 15)
    found = benchmark.run("multimodal", maps, True, tmp_path, Context(), subjects=("a", "b"))
    count = {name: len(rows) for name, rows in found["scores"].items()}
    assert not [line for line in found["remarks"] if line.startswith("Failed")]
    assert count == {"subsets": 14, "misaligned": 6, "targets": 12, "tuned": 2}
    for rows in found["scores"].values():
        for row in rows:
            floors = [row["floors"][name] for name in measure.FLOORS]
            assert np.isfinite([row["psnr"], row["ssim"], row["mse"], *floors]).all()
            assert row["matched"] >= max(row["psnr"], row["floors"]["constant"]) - 1e-3
    assert {"brain", "grey matter", "white matter", "CSF", "lesions"} <= set(found["coverage"])
    assert json.loads((tmp_path / "results.json").read_text())["claims"] == found["claims"]
    page = (tmp_path / "page.md").read_text()
    assert "| T1 + T2 + DWI |" in page and "0.576" in page and "3.99" in page  # ours and the paper's
    assert "No model was trained for one subset alone" in page
    assert f"mrinr benchmark multimodal --small --data {maps} --subjects a b" in page
    assert "Coverage of the 90 % interval" in capsys.readouterr().out


def test_dedicated_models_are_compared_with_the_one_model(tmp_path, monkeypatch):
    maps = tmp_path / "maps"
    maps.mkdir()
    for name in ("a", "b"):  # tested and trained on
        write(label_map(), maps / f"{name}.nii.gz")
    monkeypatch.setattr(people, "SLAB", 26)
    monkeypatch.setattr(multimodal, "GIVEN", ("T1", "DWI"))
    monkeypatch.setattr(multimodal, "fine_tuning", lambda *given: None)
    found = benchmark.run("multimodal", maps, True, tmp_path, Context(), subjects=("a",), dedicated=True)
    assert [row["inputs"] for row in found["scores"]["dedicated"]] == [["T1"], ["DWI"], ["T1", "DWI"]]
    claim = found["claims"][0]
    assert "trained alone" in claim["why"] and claim["verdict"] in ("reproduced here", "not reproduced")


def test_the_local_inr_benchmark_in_miniature(maps, tmp_path, monkeypatch):
    tiny = Size(8, 1, (4, 1), (6, 2), 4, 4, 2, 1, 2, 2, ((("T2",), "FLAIR"),), crop=(64, 64))
    monkeypatch.setitem(local_inr.SIZES, "small", tiny)
    found = benchmark.run("local-inr", maps, True, tmp_path, Context())
    assert {row["label"] for row in found["scores"]} == {"pix2pix", *local_inr.TILES}
    assert len({row["person"] for row in found["scores"]}) == 3  # one is trained on
    for row in found["scores"]:
        assert np.isfinite([row["mse"], row["ssim"], row["psnr"], row["brain psnr"]]).all()
        assert row["floor linear"] >= row["floor constant"] - 1e-3
    page = (tmp_path / "page.md").read_text()
    assert "not tested: 3 people" in page and "1.63*" in page
    assert set(found["locality"]) == {"every tile its own", "white matter", "fluid", "the background"}
    assert (tmp_path / "locality.png").stat().st_size > 5000


def test_nobody_is_trained_and_tested_on(maps):
    source = find_sources([maps], [])
    for training, testing in folds(source, small=False):
        assert len(training.maps) == 3 and not set(training.maps) & set(testing.maps)
    assert sorted(n for _, testing in folds(source, small=False) for n in testing.names) == list(NAMES)
    ((training, testing),) = folds(source, small=True)
    assert len(training.maps) == 1 and len(testing.maps) == 3
