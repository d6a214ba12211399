"""Benchmarks of synthesis in miniature: people, protocols, tables and what is said of the papers' claims."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import small_models
from PIL import Image
from scipy import stats
from simulated_head import label_map
from skimage.measure import block_reduce
from skimage.metrics import mean_squared_error

from mrinr import benchmark, bundles
from mrinr.benchmark import forest, local_inr, measure, multimodal, people
from mrinr.benchmark import local_inr_training as trials
from mrinr.benchmark.dedicated import Misaligned, Size
from mrinr.benchmark.measure import Intervals, papers_mse
from mrinr.benchmark.people import simulated, those_named
from mrinr.benchmark.split import folds, groups
from mrinr.benchmark.wilcoxon import verdict, wilcoxon
from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.synthesis.multimodal import moved_by
from mrinr.training.folders import Subject
from mrinr.training.simulated import SimulatedSlices, Wanted
from mrinr.training.sources import Source, find_sources
from mrinr.volume import Volume, write

NAMES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def shelf(made_once):
    return made_once("small_models", small_models.make)


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
    everything = [*person.truth.values(), *person.shown.values(), *person.other.values()]
    everything += [person.misaligned, person.registered]
    assert all(volume.grid.same_as(grid) for volume in everything)
    inside = person.brain.voxels > 0
    noise = (person.shown["T1"].voxels - person.truth["T1"].voxels)[inside]
    assert 0.01 < np.abs(noise).mean() / np.median(person.truth["T1"].voxels[inside]) < 0.1

    def likeness(volume) -> float:
        return np.corrcoef(volume.voxels[inside], person.truth["T1"].voxels[inside])[0, 1]

    assert likeness(person.misaligned) < likeness(person.shown["T1"]) - 0.02
    assert likeness(person.registered) > likeness(person.shown["T1"]) - 0.02


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


def test_the_papers_error_is_that_of_its_prepared_images_and_knows_no_gain():
    """Slices along the first axis of the grid, R along the last; the frame is narrower and longer."""
    rng = np.random.default_rng(0)
    brain = np.zeros((10, 24, 20), bool)
    brain[2:8, 4:20, 4:16] = True
    truth = rng.uniform(1, 2, brain.shape).astype(np.float32)
    image = truth + rng.normal(0, 0.1, brain.shape).astype(np.float32)
    grid = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1.0]])
    frame = (5, 14)
    trimmed = [np.pad(np.where(brain, x, 0)[2:8, :, 5:15], ((0, 0), (2, 2), (0, 0))) for x in (truth, image)]
    small = [block_reduce(x, (1, 2, 2), np.mean) for x in trimmed]
    assert small[0].shape == (6, 14, 5)
    scaled = [x / x.mean() for x in small]
    lit = small[0] > 0
    expected = mean_squared_error(scaled[0][lit], scaled[1][lit])
    reference = Volume(truth, grid)
    assert papers_mse(reference, 7 * image, brain, frame) == pytest.approx(expected, rel=1e-4)
    assert papers_mse(reference, np.where(brain, image, 99), brain, frame) == pytest.approx(
        expected, rel=1e-4
    )


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
    assert count == {"subsets": 14, "misaligned": 8, "targets": 12, "tuned": 2}
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
    for file in multimodal.PICTURES:
        assert f"({file})" in page and (tmp_path / file).stat().st_size < 150_000
        with Image.open(tmp_path / file) as picture:
            assert np.asarray(picture.convert("L")).std() > 10
    assert f"mrinr benchmark multimodal --small --data {maps} --subjects a b" in page
    dear, ships, rival = found["tables"][-1]["rows"]
    assert dear[0] == "the paper's network" and dear[2:] == [1.0, 1.0]
    assert ships[0] == "multimodal-compact (ships)" and rival[2] < 1 and rival[3] < 1
    assert "Coverage of the 90 % interval" in capsys.readouterr().out


def test_rivals_are_trained_on_others_and_compared_with_the_one_model(tmp_path, monkeypatch):
    maps = tmp_path / "maps"
    maps.mkdir()
    for name in ("a", "b"):  # tested and trained on
        write(label_map(), maps / f"{name}.nii.gz")
    seen = []
    monkeypatch.setattr(people, "SLAB", 26)
    monkeypatch.setattr(multimodal, "GIVEN", ("T1", "DWI"))
    monkeypatch.setattr(multimodal, "SMALL", Size(2, (48, 48), 1, 1, True, 3, 200, 3))
    monkeypatch.setattr(multimodal, "fine_tuning", lambda *given: None)
    train = multimodal.train
    monkeypatch.setattr(
        multimodal, "train", lambda source, *rest: seen.append(source.names) or train(source, *rest)
    )
    found = benchmark.run("multimodal", maps, True, tmp_path, Context(), subjects=("a",), dedicated=True)
    assert seen == [["b"]] and not [line for line in found["remarks"] if line.startswith("Failed")]
    tried = {(row["kind"], *row["inputs"]) for row in found["scores"]["rivals"]}
    kinds = ("alone", "forest", "one", "longer")
    assert tried == {
        *((kind, *subset) for kind in kinds for subset in (("T1",), ("DWI",), ("T1", "DWI"))),
        ("alone, moved", "DWI", "T1"),
        ("forest, moved", "DWI", "T1"),
    }
    assert all(np.isfinite([row["matched"], row["mse"]]).all() for row in found["scores"]["rivals"])
    claim = found["claims"][0]
    assert "trained alone" in claim["why"] and claim["verdict"] in ("reproduced here", "not reproduced")
    assert any("trained on b; each network 2 steps" in line for line in found["remarks"])


def test_a_misaligned_batch_knows_how_its_image_moved(maps):
    """Undoing the motion that the batch tells brings the image back onto the other, which is like it."""
    wanted = Wanted(("T1", "T1ce"), ("FLAIR",))
    stream = SimulatedSlices([maps / "a.nii.gz"], wanted, size=(96, 96), batch=6, seed=3, pool=1)
    (batch,) = islice(Misaligned(stream, "T1ce"), 1)
    still, moved = batch.seen["T1"], batch.seen["T1ce"]
    back = moved_by(moved, batch.motion["T1ce"])
    apart = batch.motion["T1ce"].abs().max(1).values > 1

    def likeness(a, b) -> np.ndarray:
        return np.array([np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)])

    assert apart.any()
    assert (likeness(still, back) > likeness(still, moved))[apart.numpy()].all()


def test_a_forest_learns_what_a_few_voxels_around_say(maps):
    wanted = Wanted(("T1", "T2"), ("FLAIR",))
    stream = SimulatedSlices([maps / "a.nii.gz"], wanted, size=(64, 64), batch=2, seed=1, pool=1)
    *some, last = islice(stream, 12)
    inside = last.brain > 0
    grown = forest.grow(some, wanted.inputs, "FLAIR", 4000, 8)
    made = grown.predict(last.seen, last.place, last.brain)
    assert made.shape == last.brain.shape and not made[~inside].any()
    truth = last.clean["FLAIR"][inside]
    assert (made[inside] - truth).square().mean() < 0.7 * (truth - truth.mean()).square().mean()


def test_quarters_and_whom_a_small_benchmark_tests(maps):
    source = find_sources([maps], [])
    ((training, tested),) = groups(source, ("a", "c"), True, 1, "nobody")
    assert (training.names, tested.names) == (["b", "d"], ["a", "c"])
    ((training, tested),) = groups(source, (), True, 2, "trained on (a)")
    assert (training.names, tested.names) == (["a", "d"], ["b", "c"])
    ((training, tested),) = groups(source, NAMES, True, 2, "")
    assert training is None and tested.names == list(NAMES)
    assert [tested.names for _, tested in groups(source, (), False, 2, "(a)")] == [[name] for name in NAMES]
    visits = tuple(Subject(f"p{n}/visit{m}", {"T1": Path("x")}) for n in range(5) for m in (1, 2))
    real = Source((), visits)
    for training, tested in [*groups(real, (), False, 2, ""), *groups(real, ("p3/visit1",), True, 2, "")]:
        assert not {one.person for one in training.subjects} & {one.person for one in tested.subjects}
    assert [tested.names for _, tested in groups(real, (), True, 2, "", seed=1)] != [
        tested.names for _, tested in groups(real, (), True, 2, "", seed=2)
    ]


def test_the_local_inr_benchmark_in_miniature(maps, tmp_path, monkeypatch):
    tasks = (trials.Task(("T2",), trials.EVERY), trials.THREE)
    tiny = trials.Size(8, 1, (4, 1), (6, 2), 4, 4, 2, (1,), 1, 2, 2, tasks, crop=(64, 64))
    monkeypatch.setitem(local_inr.SIZES, "small", tiny)
    found = benchmark.run("local-inr", maps, True, tmp_path, Context())
    ships = "multimodal-compact (ships)"
    assert {row["label"] for row in found["scores"]} == {*trials.EVERY, ships}
    three = [row for row in found["scores"] if len(row["inputs"]) == 3]
    assert {row["label"] for row in three} == {"pix2pix", trials.LOCAL, ships}
    assert len({row["person"] for row in found["scores"]}) == 3  # one is trained on
    assert {(row["label"], row["steps"]) for row in found["by_steps"]} == {
        (label, steps) for label in local_inr.BY_STEPS for steps in (1, 2)
    }
    for row in (*found["scores"], *found["by_steps"]):
        assert np.isfinite([row["mse"], row["ssim"], row["psnr"], row["brain psnr"]]).all()
        assert row["floor linear"] >= row["floor constant"] - 1e-3
    page = (tmp_path / "page.md").read_text()
    assert "| floor: constant |  |" in page.partition("## Locality")[2]
    assert "not tested: 3 people" in page and "1.63*" in page and "0.86* / 94.9* / 31.82*" in page
    for each in (trials.LOCAL, trials.CONTROL):
        assert set(found["locality"][each]) == {
            "every tile its own",
            "white matter",
            "fluid",
            "the background",
        }
    for file in ("locality.png", "local_inr_steps.png"):
        assert (tmp_path / file).stat().st_size > 2000


def test_nobody_is_trained_and_tested_on(maps):
    source = find_sources([maps], [])
    for training, testing in folds(source, small=False):
        assert len(training.maps) == 3 and not set(training.maps) & set(testing.maps)
    assert sorted(n for _, testing in folds(source, small=False) for n in testing.names) == list(NAMES)
    ((training, testing),) = folds(source, small=True)
    assert len(training.maps) == 1 and len(testing.maps) == 3
    two = find_sources([maps], NAMES[2:])
    ((training, testing),) = folds(two, small=True)
    assert len(training.maps) == len(testing.maps) == 1 and training != testing
    with pytest.raises(InputError, match="needs 4 people or more, not 2"):
        folds(two, small=False)
