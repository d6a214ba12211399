"""Benchmarks of the contrast and local INR papers in miniature: real people, rivals, controls."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import shell
import small_contrast
import torch
from simulated_head import label_map

from mrinr import benchmark, bundles
from mrinr.benchmark import crl, crl_directions, crl_measure, crl_scans, crl_score
from mrinr.benchmark.costs import cost
from mrinr.benchmark.crl_people import THICK, interpolated, slabs
from mrinr.benchmark.crl_rivals import DIRECTIONS, USED
from mrinr.benchmark.local_inr_people import as_scanned
from mrinr.benchmark.local_inr_training import SIZES
from mrinr.benchmark.locality import LocallyEncoded, within_tiles
from mrinr.benchmark.resnet import ResNet
from mrinr.context import Context
from mrinr.contrast import reference
from mrinr.errors import InputError
from mrinr.simulation.sequences import GROUPS, SEQUENCES
from mrinr.synthesis.local_inr import LocalINR
from mrinr.synthesis.prediction import BRIGHTEST
from mrinr.training.folders import find_subjects
from mrinr.volume import Volume, read, write

SHAPE, SPACING = (88, 92, 14), (1.0, 1.0, THICK)  # of a real person's scans
PLACE = torch.zeros(1, 2, 21, 30)


@pytest.fixture(scope="module")
def shelf(made_once):
    return made_once("small_contrast", small_contrast.make)


@pytest.fixture
def models(shelf, monkeypatch):
    """Small ones, and a reference of few simulated people."""
    monkeypatch.setenv(small_contrast.SHELF, str(shelf))
    monkeypatch.setattr(bundles, "_shipped_folders", small_contrast.on_the_shelf)
    monkeypatch.setattr(reference, "LEARNED", 4)
    monkeypatch.setattr(reference, "CHOSEN", 2)
    monkeypatch.setattr(reference, "NEIGHBOURS", (60,))
    few = crl.rivals.Size(2, 2, 2, (48, 48), 4, 4, 1, 4)
    monkeypatch.setattr(crl_measure, "PATCH", 16)
    monkeypatch.setitem(crl.SIZES, "small", crl.Size(3, 1, few))
    _forget()
    yield
    _forget()  # what few people say is not for the tests of other files in this process


def _forget() -> None:
    for kept in (reference.people, crl_score.lookup, crl_score.reference):
        kept.cache_clear()


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Two people with the nine sequences; in CRL3's sidecars another TE than the paper's."""
    folder = tmp_path_factory.mktemp("real")
    affine = small_contrast.centred(np.eye(3), SPACING, SHAPE)
    for n, person in enumerate(("anna", "ben")):
        (folder / person).mkdir()
        for m, name in enumerate(GROUPS["crl"]):
            played = SEQUENCES[name] if name != "CRL3" else replace(SEQUENCES[name], TE=12.0)
            path = folder / person / f"{person}_{name}.nii.gz"
            write(small_contrast.scan(played, affine, SHAPE, gain=100.0 * (1 + n + m)), path)
            times = {"RepetitionTime": played.TR / 1000, "EchoTime": played.TE / 1000}
            times |= {"InversionTime": played.TI / 1000} if played.TI else {}
            (folder / person / f"{person}_{name}.json").write_text(json.dumps(times))
        brain = small_contrast.tissues(affine, SHAPE) > 1
        write(Volume(brain.astype(np.float32), affine), folder / person / "brain.nii.gz")
    return folder


# packages ------------------------------------------------------------------------------------------------

