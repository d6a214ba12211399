"""What lies in a data folder is found, and real scans become batches that training can trust."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import shell
import SimpleITK as sitk
import torch
from scipy import ndimage

from mrinr import bundles
from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.synthesis.levels import expected
from mrinr.synthesis.multimodal import moved_by
from mrinr.training.folders import Subject, find_subjects, role_of
from mrinr.training.simulated import Wanted
from mrinr.training.sources import InTurn, Source, find_sources
from mrinr.volume import Volume, read, write

SHAPE = (60, 68, 36)
SIZE = (48, 56)
LAYOUTS = {  # files, and by subject what is found: sequences, brain?, lesions?
    "BraTS 2015": (
        [
            f"{grade}/{name}/{scan}/{scan}.mha"
            for grade, name in (("HGG", "brats_2013_pat0001_1"), ("LGG", "brats_tcia_pat101_0001"))
            for scan in (
                "VSD.Brain.XX.O.MR_T1.54513",
                "VSD.Brain.XX.O.MR_T1c.54514",
                "VSD.Brain.XX.O.MR_T2.54515",
                "VSD.Brain.XX.O.MR_Flair.54512",
                "VSD.Brain_3more.XX.O.OT.54517",
            )
        ],
        {
            "brats_2013_pat0001_1": ("T1 T2 FLAIR T1ce", False, True),
            "brats_tcia_pat101_0001": ("T1 T2 FLAIR T1ce", False, True),
        },
    ),
    "BraTS 2018": (
        [f"HGG/Brats18_2013_11_1/Brats18_2013_11_1_{x}.nii.gz" for x in ("t1", "t1ce", "t2", "flair", "seg")],
        {"Brats18_2013_11_1": ("T1 T2 FLAIR T1ce", False, True)},
    ),
    "BraTS 2020": (
        [
            f"BraTS20_Training_{n}/BraTS20_Training_{n}_{x}.nii"
            for n in ("001", "002")
            for x in ("t1", "flair")
        ],
        {
            "BraTS20_Training_001": ("T1 FLAIR", False, False),
            "BraTS20_Training_002": ("T1 FLAIR", False, False),
        },
    ),
    "BraTS 2021 without folders": (
        [f"BraTS2021_00000_{x}.nii.gz" for x in ("t1", "t1ce", "t2", "flair", "seg")],
        {"BraTS2021_00000": ("T1 T2 FLAIR T1ce", False, True)},
    ),
    "BraTS 2023": (
        [
            f"BraTS-GLI-00005-{n}/BraTS-GLI-00005-{n}-{x}.nii.gz"
            for n in ("000", "001")
            for x in ("t1n", "t1c", "t2w", "t2f", "seg")
        ],
        {
            "BraTS-GLI-00005-000": ("T1 T2 FLAIR T1ce", False, True),
            "BraTS-GLI-00005-001": ("T1 T2 FLAIR T1ce", False, True),
        },
    ),
    "ISLES 2015": (
        [
            f"{n}/{scan}/{scan}.nii"
            for n in (1, 2, 10)
            for scan in (
                "VSD.Brain.XX.O.MR_T1.70616",
                "VSD.Brain.XX.O.MR_T2.70617",
                "VSD.Brain.XX.O.MR_Flair.70615",
                "VSD.Brain.XX.O.MR_DWI.70614",
                "VSD.Brain.XX.O.OT.70618",
            )
        ],
        dict.fromkeys(("1", "2", "10"), ("T1 T2 FLAIR DWI", False, True)),
    ),
    "MSSEG 2016": (
        [
            *(f"Center_01/Patient_01/Raw_Data/{x}.nii.gz" for x in ("T1", "T2", "FLAIR", "DP", "GADO")),
            *(
                f"Center_01/Patient_01/Preprocessed_Data/{x}_preprocessed.nii.gz"
                for x in ("T1", "T2", "FLAIR", "DP", "GADO")
            ),
            "Center_01/Patient_01/Masks/Consensus.nii.gz",
            "Center_01/Patient_01/Masks/ManualSegmentation_1.nii.gz",
            "Center_01/Patient_01/Masks/Brain_Mask.nii.gz",
        ],
        {"Patient_01": ("T1 T2 FLAIR PD T1ce", True, True)},
    ),
    "MSSEG 2016 as first published": (
        [
            f"01016SACH/{x}.nii.gz"
            for x in ("3DFLAIR", "3DT1", "3DT1GADO", "DP", "T2", "Consensus", "Mask_registered")
        ],
        {"01016SACH": ("T1 T2 FLAIR PD T1ce", True, True)},
    ),
    "IXI": (
        [
            *(f"IXI-{x}/IXI002-Guys-0828-{x}.nii.gz" for x in ("T1", "T2", "PD", "MRA")),
            *(f"IXI-{x}/IXI012-HH-1211-{x}.nii.gz" for x in ("T1", "T2")),
            "IXI-DTI/IXI002-Guys-0828-DTI-00.nii.gz",
        ],
        {"IXI002-Guys-0828": ("T1 T2 PD", False, False), "IXI012-HH-1211": ("T1 T2", False, False)},
    ),
    "BIDS": (
        [f"sub-01/ses-1/anat/sub-01_ses-1_{x}.nii.gz" for x in ("T1w", "T2w", "FLAIR", "ce-gadolinium_T1w")],
        {"sub-01/ses-1": ("T1 T2 FLAIR T1ce", False, False)},
    ),
    "simulated": (
        [
            f"sub-001/{x}.nii.gz"
            for x in ("T1", "T2", "FLAIR", "PD", "T1map", "T2map", "PDmap", "brain", "lesions", "labels")
        ],
        {"sub-001": ("T1 T2 FLAIR PD", True, True)},
    ),
    "visits": (
        [f"patient01/visit{n}/{x}.nii.gz" for n in (1, 2) for x in ("T1", "T2", "FLAIR")],
        {f"patient01/visit{n}": ("T1 T2 FLAIR", False, False) for n in (1, 2)},
    ),
}


def put(folder: Path, files: list[str]) -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"-")
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
def test_published_layouts_are_known(tmp_path, layout):
    files, expected = LAYOUTS[layout]
    found = find_subjects(put(tmp_path, files))
    assert [subject.name for subject in found] == list(expected)
    for subject in found:
        sequences, brain, lesions = expected[subject.name]
        assert list(subject.images) == sequences.split()
        assert (subject.brain is not None, subject.lesions is not None) == (brain, lesions)
        assert len({*subject.images.values(), subject.brain, subject.lesions}) >= len(subject.images)


def test_preprocessed_scans_go_before_raw_ones(tmp_path):
    (found,) = find_subjects(put(tmp_path, LAYOUTS["MSSEG 2016"][0]))
    assert {path.parent.name for path in found.images.values()} == {"Preprocessed_Data"}


def test_a_folder_of_one_subject_is_that_subject(tmp_path):
    put(tmp_path / "anna", ["T1.nii.gz", "T2.nrrd", "FLAIR.mha", "lesions.nii.gz", "labels.nii.gz"])
    source = find_sources([tmp_path / "anna"], [])
    (found,) = source.subjects
    assert (found.name, list(found.images), source.maps) == ("anna", ["T1", "T2", "FLAIR"], ())


def test_masks_and_maps_are_no_scans():
    assert role_of("T1_brain_mask") == "brain" and role_of("FLAIR_lesion_mask") == "lesions"
    assert role_of("brain") == "brain" and role_of("T1_brain") == "T1"
    assert [role_of(name) for name in ("T1map", "PDmap", "sub-01_T1w_aseg", "ADC", "SWI", "notes")] == [
        None
    ] * 6


def test_label_maps_stay_label_maps(tmp_path):
    put(tmp_path, ["head_01.nii.gz", "training_seg_02.nii.gz", "sub-001/T1.nii.gz", "sub-001/labels.nii.gz"])
    source = find_sources([tmp_path], [])
    assert [path.name for path in source.maps] == ["head_01.nii.gz", "training_seg_02.nii.gz"]
    assert [subject.name for subject in source.subjects] == ["sub-001"]
    assert "2 label maps (head_01, training_seg_02) and 1 real subject with T1 (sub-001)" in source.described
    assert find_sources([tmp_path], ["head_01", "sub-001"]).names == ["training_seg_02"]
    with pytest.raises(InputError, match="There is no 'head_03' in the data"):
        find_sources([tmp_path], ["head_03"])


@pytest.mark.parametrize("files", [[], ["notes/readme.txt"], ["anna/scan1.nii.gz"]])
def test_a_folder_without_anything_to_learn_from_is_refused(tmp_path, files):
    put(tmp_path, files)
    for find in (find_subjects, lambda folder: find_sources([folder], [])):
        with pytest.raises(InputError, match=r"T1\.nii\.gz") as refused:
            find(tmp_path)
        assert str(refused.value).count(". ") == 0 and str(tmp_path) in str(refused.value)


def people(*names: str, images: str = "T1 T2") -> tuple[Subject, ...]:
    return tuple(Subject(name, {x: Path(x) for x in images.split()}) for name in names)


def test_nobody_is_both_trained_on_and_held_out():
    subjects = people(
        *(f"p{n}/visit{m}" for n in range(6) for m in (1, 2)), "BraTS-GLI-00001-000", "BraTS-GLI-00001-001"
    )
    maps = tuple(Path(f"head_{n}.nii.gz") for n in range(3))
    kept, apart = Source(maps, subjects).split([])
    assert [s.name for s in apart.subjects] == ["BraTS-GLI-00001-000", "BraTS-GLI-00001-001"]
    assert (len(kept.subjects), len(kept.maps), len(apart.maps)) == (12, 2, 1)
    kept, apart = Source(maps, subjects).split(["p2", "p3/visit1"])
    assert [s.name for s in apart.subjects] == ["p2/visit1", "p2/visit2", "p3/visit1"] and not apart.maps
    with pytest.raises(InputError, match="Nobody is left"):
        Source(subjects=people("p1/visit1", "p1/visit2")).split([])


def test_subjects_without_the_sequences_are_left_out_with_a_warning_each():
    context = Context()
    source = Source(subjects=(*people("a", "b"), *people("c", "d", images="T1")))
    wanted = Wanted(("T1",), ("T2",))
    assert [s.name for s in source.having(wanted, context).subjects] == ["a", "b"]
    assert context.warnings == ["c is left out: it has only T1.", "d is left out: it has only T1."]
    any_subset = Wanted(("T1", "T2"), ("T1", "T2"), most=2)
    assert len(source.having(any_subset, Context()).subjects) == 2
    with pytest.raises(InputError, match="No subject has FLAIR, PD; name"):
        source.having(Wanted(("T1", "FLAIR"), ("PD",)), Context())
    with pytest.raises(InputError, match="No subject has all inputs and a target"):
        Source(subjects=(*people("a", images="T1"), *people("b", images="T2"))).having(wanted, Context())


# MetaImage ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".mha", ".mhd"])
def test_metaimage_lies_where_itk_says(tmp_path, ending):
    image = sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    image.SetSpacing((0.7, 0.9, 4.2))
    image.SetOrigin((-91.3, 17.8, 123.4))
    image.SetDirection(np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0].ravel().tolist())
    sitk.WriteImage(image, str(tmp_path / f"a{ending}"))
    found = read(tmp_path / f"a{ending}")
    for index in ((0, 0, 0), (4, 1, 2)):
        expected = np.array(image.TransformIndexToPhysicalPoint(index)) * (-1, -1, 1)
        assert np.allclose(found.grid.world(np.array(index)), expected, atol=1e-4)
        assert found.voxels[index] == image.GetPixel(index)


def test_a_metaimage_that_cannot_be_read_is_one_sentence(tmp_path):
    image = sitk.GetImageFromArray(np.zeros((3, 4, 5), np.float32))
    sitk.WriteImage(image, str(tmp_path / "cut.mha"))
    (tmp_path / "cut.mha").write_bytes((tmp_path / "cut.mha").read_bytes()[:-80])
    sitk.WriteImage(image, str(tmp_path / "alone.mhd"))
    (tmp_path / "alone.raw").unlink()
    (tmp_path / "text.mha").write_text("ObjectType = Cow\n")
    sitk.WriteImage(sitk.Compose(image, image), str(tmp_path / "two.mha"))
    for name in ("cut.mha", "alone.mhd", "text.mha", "two.mha"):
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)


# Scans into batches --------------------------------------------------------------------------------------


def head() -> np.ndarray:
    """A brain of about 1 with structure, a dark ventricle on the right, exact zeros outside."""
    x = np.moveaxis(np.indices(SHAPE), 0, -1) - (np.array(SHAPE) - 1) / 2
    field = 1 + 0.35 * np.sin(x[..., 0] / 3.1 + 1) * np.cos(x[..., 1] / 4.3) * np.cos(x[..., 2] / 5 + 0.4)
    field[np.linalg.norm((x - (7, 3, 0)) / (4, 8, 6), axis=-1) < 1] = 0.2
    brain = np.linalg.norm(x / (21, 26, 17), axis=-1) < 1
    return ndimage.gaussian_filter(field * brain, 0.6) * ndimage.binary_dilation(brain, iterations=1)


def save(voxels: np.ndarray, path: Path, affine: np.ndarray | None = None) -> None:
    affine = np.eye(4) if affine is None else affine
    path.parent.mkdir(parents=True, exist_ok=True)
    write(Volume(voxels.astype(np.float32), affine), path)


@pytest.fixture(scope="module")
def scans(tmp_path_factory) -> Path:
    """Two stripped patients on left-handed axes whose sequences all show one image, each at its own gain."""
    folder = tmp_path_factory.mktemp("scans")
    image = head()
    for name, gain in (("anna", 1.0), ("bert", 4.0)):
        for n, sequence in enumerate(("T1", "T2", "FLAIR")):
            save(
                image[::-1] * gain * (300, 50, 120)[n],
                folder / name / f"{sequence}.nii.gz",
                np.diag([-1.0, 1, 1, 1]),
            )
        lesions = np.zeros(SHAPE)
        lesions[20:24, 30:34, 10:30] = 1
        save(lesions[::-1], folder / name / "lesions.nii.gz", np.diag([-1.0, 1, 1, 1]))
    return folder


def drawn(source: Source, wanted: Wanted, count: int = 6, seed: int = 0):
    return list(islice(source.slices(wanted, seed, size=SIZE, batch=3, pool=2), count))


@pytest.fixture(scope="module")
def batches(scans):
    return drawn(find_sources([scans], []), Wanted(("T1", "FLAIR"), ("T2",)))


def pairs(batches, name: str):
    """(seen, truth, brain) of every slice, (h, w)."""
    for batch in batches:
        yield from zip(batch.seen[name][:, 0], batch.clean["T2"][:, 0], batch.brain[:, 0] > 0, strict=True)


def likeness(a: torch.Tensor, b: torch.Tensor, where: torch.Tensor) -> float:
    return float(np.corrcoef(a[where].numpy(), b[where].numpy())[0, 1])


def test_batches_have_the_shapes_that_recipes_expect(batches):
    for batch in batches:
        assert list(batch.seen) == ["T1", "FLAIR"] and list(batch.clean) == ["T2"]
        images = [*batch.seen.values(), *batch.clean.values(), batch.brain, batch.lesions]
        assert all(x.shape == (3, 1, *SIZE) and x.dtype == torch.float32 for x in images)
        assert batch.place.shape == (3, 2, *SIZE)
        assert {name: x.shape for name, x in batch.motion.items()} == {"FLAIR": (3, 3)}
        assert set(batch.brain.unique().tolist()) <= {0.0, 1.0}
    assert sum(float(batch.lesions.sum()) for batch in batches) > 0


def test_the_median_of_the_brain_is_one(batches):
    truths = [float(truth[brain].median()) for _, truth, brain in pairs(batches, "T1")]
    assert np.median(truths) == pytest.approx(1, abs=0.03) and np.ptp(truths) < 0.5  # each is of one slice
    for name in ("T1", "FLAIR"):
        seen = [float(image[brain].median()) for image, _, brain in pairs(batches, name)]
        assert np.abs(np.log(seen)).max() < 0.4 and np.std(seen) > 0.02


def test_the_truth_lies_on_the_first_input(batches):
    assert min(likeness(*pair) for pair in pairs(batches, "T1")) > 0.85


def test_motion_tells_how_the_other_inputs_are_moved_back(batches):
    before, after = [], []
    for batch in batches:
        back = moved_by(batch.seen["FLAIR"], batch.motion["FLAIR"])
        for n in range(3):
            truth, inside = batch.clean["T2"][n, 0], batch.brain[n, 0] > 0
            before.append(likeness(batch.seen["FLAIR"][n, 0], truth, inside))
            after.append(likeness(back[n, 0], truth, inside))
    assert min(after) > 0.8 and min(before) < 0.6
    still = torch.cat([batch.motion["FLAIR"] for batch in batches]).eq(0).all(1)
    assert still.any() and not still.all()


def test_places_run_over_the_brain(batches):
    for batch in batches:
        inside = batch.brain.expand(-1, 2, -1, -1) > 0
        assert batch.place[inside].abs().max() <= 1.05
        assert (batch.place[:, 0].diff(dim=1) > 0).all() and (batch.place[:, 1].diff(dim=2) > 0).all()


def test_air_of_a_stripped_scan_stays_zero(batches):
    for batch in batches:
        outside = ndimage.binary_dilation(batch.clean["T2"][0, 0].numpy() > 0, iterations=3)
        assert batch.seen["T1"][0, 0].numpy()[~outside].max(initial=0) == 0


def test_the_same_seed_gives_the_same_batches(scans, batches):
    source, wanted = find_sources([scans], []), Wanted(("T1", "FLAIR"), ("T2",))
    (again,), (other,) = drawn(source, wanted, 1), drawn(source, wanted, 1, seed=1)
    assert torch.equal(again.seen["FLAIR"], batches[0].seen["FLAIR"])
    assert not torch.equal(other.seen["FLAIR"], again.seen["FLAIR"])


def test_subjects_give_what_they_have(tmp_path, scans):
    for name, sequences in (("anna", ("T1", "T2")), ("bert", ("T1", "FLAIR"))):
        for sequence in sequences:
            save(read(scans / name / f"{sequence}.nii.gz").voxels, tmp_path / name / f"{sequence}.nii.gz")
    names = ("T1", "T2", "FLAIR")
    shown = {
        (*batch.seen, *batch.clean)
        for batch in drawn(find_sources([tmp_path], []), Wanted(names, names, most=2), 30)
    }
    assert {("T1", "T2"), ("T2", "T1"), ("T1", "FLAIR"), ("FLAIR", "T1")} == shown


def test_a_damaged_scan_costs_only_its_subject(tmp_path, scans, caplog):
    for name in ("anna", "bert"):
        for sequence in ("T1", "T2"):
            save(head() * 100, tmp_path / name / f"{sequence}.nii.gz")
    damaged = tmp_path / "bert" / "T2.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:5000])
    source, wanted = find_sources([tmp_path], []), Wanted(("T1",), ("T2",))
    assert len(drawn(source, wanted, 12)) == 12
    assert sum(str(damaged) in line for line in caplog.messages) == 1
    with pytest.raises(InputError, match=r"None of the subjects can be trained on: .*truncated"):
        drawn(Source(subjects=source.subjects[1:]), wanted, 1)


def test_levels_are_geometric_means_of_the_subjects_own_medians(tmp_path, scans):
    source = find_sources([scans], [])
    found = source.levels(["T1", "T2", "FLAIR"], 0)
    assert expected(found, "T2", {"T1": 300.0, "FLAIR": 120.0}) == pytest.approx(50, rel=0.01)
    for name, levels in {
        "a": {"T1": 100, "T2": 50},
        "b": {"T1": 100, "T2": 200},
        "c": {"T1": 10, "PD": 40},
    }.items():
        for sequence, level in levels.items():
            save(head() * level, tmp_path / name / f"{sequence}.nii.gz")
    found = find_sources([tmp_path], []).levels(["T1", "T2", "PD"], 0)
    assert expected(found, "T2", {"T1": 1.0}) == pytest.approx(1.0, rel=0.02)
    assert expected(found, "PD", {"T1": 1.0}) == pytest.approx(4.0, rel=0.02)


def test_scans_on_other_grids_are_aligned_to_the_first(tmp_path):
    """As in IXI: T2 lies 7 degrees and 4 mm off T1 and its mask of lesions with it."""
    from mrinr.training.patient import load

    turn = np.eye(4)
    angle = np.deg2rad(7)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    middle = (np.array(SHAPE) - 1) / 2
    turn[:3, 3] = middle - turn[:3, :3] @ middle + (3.0, -2.5, 1.0)
    shape = (64, 66, 36)
    lesion = np.zeros(SHAPE)
    lesion[38:44, 26:32, 14:22] = 1
    moved = ndimage.affine_transform(lesion, turn[:3, :3], turn[:3, 3], output_shape=shape, order=1) > 0.5
    index = np.moveaxis(np.indices(shape), 0, -1) @ turn[:3, :3].T + turn[:3, 3]
    image = ndimage.map_coordinates(head(), np.moveaxis(index, -1, 0), order=1)
    save(head() * 200, tmp_path / "IXI-T1" / "IXI001-Guys-0001-T1.nii.gz")
    save(image * 90, tmp_path / "IXI-T2" / "IXI001-Guys-0001-T2.nii.gz")
    save(moved, tmp_path / "IXI-T2" / "IXI001-Guys-0001-lesions.nii.gz")
    (subject,) = find_subjects(tmp_path)
    patient = load(subject, {"T1", "T2"})
    a, b = (patient.images[name].astype(float)[patient.brain] for name in ("T1", "T2"))
    assert np.corrcoef(a, b)[0, 1] > 0.9
    assert patient.lesions.sum() == pytest.approx(lesion.sum(), rel=0.15)


def test_the_brain_is_the_mask_or_what_is_left_of_a_stripped_scan(tmp_path):
    from mrinr.training.patient import load

    image = head() * 100
    bare = ndimage.binary_fill_holes(image > 0)
    image[28:32, 30:38, 15:20] = 0  # fluid that was nulled
    save(image, tmp_path / "stripped" / "T1.nii.gz")
    skull = np.ones(SHAPE) * 30 + np.random.default_rng(0).normal(0, 2, SHAPE)
    save(np.where(image > 0, image, skull), tmp_path / "whole" / "T1.nii.gz")
    inner = ndimage.binary_erosion(bare, iterations=3)
    save(inner, tmp_path / "whole" / "brain.nii.gz")
    stripped, whole = (load(subject, {"T1"}) for subject in find_subjects(tmp_path))
    levels = bare.sum((0, 1)) >= 300
    assert stripped.bare and stripped.brain.sum() == bare[..., levels].sum()
    levels = inner.sum((0, 1)) >= 300
    assert not whole.bare and whole.brain.sum() == inner[..., levels].sum()
    for patient in (stripped, whole):
        assert np.median(patient.images["T1"][patient.brain]) == pytest.approx(1, abs=0.05)
    assert stripped.units["T1"] == pytest.approx(np.median(image[bare]))


def test_heads_as_scanned_are_shown_stripped_every_other_time(tmp_path):
    skull = np.ones(SHAPE) * 30 + np.random.default_rng(0).normal(0, 2, SHAPE)
    brain = ndimage.binary_fill_holes(head() > 0)
    for sequence, gain in (("T1", 100), ("T2", 50)):
        save(np.where(brain, head() * gain, skull), tmp_path / "anna" / f"{sequence}.nii.gz")
    save(brain, tmp_path / "anna" / "brain.nii.gz")
    bare = []
    for batch in drawn(find_sources([tmp_path], []), Wanted(("T1",), ("T2",))):
        for n in range(3):
            far = ~ndimage.binary_dilation(batch.brain[n, 0].numpy() > 0, iterations=8)
            lit = [float((x[n, 0].numpy()[far] > 0.1).mean()) for x in (batch.seen["T1"], batch.clean["T2"])]
            assert max(lit) < 0.05 or min(lit) > 0.3  # what is asked for is stripped as what is shown
            bare.append(max(lit) < 0.05)
    assert 3 < sum(bare) < 15


def test_simulated_and_real_people_take_turns(scans):
    wanted = Wanted(("T1",), ("T2",))
    real = find_sources([scans], [])
    both = Source((Path("head_01.nii.gz"),), real.subjects).slices(wanted, 0)
    assert [type(stream).__name__ for stream in both.streams] == ["SimulatedSlices", "RealSlices"]
    assert type(real.slices(wanted, 0)).__name__ == "RealSlices"
    assert list(islice(InTurn([[1, 2, 3], [4, 5, 6]]), 6)) == [1, 4, 2, 5, 3, 6]  # type: ignore[list-item]


def test_real_scans_of_two_kinds_are_told_apart(data):
    """A defaced head has exact zeros around it, too, and is no brain."""
    from mrinr.synthesis.find_brain import bare_brain

    registered = read(data / "ms_registered" / "patient07" / "T1.nii.gz")
    raw = read(data / "ms_raw" / "patient01" / "visit1" / "T1.nii.gz")
    assert bare_brain(raw, raw.grid) is None
    brain = bare_brain(registered, registered.grid)
    assert brain is not None and 1.0e6 < brain.sum() < 1.3e6


def test_a_model_is_trained_on_a_folder_of_scans(tmp_path, scans):
    out = tmp_path / "model"
    done = shell.run(
        *("train", "multimodal", "--data", scans, "--inputs", "T1", "T2", "--target", "FLAIR"),
        *("--steps", 2, "--out", out, "--device", "cpu", "--threads", 1, "--held-out", "bert"),
    )
    assert done.returncode == 0, done.stderr
    facts = bundles.find(out).facts
    assert facts["training"]["data"] == "1 real subject with T1, T2, FLAIR (anna)"
    assert expected(facts["normalisation"]["levels"], "FLAIR", {"T1": 300.0}) == pytest.approx(120, rel=0.01)
    assert facts["limits"][0].startswith("Trained on the real people named")
    assert facts["taught"] == ["FLAIR"]
    done = shell.run("train", "multimodal", "--data", scans, "--steps", 2, "--out", tmp_path / "other")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "No subject has PD, DWI, T1ce; name --inputs and --target" in done.stderr
