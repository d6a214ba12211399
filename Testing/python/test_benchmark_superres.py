"""Benchmarks of super-resolution in miniature: heads, measuring, rivals, protocols and what is claimed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from perceptual_weights import random_weights
from PIL import Image
from scipy.ndimage import gaussian_filter
from simulated_head import label_map

from mrinr import benchmark
from mrinr.benchmark import equal_time, irem, multi_contrast, prior_table, srr
from mrinr.benchmark.apart import apart
from mrinr.benchmark.cases import Case, case, heads
from mrinr.benchmark.chart import chart, round_numbers
from mrinr.benchmark.superres_tables import brain, cost, sheet, short_fit
from mrinr.benchmark.table import Entry, compare, information
from mrinr.context import Context
from mrinr.degrade import degrade
from mrinr.errors import Cancelled, InputError
from mrinr.metrics import mutual_information
from mrinr.superres import cubic
from mrinr.superres.multi_contrast import solve_split_head
from mrinr.superres.pipeline import build, subject_scales
from mrinr.volume import Stack, Volume, write

SIZE = (36, 40, 32)


def save(volume: Volume, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(volume, path)


def anatomy(seed: int = 0) -> dict[str, Volume]:
    """A smooth blob with texture in two contrasts of one structure, 1 mm, dark outside; and a mask."""
    rng = np.random.default_rng(seed)
    texture = gaussian_filter(rng.normal(0, 1, SIZE), 2.0)
    far = np.linalg.norm((np.indices(SIZE).T - (np.array(SIZE) - 1) / 2).T / 14.0, axis=0)
    inside = far < 1
    structure = 1 + 0.4 * texture / texture.std() * inside
    affine = np.diag([1.0, 1, 1, 1])
    made = {
        "T1": 100 * structure.clip(0.2) * inside,
        "FLAIR": 80 * structure.clip(0.2) ** 2 * inside,
        "mask": inside.astype(float),
    }
    return {name: Volume(voxels.astype(np.float32), affine, name) for name, voxels in made.items()}


@pytest.fixture(scope="module")
def person() -> Case:
    there = anatomy()
    return Case("somebody", {"T1": there["T1"], "FLAIR": there["FLAIR"]}, there["mask"], None)


@pytest.fixture(scope="module")
def msseg(tmp_path_factory):
    """Two patients in the layout of MSSEG 2016."""
    top = tmp_path_factory.mktemp("msseg")
    for n, center in enumerate(("Center_01", "Center_03")):
        there = anatomy(n)
        folder = top / "Testing" / center / f"Patient_0{n + 1}"
        sick = np.zeros(SIZE, np.float32)
        sick[16:20, 18:22, 14:18] = 1
        for name in ("T1", "FLAIR"):
            save(there[name], folder / "Preprocessed_Data" / f"{name}_preprocessed.nii.gz")
        save(there["mask"], folder / "Masks" / "Brain_Mask.nii.gz")
        save(there["mask"].with_voxels(sick), folder / "Masks" / "Consensus.nii.gz")
    return top


# a process of its own ------------------------------------------------------------------------------------


def holds(megabytes: int) -> int:
    return int(np.ones(megabytes * 131072).sum())


def fails() -> None:
    raise InputError("no")


def dies() -> None:
    os._exit(3)


def test_each_function_is_charged_with_its_own_memory():
    big = apart(holds, 300, context=Context())
    small = apart(holds, 3, context=Context())
    assert big.value == 300 * 131072
    assert 280 < big.megabytes * 1e6 / 2**20 < 420  # on top of numpy
    assert small.megabytes < 60


def test_errors_and_sudden_ends_of_the_process_are_told():
    with pytest.raises(InputError, match="no"):
        apart(fails, context=Context())
    with pytest.raises(InputError, match="without an answer"):
        apart(dies, context=Context())
    with pytest.raises(Cancelled):
        apart(holds, 3, context=Context(cancelled=lambda: True))


# heads ---------------------------------------------------------------------------------------------------


def test_heads_come_from_label_maps_and_from_published_layouts(msseg, tmp_path):
    write(label_map(), tmp_path / "a.nii.gz")
    (simulated,) = heads(tmp_path, ())
    found = case(simulated, ("T1", "DIR"), 24, "ms")
    assert found.brain.voxels.shape == (24, 24, 24) and found.brain.voxels.any()
    assert set(found.truths) == {"T1", "DIR"}
    real = heads(msseg, ())
    assert len(real) == 2 and real[0].has(("T1", "FLAIR")) and not real[0].has(("DIR", "FLAIR"))
    found = case(real[0], ("T1", "FLAIR"), None)
    assert found.brain.name == "the brain mask" and found.lesions.voxels.sum() == 64
    assert all(v.grid.same_as(found.brain.grid) for v in found.truths.values())
    with pytest.raises(InputError, match="There is no 'nobody'"):
        heads(msseg, ("nobody",))
    with pytest.raises(InputError, match="--data"):
        heads(None, ("head_03",))


def test_few_of_many_people_are_drawn_by_a_seed(msseg):
    once, again = heads(msseg, (), 1), heads(msseg, (), 1)
    assert once == again and len(once) == 1
    assert {heads(msseg, (), 1, seed)[0].name for seed in range(9)} == {h.name for h in heads(msseg, ())}


def test_thick_slices_are_no_truth(tmp_path):
    thick = anatomy()["T1"]
    save(replace(thick, affine=np.diag([1.0, 1, 3, 1])), tmp_path / "p" / "T1.nii.gz")
    with pytest.raises(InputError, match="no truth"):
        case(heads(tmp_path, ())[0], ("T1",), None)


# measuring -----------------------------------------------------------------------------------------------


def test_information_errors_are_those_of_the_paper(person):
    rng = np.random.default_rng(0)
    inside = person.brain.voxels > 0
    noisy = {c: v.with_voxels(v.voxels + rng.normal(0, 9, SIZE)) for c, v in person.truths.items()}
    found = information(person, noisy)

    def shared(a: Volume, b: Volume) -> float:
        return mutual_information(a.voxels, b.voxels, inside)

    t1, flair = person.truths["T1"], person.truths["FLAIR"]
    assert found["T1"] == pytest.approx(abs(shared(noisy["T1"], flair) - shared(t1, flair)))
    assert found["FLAIR"] == pytest.approx(abs(shared(t1, noisy["FLAIR"]) - shared(t1, flair)))
    assert found["both"] == pytest.approx(abs(shared(noisy["T1"], noisy["FLAIR"]) - shared(t1, flair)))
    assert information(person, person.truths) == {"T1": 0, "FLAIR": 0, "both": 0}
    assert information(person, {"T1": t1}) == {}


def test_rows_hold_quality_and_cost_beside_the_reference(person):
    entries = [Entry("cubic", "cubic"), Entry("tv", "tv"), Entry("srr", "srr", profile="gaussian")]
    rows, shown = compare([person], multi_contrast.stacks(("T1", "FLAIR")), entries, "irem", "tv", Context())
    assert [row["label"] for row in rows] == ["cubic", "tv", "srr"] == list(shown)
    assert rows[1]["cpu_ratio"] == rows[1]["memory_ratio"] == 1
    assert rows[0]["cpu_ratio"] < 1
    table = sheet("t", rows, "tv", {"": ("theirs",), "cubic": ("7.77",)}, "")
    assert all(len(row) == len(table.head) for row in table.rows)
    assert [row[0] for row in table.rows][3:] == ["floor: constant", "floor: identity", "floor: linear"]
    assert table.rows[0][-1] == "7.77" and table.rows[1][-3] == "1.00"
    level = brain(rows)["cubic"]
    honest = [rows[0]["contrasts"][c]["honest"]["brain"]["psnr"] for c in ("T1", "FLAIR")]
    assert level == pytest.approx(np.mean(honest))


# rivals --------------------------------------------------------------------------------------------------


def test_srr_solves_its_normal_equations():
    truth = anatomy()["T1"].voxels[12:22, 14:24, 10:20]
    small = Volume(np.ascontiguousarray(truth), np.eye(4), "T1")
    thick = [degrade(small, axis, 2, "gaussian") for axis in range(3)]
    stacks = [Stack(Volume(v.voxels, v.affine, str(n), v.meta), "T1", n) for n, v in enumerate(thick)]
    scales = subject_scales(stacks)
    problem = build(stacks, [None] * 3, scales, small.grid, "gaussian", torch.device("cpu"), 0)
    found = srr.solve(problem, Context(), weight=0.05, steps=300).volumes["T1"].numpy().ravel()
    rows, values = [], []
    for o in problem.observations:
        unit = torch.eye(small.grid.size).reshape(-1, *small.grid.shape)
        rows.append(np.stack([o.operator.forward(x).numpy().ravel() for x in unit], 1))
        values.append(o.values.numpy().ravel())
    for axis in range(3):
        steps = np.diff(np.eye(small.grid.size).reshape(-1, *small.grid.shape), axis=axis + 1)
        rows.append(np.sqrt(0.05) * steps.reshape(small.grid.size, -1).T)
        values.append(np.zeros(len(rows[-1])))
    expected = np.linalg.lstsq(np.concatenate(rows), np.concatenate(values), rcond=None)[0]
    assert np.abs(found - expected).max() < 2e-3 * np.abs(expected).max()


def test_srr_beats_interpolation_on_slices_with_its_profile(person):
    thick = [degrade(person.truths["T1"], axis, 4, "gaussian") for axis in range(3)]
    stacks = [Stack(Volume(v.voxels, v.affine, str(n), v.meta), "T1", n) for n, v in enumerate(thick)]
    scales = subject_scales(stacks)
    grid = person.brain.grid
    problem = build(stacks, [None] * 3, scales, grid, "gaussian", torch.device("cpu"), 0)
    truth = scales["T1"].apply(person.truths["T1"].voxels)
    inside = person.brain.voxels > 0
    errors = [
        np.abs(solve(problem, Context()).volumes["T1"].numpy() - truth)[inside].mean()
        for solve in (srr.solve, cubic.solve)
    ]
    assert errors[0] < 0.7 * errors[1]


def test_the_papers_scan_times_give_no_sixteenfold_signal():
    assert equal_time.gain(4, 1) == 4 and equal_time.gain(1, 0.25) == 0.5
    assert [round(x, 2) for x in equal_time.papers_gains()] == [2.31, 2.31, 2.06]


# loss weights --------------------------------------------------------------------------------------------


def test_a_contrast_without_weight_is_not_learned(person):
    stacks = multi_contrast.stacks(("T1", "FLAIR"))(person)
    problem = build(
        stacks, [None] * 2, subject_scales(stacks), person.brain.grid, "point", torch.device("cpu"), 0
    )
    seen = []
    small = {"epochs": 4, "width": 32, "features": 32, "learning_rate": 3e-3, "early_stop": False}

    def error(contrast: str, **weights: float) -> float:
        volumes = solve_split_head(problem, Context(), each_epoch=seen.append, **small, **weights).volumes
        observed = problem.of(contrast)[0]
        return float((observed.operator.forward(volumes[contrast]) - observed.values).abs().mean())

    assert error("FLAIR", beta=0.0) > 2 * error("FLAIR", alpha=0.0)
    assert error("T1", alpha=0.0) > 2 * error("T1", beta=0.0)
    assert len(seen) == 4 * 4
    with pytest.raises(InputError, match="weight"):
        error("T1", alpha=0.0, beta=0.0)


# benchmarks ----------------------------------------------------------------------------------------------


def test_a_chart_has_round_numbers():
    assert round_numbers(1, 12) == [2, 4, 6, 8, 10, 12]
    assert round_numbers(200, 1600) == [500, 1000, 1500]
    assert np.allclose(round_numbers(25.26, 26.04), [25.4, 25.6, 25.8, 26.0])


def test_a_chart_shows_its_lines():
    drawn = np.asarray(chart({"a": [(0, 1), (1, 2)]}, "x", "y", {"b": 1.5}))
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 4


@pytest.fixture
def tiny(monkeypatch):
    quick = {"epochs": 1, "width": 16, "layers": 2}
    few = irem.Size(None, (4, 8), (0, 16), {"epochs": 1, "batch": 2000, "width": 16}, quick)
    monkeypatch.setitem(irem.SIZES, "small", few)
    networks = {"epochs": 6, "batch": 2000, "width": 32, "features": 32}
    own = {"profile-inr": quick, "guided": {"steps": 5}}
    few = multi_contrast.Size(None, None, networks, False, ((1, 1), (4, 1)), own, 5)
    monkeypatch.setitem(multi_contrast.SIZES, "small", few)


def unfloored(found: dict) -> list[str]:
    """Tables without floors."""
    return [
        table["title"]
        for table in found["tables"]
        if not {"floor: constant", "floor: identity", "floor: linear"} <= {row[0] for row in table["rows"]}
    ]


def test_numbers_of_features_that_fall_are_fitted_longer():
    effect = {0: 20.0, 16: 21.0, 64: 20.5, 256: 20.6}
    assert irem.falls(effect) == [(16, 64)] and irem.falls({0: 1.0, 16: 1.0, 64: 2.0}) == []

    def said(longer: dict[int, float]) -> str:
        return irem.claims({}, effect, longer, {})[-1].why

    assert "Likely reason: the short fit; with twice the epochs (16: 21.00, 64: 22.00)" in said(
        {16: 21, 64: 22}
    )
    assert "The short fit is not the reason" in said({16: 23, 64: 22})


def test_costs_beside_a_reference_are_told_as_parts_or_multiples():
    def row(label: str, seconds: float) -> dict:
        return {
            "label": label,
            "cpu_seconds": seconds,
            "contrasts": {"T1": {"honest": {"brain": {"psnr": 20.0}}}},
        }

    rows = [row("theirs", 10.0), row("quick", 2.4), row("alike", 9.6), row("slow", 25.0)]
    told = {label: cost(rows, label, "theirs") for label in ("quick", "alike", "slow")}
    assert told["quick"].endswith("at 1/4 of its time")
    assert told["alike"].endswith("at 1.0 times its time")
    assert told["slow"].endswith("at 2.5 times its time")


def test_a_short_fit_is_a_reason_only_where_its_end_still_gained():
    assert "Likely reason: the short fit" in short_fit("irem", 0.5)
    assert "not the reason" in short_fit("irem", 0.02)


def test_the_irem_benchmark_in_miniature(msseg, tmp_path, tiny, capsys):
    found = benchmark.run("irem", msseg, True, tmp_path, Context())
    titles = [table["title"] for table in found["tables"]]
    assert titles[:4] == ["T1 with lesions, k = 4", "T1 with lesions, k = 8", "FLAIR with lesions, k = 4",
                          "FLAIR with lesions, k = 8"]  # fmt: skip
    first = found["tables"][0]
    assert [row[0] for row in first["rows"]][:6] == ["cubic", "srr", "irem", irem.HALF, "tv", "profile-inr"]
    assert first["head"][1:3] == ["T1 brain", "T1 lesions"]
    assert set(found["effect_of_features"]) == {0, 16, 256}
    assert "not reproduced" in [c["verdict"] for c in found["claims"] if "16 times" in c["claim"]]
    page = (tmp_path / "page.md").read_text()
    assert f"mrinr benchmark irem --small --data {msseg}" in page and "(irem.png)" in page
    assert (tmp_path / "irem.png").stat().st_size < 150_000 and Image.open(tmp_path / "irem.png").size[
        0
    ] > 300
    assert json.loads((tmp_path / "results.json").read_text())["claims"] == found["claims"]
    assert "Effect of 2L" in capsys.readouterr().out
    assert unfloored(found) == []
    assert set(found["effect_twice_as_long"]) == {
        n for pair in irem.falls(found["effect_of_features"])[-1:] for n in pair
    }


def test_the_multi_contrast_benchmark_in_miniature(msseg, tmp_path, tiny):
    weights = random_weights(tmp_path)
    found = benchmark.run(
        "multi-contrast", msseg, True, tmp_path, subjects=("Patient_01",), lpips_weights=weights
    )
    names = [table["title"] for table in found["tables"]]
    assert names == [
        "T1 + FLAIR", "Loss weights alpha and beta", "The learned prior, real T1 + FLAIR",
    ]  # fmt: skip
    labels = [row[0] for row in found["tables"][0]["rows"]]
    published = ["cubic", "single", "vanilla", "split-head", multi_contrast.HALF]
    assert labels[:8] == [*published, "tv", "guided", "profile-inr"]
    assert unfloored(found) == []
    page = (tmp_path / "page.md").read_text()
    assert "31.77 / .967 / .019" in page and f"--lpips-weights {weights[0]} {weights[1]}`" in page
    cubic = found["scores"]["T1 + FLAIR"][0]["contrasts"]["T1"]["paper"]
    assert found["tables"][0]["rows"][0][found["tables"][0]["head"].index("T1, paper's")] == (
        f"{cubic['whole']['psnr']:.2f} / {cubic['whole']['ssim']:.3f} / {cubic['lpips']:.3f}"
    )
    assert any("T1 + T2, DIR + FLAIR" in line for line in found["remarks"])
    curve = found["convergence"]
    assert len(curve["information"]) == len(curve["psnr"]["T1"]) == curve["epochs"] == 6
    prior = [row["label"] for row in found["scores"]["learned prior"]][:7]
    assert prior == list(prior_table.ROWS)
    assert "(multi_contrast.png)" in (tmp_path / "page.md").read_text()
    assert (tmp_path / "multi_contrast.png").stat().st_size < 150_000


def test_nobody_is_judged_by_a_prior_that_was_trained_on_them(tmp_path):
    for name in ("head_01", "patient07"):
        save(anatomy()["T1"], tmp_path / name / "T1.nii.gz")
    found = heads(tmp_path, ())
    sheets, rows, remarks = prior_table.run(found, None, "sr-prior", 5, Context())
    assert not sheets and not rows
    assert any("head_01, patient07" in line for line in remarks)
