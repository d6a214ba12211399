"""Simulated subjects with tumours, contrast agent and varied anatomy, in Python and from the shell."""

from __future__ import annotations

import json

import numpy as np
import pytest
from shell import run
from simulated_head import label_map

from mrinr.simulation import from_labels, icbm, simulate_subject
from mrinr.simulation.lesions import diseased
from mrinr.volume import read, write

EVERY = ("T1", "T2", "FLAIR", "PD", "DWI", "T1ce", "DIR", *(f"CRL{n}" for n in range(1, 10)))
BOX = ((45, 60, 60), (101, 108, 108))  # a part of the ICBM brain that holds ventricles, white and grey matter


@pytest.fixture(scope="module")
def head():
    return from_labels(label_map())


@pytest.fixture(scope="module")
def tumour(head):
    return simulate_subject(head, ["T1", "T1ce", "T2", "FLAIR", "DWI"], seed=1, lesions="tumour")


def test_a_tumour_has_all_its_parts_and_total_tissue_is_unchanged(head):
    for seed in range(4):
        with_it = diseased(head, "tumour", np.random.default_rng(seed))
        assert {"tumour", "enhancing rim", "necrosis"} <= set(with_it.tissues)
        np.testing.assert_allclose(with_it.fractions.sum(0), head.fractions.sum(0), atol=1e-5)
        fluid = head.fractions[head.tissues.index("CSF")]
        rim = with_it.fractions[with_it.tissues.index("enhancing rim")]
        ventricles = np.isin(head.labels, (4, 43)) & (fluid > 0.999)
        assert rim.max() > 0.9 and rim[ventricles].max() < 0.05


def test_agent_shows_where_it_is_taken_up_and_nowhere_else(head, tumour):
    with_it = diseased_as_drawn(head)
    ratio = tumour.volumes["T1ce"].voxels / np.maximum(tumour.volumes["T1"].voxels, 1e-6)
    assert np.median(ratio[part_of(with_it, "enhancing rim")]) > 1.25
    assert np.median(ratio[part_of(with_it, "vessel")]) > 3
    for tissue in ("white matter", "CSF", "fat"):
        inside = part_of(with_it, tissue) & (tumour.lesions.voxels == 0)
        assert 0.99 < np.median(ratio[inside]) < 1.05


def diseased_as_drawn(head):
    """The anatomy of the fixture `tumour`: the draws of a subject are its tissue, then its disease."""
    from mrinr.simulation.tissue import draw_scan

    rng = np.random.default_rng(1)
    draw_scan(head.labels.shape, rng)
    return diseased(head, "tumour", rng)


def part_of(anatomy, tissue):
    return anatomy.fractions[anatomy.tissues.index(tissue)] > 0.9


def test_lesions_are_bright_and_fluid_dark_on_flair(head, tumour):
    flair = tumour.volumes["FLAIR"].voxels
    white = np.median(flair[part_of(head, "white matter") & (tumour.lesions.voxels == 0)])
    with_it = diseased_as_drawn(head)
    assert np.median(flair[part_of(with_it, "oedema")]) > 1.3 * white
    assert np.median(flair[part_of(head, "CSF") & (tumour.lesions.voxels == 0)]) < 0.5 * white
    assert (tumour.labels.voxels[tumour.lesions.voxels > 0] == 25).all()


def test_the_mask_of_lesions_is_where_disease_fills_most_of_a_voxel(head, tumour):
    with_it = diseased_as_drawn(head)
    new = with_it.fractions[len(head.tissues) :].sum(0)
    mask = tumour.lesions.voxels > 0
    assert mask[new > 0.9].all() and not mask[new < 0.1].any()


def test_maps_are_those_before_agent(head, tumour):
    with_it = diseased_as_drawn(head)
    assert 900 < np.median(tumour.maps["T1map"].voxels[part_of(with_it, "enhancing rim")]) < 2200


def test_a_stroke_is_bright_on_dwi(head):
    made = simulate_subject(head, ["DWI"], seed=3, lesions="stroke")
    mask, brain = made.lesions.voxels > 0, made.brain.voxels > 0
    assert np.median(made.volumes["DWI"].voxels[mask]) > 1.4 * np.median(made.volumes["DWI"].voxels[brain])


def test_a_plain_aseg_without_labels_outside_the_brain_works():
    head = from_labels(label_map(outside=False))
    made = simulate_subject(head, EVERY, seed=0, lesions="tumour")
    assert set(made.volumes) == set(EVERY)
    t1, brain = made.volumes["T1"].voxels, made.brain.voxels > 0
    assert np.median(t1[brain]) > 0.1
    assert t1[~brain].mean() < 0.02 * t1[brain].mean()


def test_a_varied_anatomy_keeps_tissues_and_their_sum(head):
    rng = np.random.default_rng(0)
    for one in (head, icbm().crop(*BOX)):
        other = one.varied(rng)
        assert other.tissues == one.tissues
        assert set(np.unique(other.labels)) <= set(np.unique(one.labels)) | {0}
        total = other.fractions.sum(0)
        assert total.max() < 1 + 1e-4
        assert 0.6 < other.brain.sum() / one.brain.sum() < 1.6


def test_the_shell_writes_every_sequence_and_its_truth(tmp_path):
    write(label_map(), tmp_path / "map.nii.gz")
    done = run(
        "simulate", "--out", tmp_path / "out", "--anatomy", tmp_path / "map.nii.gz", "--subjects", 2,
        "--sequences", "clinical", "DWI", "T1ce", "DIR", "crl", "--lesions", "tumour", "--seed", 4,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    one, two = (tmp_path / "out" / f"sub-00{n}" for n in (1, 2))
    truth = ("labels", "lesions", "brain", "T1map", "T2map", "PDmap")
    assert {p.name for p in one.iterdir()} == {"subject.json", *(f"{n}.nii.gz" for n in (*EVERY, *truth))}
    described = json.loads((one / "subject.json").read_text())
    assert described["seed"] == 4 and set(described["sequences"]) == set(EVERY)
    assert described["sequences"]["DWI"] == {"TR": 6000, "TE": 80, "TI": 0, "ETL": 1, "b": 1000}
    assert described["sequences"]["CRL9"] == {"TR": 8000, "TE": 98.78, "TI": 2025, "ETL": 1, "b": 0}
    volumes = {name: read(one / f"{name}.nii.gz") for name in ("T1", "T1ce", "brain", "lesions", "labels")}
    assert all(v.grid.same_as(volumes["T1"].grid) for v in volumes.values())
    assert label_map().grid.contains(volumes["T1"].grid.corners() * 0.99).all()
    assert volumes["lesions"].voxels.sum() > 100
    # The second person is another one, not only another scan.
    brains = [read(folder / "brain.nii.gz").voxels for folder in (one, two)]
    assert brains[0].shape != brains[1].shape or (brains[0] != brains[1]).mean() > 0.01


def test_what_is_on_disk_is_what_was_simulated(tmp_path, head):
    from mrinr.simulation.dataset import save

    made = simulate_subject(head, ["T2"], seed=0)
    save(made, tmp_path)
    for name, truth in (("T2", made.volumes["T2"]), ("T1map", made.maps["T1map"]), ("labels", made.labels)):
        error = np.abs(read(tmp_path / f"{name}.nii.gz").voxels - truth.voxels).max()
        assert error <= truth.voxels.max() * 2**-14
    assert (read(tmp_path / "labels.nii.gz").voxels == made.labels.voxels).all()
