"""Benchmarks on real people in the layouts of the data sets that the papers used, in miniature.

The nine sequences of CRL are in test_benchmark_papers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import published
import pytest
import SimpleITK as sitk
import small_models
from skimage.metrics import peak_signal_noise_ratio

from mrinr import benchmark, bundles
from mrinr.benchmark import irem, local_inr, multi_contrast, multimodal, people
from mrinr.benchmark.cases import case, heads
from mrinr.benchmark.dedicated import Size
from mrinr.benchmark.local_inr_training import LOCAL, Task
from mrinr.benchmark.people import real
from mrinr.benchmark.split import folds
from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.training.folders import role_of
from mrinr.training.sources import find_sources

LAYOUTS: dict[str, tuple[Callable[[Path, int], Path], str]] = {  # and the sequences there
    "BraTS 2015": (published.brats_2015, "T1 T2 FLAIR T1ce"),
    "BraTS 2018": (published.brats, "T1 T2 FLAIR T1ce"),
    "BraTS 2023": (published.brats_later, "T1 T2 FLAIR T1ce"),
    "ISLES 2015": (published.isles, "T1 T2 FLAIR DWI"),
    "MSSEG 2016": (published.msseg, "T1 T2 FLAIR PD T1ce"),
}
RARE = 300  # voxels of brain: slices with fewer are left out


@pytest.fixture(scope="module")
def shelf(made_once):
    return made_once("small_models", small_models.make)


@pytest.fixture
def models(shelf, monkeypatch):
    monkeypatch.setenv(small_models.SHELF, str(shelf))
    monkeypatch.setattr(bundles, "_shipped_folders", small_models.on_the_shelf)


def stored(path: Path) -> np.ndarray:
    """The voxels of a file with axes along R, A, S, read by other software."""
    if path.suffix == ".mha":
        image = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
        return sitk.GetArrayFromImage(image).transpose(2, 1, 0)[::-1, ::-1].astype(float)
    return nibabel.as_closest_canonical(nibabel.load(path)).get_fdata()


def with_brain(brain: np.ndarray) -> np.ndarray:
    """Which slices count."""
    return np.flatnonzero(brain.sum((0, 1)) >= RARE)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_people_are_what_is_stored(tmp_path, layout):
    """Each scan is divided by its median in the brain; masks lie where they belong."""
    make, sequences = LAYOUTS[layout]
    (subject,) = find_sources([make(tmp_path, 1)], []).subjects
    assert list(subject.images) == sequences.split()
    person = real(subject, 0, None)
    expected = {name: stored(path) for name, path in subject.images.items()}
    brain = expected["T1"] > 0
    assert np.array_equal(person.brain.voxels > 0, cropped(brain, brain))
    assert np.array_equal(person.lesions.voxels > 0, cropped(stored(subject.lesions) > 0, brain))
    for name, image in expected.items():
        wanted = cropped(image, brain) / np.median(image[brain])
        assert np.abs(person.truth[name].voxels - wanted).max() < 2e-3 * wanted.max()


def cropped(image: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """To the brain's box in the plane, and to slices with enough of it."""
    rows, columns = (np.flatnonzero(brain.any(axis=other)) for other in ((1, 2), (0, 2)))
    levels = with_brain(brain)
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1, levels[0] : levels[-1] + 1]


def test_the_multimodal_benchmark_on_isles(tmp_path, models, monkeypatch):
    top = published.isles(tmp_path / "SISS2015_Training", 5)
    trained: list[list[str]] = []
    train = multimodal.train

    def spied(source, *rest):
        trained.append(source.names)
        return train(source, *rest)

    monkeypatch.setattr(multimodal, "train", spied)
    monkeypatch.setattr(multimodal, "SMALL", Size(1, (48, 48), 1, 1, True, 2, 200, 2))
    monkeypatch.setattr(multimodal, "SMALL_PEOPLE", 1)
    monkeypatch.setattr(multimodal, "GIVEN", ("T1", "DWI"))
    monkeypatch.setattr(people, "SLAB", 999)
    found = benchmark.run("multimodal", top, True, tmp_path, Context(), dedicated=True)
    assert not [line for line in found["remarks"] if line.startswith("Failed")]
    (tested,) = {row["person"] for rows in found["scores"].values() for row in rows}
    assert sorted([tested, *trained[0]]) == ["1", "2", "3", "4", "5"] and len(trained) == 1
    scores = {tuple(row["inputs"]): row for row in found["scores"]["subsets"]}
    assert set(scores) == {("T1",), ("DWI",), ("T1", "DWI")}
    files = {name: next(top.glob(f"{tested}/*{said}/*.nii")) for name, said in published.ISLES.items()}
    brain = stored(files["T1"]) > 0
    levels = with_brain(brain)
    inside = brain[..., levels]
    flair, dwi = (stored(files[name])[..., levels][inside] for name in ("FLAIR", "DWI"))
    floors = scores[("DWI",)]["floors"]
    assert floors["constant"] == pytest.approx(decibel(flair, np.full_like(flair, flair.mean())), abs=0.02)
    slope, offset = np.polyfit(dwi, flair, 1)
    assert floors["linear"] == pytest.approx(decibel(flair, slope * dwi + offset), abs=0.05)
    assert any("trained on" in line for line in found["remarks"])