WITHOUT = """
import sys
from importlib.machinery import PathFinder

find = PathFinder.find_spec
missing = sys.argv[1].split(",")
PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name.partition(".")[0] in missing else find(name, *rest)
)
from mrinr.cli import main

sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("missing", "command", "told"),
    [
        ("monai", "local-inr --small", "monai: pip install 'mrinr[train]'"),
        ("monai,accelerate", "local-inr --small", "accelerate and monai: pip install 'mrinr[train]'"),
        ("monai", "crl --small --data {maps} --subjects a", "monai: pip install 'mrinr[train]'"),
        ("monai", "crl --small --data {real} --subjects ben", "monai: pip install 'mrinr[train]'"),
        (
            "sklearn",
            "multimodal --small --dedicated --data {maps} --subjects a",
            "scikit-learn: pip install 'mrinr[benchmark]'",
        ),
        (
            "accelerate,sklearn",
            "multimodal --small --dedicated --data {maps} --subjects a",
            "accelerate and scikit-learn: pip install 'mrinr[train,benchmark]'",
        ),
    ],
)
def test_rivals_without_their_packages_say_what_to_install(maps, real, tmp_path, missing, command, told):
    words = [word.format(maps=maps, real=real) for word in command.split(" ")]
    argv = [sys.executable, "-c", WITHOUT, missing, "benchmark", *words, "--out", str(tmp_path / "out")]
    done = subprocess.run(argv, env=shell.environment(), capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == f"mrinr: Training rivals needs {told}."
    assert "Traceback" not in done.stderr and done.returncode == 2


# contrast: real people -----------------------------------------------------------------------------------


def test_real_people_are_found_by_the_names_of_their_nine_sequences(real, tmp_path):
    found = crl_scans.find(real)
    assert [each.name for each in found] == ["anna", "ben"]
    assert list(found[0].images) == list(GROUPS["crl"]) and found[0].brain is not None
    assert crl_scans.find(tmp_path) == []
    (tmp_path / "carl").mkdir()
    write(read(found[0].images["CRL1"]), tmp_path / "carl" / "CRL1.nii.gz")
    with pytest.raises(InputError, match="carl lacks CRL2, CRL3"):
        crl_scans.find(tmp_path)


def test_times_come_from_the_sidecars(real):
    person = crl_scans.load(crl_scans.find(real)[0], None, Context())
    assert pytest.approx(12.0) == person.times["CRL3"].TE
    assert pytest.approx(SEQUENCES["CRL1"].TI) == person.times["CRL1"].TI
    assert person.brain.voxels.shape[2] == SHAPE[2] and person.real


def test_shading_is_removed():
    affine = small_contrast.centred(np.eye(3), (2.0, 2.0, 4.0), (48, 52, 20))
    flat = small_contrast.scan(SEQUENCES["CRL5"], affine, (48, 52, 20))
    shade = np.exp(0.5 * np.linspace(-1, 1, 48))[:, None, None].astype(np.float32)
    inside = small_contrast.tissues(affine, (48, 52, 20)) == 4

    def spread(volume: Volume) -> float:
        return float(volume.voxels[inside].std() / volume.voxels[inside].mean())

    shaded = flat.with_voxels(flat.voxels * shade)
    assert spread(crl_scans.even(shaded)) < 0.5 * spread(shaded)


def test_the_contrast_benchmark_on_real_people(real, tmp_path, models):
    found = benchmark.run("crl", real, True, tmp_path, Context(), subjects=("ben",))
    assert len([row for row in found["scores"] if len(row["sources"]) == 1]) == 72
    assert {row["person"] for row in found["scores"]} == {"ben"}
    assert {(row["model"], *row["sources"], row["target"]) for row in found["rivals"]} == {
        (kind, *pair) for kind in ("pix2pix", "ResNet") for pair in DIRECTIONS.values()
    }
    for row in (*found["scores"], *found["rivals"]):
        numbers = [row[key] for key in ("psnr", "ssim", "papers", "papers_ssim", "reference", "identity")]
        assert np.isfinite(numbers).all()
        assert row["linear"] >= row["identity"] - 1e-3
    page = (tmp_path / "page.md").read_text()
    assert "29.40 / 0.922" in page and "Nobody knows the gains" in page  # the paper's number
    assert "trained here on 1 real people" not in page and "1 real person" in page
    assert (tmp_path / "crl.png").stat().st_size > 5000


def test_scans_without_times_are_refused(tmp_path, models):
    (tmp_path / "p").mkdir()
    affine = small_contrast.centred(np.eye(3), SPACING, SHAPE)
    write(small_contrast.scan(small_contrast.T2, affine, SHAPE), tmp_path / "p" / "T2.nii.gz")
    with pytest.raises(InputError, match="neither label maps nor people with the paper's nine sequences"):
        benchmark.run("crl", tmp_path, True, tmp_path, Context())


# contrast: simulated people ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    for name in ("a", "b"):
        write(label_map(), folder / f"{name}.nii.gz")
    return folder


def test_the_contrast_benchmark_on_label_maps(maps, tmp_path, models):
    found = benchmark.run("crl", maps, True, tmp_path, Context(), subjects=("a",))
    assert {row["slices"] for row in found["thick"]} == {"6.5 mm", "6.5 to 1 mm"}
    assert len(found["rivals"]) == 12 and len(found["thick"]) == 12
    assert [row["sources"] for row in found["physics"]] == [["CRL7"], ["CRL7", "CRL5"]]
    page = (tmp_path / "page.md").read_text()
    assert "| PD to T2 | 6.5 to 1 mm |" in page and "the paper's network | 39," in page
    assert "trained here on 1 label map " in page
    heads = {table["title"]: list(table["head"]) for table in found["tables"]}
    for title in ("Table 2, as the paper measures", "Sequences never shown"):
        assert {"linear", "identity"} <= set(heads[title])
    (claim,) = [each for each in found["claims"] if "networks trained for one direction" in each["claim"]]
    assert "By the paper's metric" in claim["why"]


def test_the_brightest_voxels_are_the_reason_only_where_cutting_them_helps():
    assert crl_directions.why(12, 12, 12, 1.0) == ""
    assert "likely reason" in crl_directions.why(9, 12, 12, 2.0)
    assert "a part of the reason" in crl_directions.why(9, 11, 12, 2.0)
    assert "are not the reason" in crl_directions.why(9, 9, 12, 2.0)


def test_thick_slices_are_the_means_of_thin_ones(maps):
    played = {name: SEQUENCES[name] for name in USED}
    person = next(slabs((maps / "a.nii.gz",), played, USED, 26, 1, USED))
    thick, fine = person.thick.truth["CRL7"], person.truth["CRL7"]
    assert thick.spacing[2] == pytest.approx(THICK)
    heights = fine.affine[2, 3] + np.arange(26)
    place = thick.affine[2, 3] + THICK * 1
    near = np.abs(heights - place) < THICK / 2
    mean, one = fine.voxels[..., near].mean(2), thick.voxels[..., 1]
    assert np.corrcoef(mean.ravel(), one.ravel())[0, 1] > 0.99
    assert one.mean() == pytest.approx(mean.mean(), rel=0.03)
    seen = interpolated(person)
    assert seen.seen("CRL7").grid.same_as(person.seen("CRL7").grid)
    assert seen.seen("CRL7").voxels[person.inside].mean() == pytest.approx(
        person.seen("CRL7").voxels[person.inside].mean(), rel=0.1
    )


# networks ------------------------------------------------------------------------------------------------


def test_a_residual_generator_takes_slices_of_any_size():
    network = ResNet(("T1", "T2"), ("FLAIR",), width=4, blocks=2).eval()
    images = {name: torch.rand(1, 1, 21, 30) for name in ("T1", "T2")}
    found = network(images, PLACE)
    assert found.mean.shape == (1, 1, 21, 30)
    assert found.mean.min() >= 0 and found.mean.max() <= BRIGHTEST and found.low.min() >= 0


def test_costs_are_those_of_the_weights_and_of_the_largest_tensors():
    class Sums(torch.nn.Linear):
        def forward(self, x):
            a = x + 1
            b = a + a
            del a
            return b + 2 * b  # b, twice b and the sum

    network = Sums(10, 10)
    x = torch.zeros(1000, 1000)
    found = cost(network, lambda: network(x))
    assert found.parameters == 110
    assert found.peak == pytest.approx(3 * 4e6 + 440, rel=0.01)
    assert found.seconds > 0


def test_with_local_encoding_every_tile_has_the_same_coordinates():
    place = within_tiles(torch.zeros(2, 2, 16, 24), 4)
    assert place.shape == (2, 2, 16, 24)
    assert torch.equal(place[..., :4, :4], place[..., 8:12, 20:24])
    assert place[0, 0, :4, 0].tolist() == pytest.approx([-0.75, -0.25, 0.25, 0.75])


def test_one_perceptron_repeats_itself_only_with_local_encoding():
    repeats = {}
    for kind in (LocalINR, LocallyEncoded):
        torch.manual_seed(0)
        network = kind(("T2",), ("FLAIR",), 4, 8, 1, 8, 3).eval()
        down, across = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 24), indexing="ij")
        place, stack = torch.stack([down, across])[None], torch.ones(1, 1, 32, 24)
        with torch.inference_mode():
            codes = network.encode(stack)
            one = codes[..., :1, :1].expand_as(codes).contiguous()
            image = network.render(one, stack, place).mean
        repeats[kind] = torch.allclose(image[..., 4:], image[..., :-4], atol=1e-5)
    assert repeats == {LocalINR: False, LocallyEncoded: True}


def test_real_people_are_tested_on_their_scans_as_they_are(tmp_path):
    """In BraTS's layout."""
    rng, grid = np.random.default_rng(0), np.diag([1.0, 1.0, 1.0, 1.0])
    index = np.indices((80, 90, 40))
    brain = sum(((x - n / 2) / (0.4 * n)) ** 2 for x, n in zip(index, (80, 90, 40), strict=True)) < 1
    folder = tmp_path / "BraTS19_X_1"
    folder.mkdir()
    for name in ("t1", "t1ce", "t2", "flair"):
        voxels = brain * rng.uniform(50, 150, brain.shape)
        write(Volume(voxels, grid), folder / f"BraTS19_X_1_{name}.nii.gz")
    size = replace(SIZES["small"], slices=3, crop=(64, 48))
    (subject,) = find_subjects(tmp_path)
    batch = as_scanned(subject, size)
    truth = read(folder / "BraTS19_X_1_t1ce.nii.gz").voxels
    middle = batch.clean["T1ce"][1, 0].numpy()
    unit = np.median(truth[brain])
    planes = [truth[8:72, 21:69, k] / unit for k in range(40)]
    assert min(float(np.abs(plane - middle).max()) for plane in planes) < 0.01
    assert set(batch.seen) == {"T1", "T2", "FLAIR"} and batch.brain.shape == (3, 1, 64, 48)