def decibel(truth: np.ndarray, image: np.ndarray) -> float:
    return peak_signal_noise_ratio(truth, image, data_range=np.percentile(truth, 99.9))


def test_the_multimodal_benchmark_on_brats_2015(tmp_path, models, monkeypatch):
    """Its low-grade cases have no DWI: what needs one is left out, and said so."""
    top = published.brats_2015(tmp_path / "BRATS2015_Training", 3)
    monkeypatch.setattr(people, "SLAB", 999)
    monkeypatch.setattr(multimodal, "SMALL_STEPS", 1)
    monkeypatch.setattr(multimodal, "SMALL_PEOPLE", 2)
    found = benchmark.run("multimodal", top / "LGG", True, tmp_path, Context())
    assert {tuple(row["inputs"]) for row in found["scores"]["subsets"]} == {("T1",), ("T2",), ("T1", "T2")}
    assert "misaligned" not in found["scores"] and len(found["scores"]["tuned"]) == 2
    assert {row["target"] for row in found["scores"]["targets"]} == {"T1", "T2", "FLAIR", "T1ce"}
    verdicts = {claim["claim"]: claim["verdict"] for claim in found["claims"]}
    assert verdicts["A misaligned T1 beside DWI beats DWI alone"] == "not testable here"
    assert "brats_2013_pat000" in found["data"]


@pytest.mark.parametrize("make", [published.brats, published.brats_later])
def test_the_local_inr_benchmark_on_brats(tmp_path, models, monkeypatch, make):
    top = make(tmp_path / "BraTS", 4)
    tasks = (Task(("T2",), ("pix2pix", LOCAL)), Task(("T1", "T2", "FLAIR"), ("pix2pix", LOCAL)))
    tiny = replace(
        local_inr.SIZES["small"], hyper_width=8, blocks=1, local=(4, 1), single=(6, 2), unet=4,
        discriminator=4, steps=1, lengths=(), batch=1, kept=1, slices=2, tasks=tasks, crop=(64, 64),
    )  # fmt: skip
    monkeypatch.setitem(local_inr.SIZES, "small", tiny)
    found = benchmark.run("local-inr", top, True, tmp_path, Context())
    ((training, testing),) = folds(find_sources([top], []), small=True)
    everybody = {subject.person for subject in (*training.subjects, *testing.subjects)}
    tested = {row["person"] for row in found["scores"]}
    assert tested == {subject.person for subject in testing.subjects} and len(everybody - tested) == 1
    for subject in testing.subjects:
        files = {name: stored(path) for name, path in subject.images.items()}
        brain = files["T1"] > 0
        each = [files["T1ce"][..., k][brain[..., k]] for k in with_brain(brain)]
        constants = [decibel(truth, np.full_like(truth, truth.mean())) for truth in each]
        rows = [row for row in found["scores"] if row["person"] == subject.person]
        assert {row["label"] for row in rows} >= {"pix2pix", LOCAL}
        for row in rows:
            assert min(constants) - 0.1 < row["floor constant"] < max(constants) + 0.1
            assert row["psnr"] == pytest.approx(-10 * np.log10(row["mse"]), abs=3)


def test_the_multi_contrast_benchmark_on_brats_2019(tmp_path, monkeypatch):
    """T1 axial, T2 coronal, the person named; what the prior adds is left to test_benchmark_superres.py."""
    top = published.brats(tmp_path / "MICCAI_BraTS_2019_Data_Training", 2, "19")
    networks = {"epochs": 1, "batch": 4000, "width": 16, "features": 16}
    own = {"profile-inr": {"epochs": 1, "width": 16, "layers": 2}, "guided": {"steps": 2}}
    few = multi_contrast.Size(24, 24, networks, True, ((1, 1),), own, 2)
    monkeypatch.setitem(multi_contrast.SIZES, "small", few)
    monkeypatch.setattr(multi_contrast, "PLANES", {("T1", "T2"): multi_contrast.PLANES["T1", "T2"]})
    monkeypatch.setattr(multi_contrast.prior_table, "run", lambda *given: ([], [], []))
    name = "BraTS19_2013_2_1"
    found = benchmark.run("multi-contrast", top, True, tmp_path, Context(), subjects=(name,))
    rows = found["scores"]["T1 + T2"]
    assert {row["case"] for row in rows} == {name}
    assert {row["label"] for row in rows} >= set(multi_contrast.PUBLISHED)
    head = case(heads(top, (name,))[0], ("T1", "T2"), None)
    for contrast in ("T1", "T2"):
        truth = stored(next(top.glob(f"*/{name}/*_{contrast.lower()}.nii.gz")))
        assert np.array_equal(
            np.sort(head.truths[contrast].voxels[head.brain.voxels > 0]), np.sort(truth[truth > 0])
        )


def test_the_multi_contrast_benchmark_on_double_inversion_recovery(tmp_path, monkeypatch):
    """Who has DIR and FLAIR only gets the paper's third pair, published networks and all."""
    top = published.clinical(tmp_path / "clinic", 1)
    networks = {"epochs": 2, "batch": 4000, "width": 16, "features": 16}
    own = {"profile-inr": {"epochs": 1, "width": 16, "layers": 2}, "guided": {"steps": 2}}
    few = multi_contrast.Size(24, 24, networks, False, ((1, 1),), own, 2)
    monkeypatch.setitem(multi_contrast.SIZES, "small", few)
    found = benchmark.run("multi-contrast", top, True, tmp_path, Context())
    rows = found["scores"]["DIR + FLAIR"]
    assert {row["label"] for row in rows} >= set(multi_contrast.PUBLISHED) and list(found["scores"]) == [
        "DIR + FLAIR",
        "learned prior",
    ]
    page = (tmp_path / "page.md").read_text()
    assert "31.69 / .956 / .023" in page and "on DIR + FLAIR only" in page  # the paper's, and ours
    assert list(found["convergence"]["psnr"]) == ["DIR", "FLAIR"]
    head = case(heads(top, ())[0], ("DIR", "FLAIR"), None)
    for contrast in ("DIR", "FLAIR"):
        truth = stored(top / "pat01" / f"pat01_3D_{contrast}.nii.gz")
        assert np.array_equal(
            np.sort(head.truths[contrast].voxels[head.brain.voxels > 0]), np.sort(truth[truth > 0])
        )


def test_double_inversion_recovery_is_no_input_of_a_model(tmp_path):
    top = published.clinical(tmp_path, 2)
    for subject in find_sources([top], []).subjects:
        assert list(subject.images) == ["FLAIR"] and list(subject.others) == ["DIR"]
        assert list(real(subject, 0, None).shown) == ["FLAIR"]
    for name in ("sub-01_dir-AP_T1w", "sub-01_dir-PA_dwi"):  # where the phase runs
        assert role_of(name) != "DIR"


def test_nobody_with_two_contrasts_is_told(tmp_path):
    top = published.clinical(tmp_path / "clinic", 1)
    next(top.glob("*/*DIR*")).unlink()
    with pytest.raises(InputError, match="has both contrasts of a pair"):
        benchmark.run("multi-contrast", top, True, tmp_path, Context())


def test_the_irem_benchmark_on_ixi(tmp_path, monkeypatch):
    top = published.ixi(tmp_path / "IXI", 1)
    quick = {"epochs": 1, "width": 16, "batch": 4000}
    monkeypatch.setitem(irem.SIZES, "small", irem.Size(24, (4,), (0,), quick, {"epochs": 1, "width": 16}))
    found = benchmark.run("irem", top, True, tmp_path, Context())
    rows = found["scores"]["T1, k = 4"]
    assert {row["case"] for row in rows} == {"IXI001-Guys-0828"}
    assert not any(name.startswith("FLAIR") for name in found["scores"])
