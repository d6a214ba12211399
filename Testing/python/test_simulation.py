"""The simulator against physics worked out another way: Bloch steps, known nulls and ratios, real images."""

from __future__ import annotations

import json

import numpy as np
import pytest
from phantoms import Waves, grid, random_directions

from mrinr.errors import InputError
from mrinr.resources import resource
from mrinr.simulation import (
    Lesion,
    Sequence,
    acquire,
    average,
    from_labels,
    icbm,
    rotation,
    simulate,
    simulate_subject,
    slice_grid,
)
from mrinr.simulation.sequences import SEQUENCES
from mrinr.simulation.signal import signal
from mrinr.simulation.tissue import TISSUES, draw_scan
from mrinr.volume import Volume, read, write

BOX = ((45, 60, 60), (101, 108, 108))  # a part of the ICBM brain that holds ventricles, white and grey matter


@pytest.fixture(scope="module")
def part():
    return icbm().crop(*BOX)


def of(tissue: str, sequence: Sequence) -> float:
    return float(signal(sequence, *(np.array(value) for value in TISSUES[tissue])))


# signal -------------------------------------------------------------------------------------------------


def bloch(sequence: Sequence, T1: float, cycles: int = 2000) -> float:
    """Longitudinal magnetisation at the excitation, by playing the sequence until nothing changes."""

    def relax(m: float, time: float) -> float:
        return 1 - (1 - m) * np.exp(-time / T1)

    m, seen = 1.0, 0.0
    for _ in range(cycles):
        if sequence.flip is not None:
            angle, spacing = np.deg2rad(sequence.flip), 2 * sequence.TE
            count = sequence.echo_train if sequence.TI else 1
            if sequence.TI:
                m = relax(-m, sequence.TI - count * spacing / 2)
            for pulse in range(count):
                if pulse == count // 2:
                    seen = m * np.sin(angle)
                m = m * np.cos(angle)
                m = relax(m, spacing if sequence.TI else sequence.TR)
            if sequence.TI:
                m = relax(m, sequence.TR - sequence.TI - count * spacing / 2)
            continue
        for time in (sequence.TI, sequence.TI2):
            if time:
                m = relax(-m, time)
        seen = m
        m = relax(0.0, sequence.TR - sequence.last_echo - sequence.TI - sequence.TI2)
    return abs(seen)


@pytest.mark.parametrize(
    "sequence",
    [
        *(sequence for sequence in SEQUENCES.values() if not sequence.b),
        Sequence(TR=30, TE=5, flip=25),
        Sequence(TR=2500, TE=3, TI=1100, echo_train=160, flip=7),
        Sequence(TR=4000, TE=80, TI=150, TE_last=200),
    ],
)
@pytest.mark.parametrize("tissue", ["white matter", "grey matter", "CSF", "fat"])
def test_closed_forms_agree_with_playing_the_sequence(sequence, tissue):
    T1, T2, PD, _ = TISSUES[tissue]
    expected = bloch(sequence, T1) * PD * np.exp(-sequence.TE / T2)
    assert of(tissue, sequence) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", ["FLAIR", "T1FLAIR", "DIR"])
def test_csf_is_nulled_at_its_inversion_time(name):
    assert of("CSF", SEQUENCES[name]) < 0.02 * of("grey matter", SEQUENCES[name])


def test_double_inversion_nulls_white_matter_too():
    assert of("white matter", SEQUENCES["DIR"]) < 0.02 * of("grey matter", SEQUENCES["DIR"])


def test_spin_echo_ratio_of_two_echo_times_gives_t2_back():
    early, late = (
        of("grey matter", Sequence(3000, 20, TE_last=100)),
        of("grey matter", Sequence(3000, 100, TE_last=100)),
    )
    assert 80 / np.log(early / late) == pytest.approx(TISSUES["grey matter"].T2, rel=1e-9)


def test_contrasts_have_the_order_that_radiologists_know():
    assert (
        of("white matter", SEQUENCES["T1"]) > of("grey matter", SEQUENCES["T1"]) > of("CSF", SEQUENCES["T1"])
    )
    assert (
        of("CSF", SEQUENCES["T2"]) > of("grey matter", SEQUENCES["T2"]) > of("white matter", SEQUENCES["T2"])
    )
    assert of("MS lesion", SEQUENCES["FLAIR"]) > 1.2 * of("grey matter", SEQUENCES["FLAIR"])


@pytest.mark.parametrize(
    "times",
    [
        {"TR": 0, "TE": 10},
        {"TR": 600, "TE": -1},
        {"TR": 600, "TE": 10, "TI": 700},
        {"TR": 600, "TE": 400},
        {"TR": float("nan"), "TE": 10},
        {"TR": 2300, "TE": 10, "TI": 900, "echo_train": 176, "flip": 9},
    ],
)
def test_impossible_times_are_refused_in_one_sentence(times):
    with pytest.raises(InputError, match=r"^[^\n]+\.$"):
        Sequence(**times)


# anatomy and tissue -------------------------------------------------------------------------------------


def test_a_simulated_t1_looks_like_the_average_of_152_real_ones(part):
    made = simulate_subject(part, ["MPRAGE"], seed=0)
    low, high = BOX
    real = read(resource("anatomy", "icbm152_t1.nii.gz")).voxels[tuple(map(slice, low, high))]
    brain = part.brain
    assert np.corrcoef(made.volumes["MPRAGE"].voxels[brain], real[brain])[0, 1] > 0.9


def test_the_anatomy_is_where_the_template_is():
    head = icbm()
    assert head.grid.same_as(read(resource("anatomy", "icbm152_wm.nii.gz")).grid)
    index = np.linalg.inv(head.affine) @ [
        0,
        0,
        0,
        1,
    ]  # the anterior commissure lies at the origin of MNI space
    assert head.brain[tuple(np.rint(index[:3]).astype(int))]
    assert 1.7e6 < head.brain.sum() < 2.0e6  # mm^3


def test_fractions_sum_to_one_in_the_brain_and_to_nothing_outside(part):
    total = icbm().finer((60, 0, 0), (64, *icbm().labels.shape[1:])).sum(0).numpy()
    brain = icbm().brain[60:64].repeat(2, 0).repeat(2, 1).repeat(2, 2)
    assert total.max() < 1 + 1e-5
    assert total[brain].mean() > 0.98
    assert total[~brain].mean() < 0.02


def test_coarser_spacings_are_the_mean_of_finer_ones(part):
    fine, coarse = (simulate_subject(part, ["T2"], seed=3, spacing=s).volumes["T2"] for s in (0.5, 2.0))
    a, b, c = coarse.voxels.shape
    blocks = fine.voxels.reshape(a, 4, b, 4, c, 4).mean(axis=(1, 3, 5))
    # Texture is taken at the coarse voxel's centre; everything else is averaged exactly.
    assert np.abs(blocks - coarse.voxels).max() < 0.02 * coarse.voxels.max()
    np.testing.assert_allclose(fine.grid.corners(), coarse.grid.corners(), atol=1e-9)


def test_the_same_seed_gives_the_same_subject_and_another_seed_another(part):
    one, same, other = (simulate_subject(part, ["T1"], seed=s).volumes["T1"].voxels for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.allclose(one, other, rtol=0.01)


def test_maps_give_the_signal_back_where_one_tissue_fills_the_voxel(part):
    subject = simulate_subject(part, ["T2"], seed=0)
    pure = part.fractions.max(axis=0) > 0.999
    T1, T2, PD = (subject.maps[name].voxels[pure].astype(float) for name in ("T1map", "T2map", "PDmap"))
    expected = signal(SEQUENCES["T2"], T1, T2, PD)
    # The signal is interpolated between the nodes of the texture, and so are the maps: alike, not equal.
    assert np.median(np.abs(subject.volumes["T2"].voxels[pure] / expected - 1)) < 0.01


def test_brainstem_stays_close_to_white_matter_in_every_scan():
    for seed in range(20):
        values = draw_scan((9, 9, 9), np.random.default_rng(seed)).values
        ratio = values["brainstem"].T1 / values["white matter"].T1
        assert ratio == pytest.approx(950 / 850)


def test_lesions_are_bright_on_flair_and_only_where_the_mask_says(part):
    with_them, without = (
        simulate_subject(part, ["FLAIR"], seed=5, lesions=lesions) for lesions in ("ms", [])
    )
    mask = with_them.lesions.voxels > 0
    change = with_them.volumes["FLAIR"].voxels - without.volumes["FLAIR"].voxels
    white = np.median(without.volumes["FLAIR"].voxels[without.labels.voxels == 2])
    assert mask.sum() > 50
    assert change[mask].mean() > 0.2 * white
    outside = change.copy()
    outside[mask] = 0
    assert np.abs(outside).sum() < np.abs(change).sum()
    assert (with_them.labels.voxels[mask] == 25).all()


def test_a_lesion_can_be_visible_in_one_contrast_only(part):
    white = np.argwhere(part.fractions[part.tissues.index("white matter")] > 0.99)
    centre = part.grid.world(white[len(white) // 2])
    lesion = Lesion(centre, np.array([4.0, 3.0, 3.0]), np.eye(3), only="T2")
    seen, healthy = (simulate_subject(part, ["T1", "T2"], seed=1, lesions=x) for x in ([lesion], []))
    assert np.abs(seen.volumes["T1"].voxels - healthy.volumes["T1"].voxels).max() < 1e-5
    mask = seen.lesions.voxels > 0
    ratio = seen.volumes["T2"].voxels[mask].mean() / healthy.volumes["T2"].voxels[mask].mean()
    assert ratio > 1.3


def test_a_label_map_becomes_a_head_with_bright_scalp(data):
    volume = read(data / "label_maps" / "head_01.nii.gz")
    head = from_labels(volume)
    assert 1.0e6 < head.brain.sum() < 2.0e6  # mm^3
    rows = slice(head.labels.shape[0] // 2 - 10, head.labels.shape[0] // 2 + 10)  # a slab through the middle
    _, b, c = head.labels.shape
    slab = head.crop((rows.start, 0, 0), (rows.stop, b, c))
    t1 = simulate_subject(slab, ["T1"], seed=0).volumes["T1"]
    fat = slab.fractions[slab.tissues.index("fat")] > 0.95
    assert np.median(t1.voxels[fat]) > 1.1 * np.median(t1.voxels[slab.brain])
    inside = volume.grid.contains(t1.grid.corners() * 0.999)
    assert inside.all()


def test_a_map_without_brain_labels_is_refused():
    with pytest.raises(InputError, match="no FreeSurfer brain labels"):
        from_labels(Volume(np.full((9, 9, 9), 507), np.eye(4), "soft tissue"))


# acquisition --------------------------------------------------------------------------------------------


def fine_waves(seed=0) -> tuple[Waves, Volume]:
    waves = Waves.random(seed=seed, finest=8)
    where = grid((96, 90, 100), (0.5, 0.5, 0.5), rotation((7, -5, 9))[:3, :3])
    return waves, Volume(waves.image(where), where.affine, "waves")


@pytest.mark.parametrize("seed", range(4))
def test_box_slices_match_the_closed_form_at_any_angle(seed):
    waves, fine = fine_waves(seed)
    where = grid((12, 14, 5), (1, 1, 4), random_directions(np.random.default_rng(seed)), (1, 2, -1))
    made = acquire(fine, where, thickness=3.0, profile="box").voxels
    expected = waves.image(where, 3.0, 2, in_plane=True)
    # Trilinear sampling every half millimetre of waves of 8 mm and longer: within 2 percent.
    assert np.abs(made - expected).max() < 0.02 * (fine.voxels.max() - fine.voxels.min())


def test_an_slr_slice_sees_more_than_its_nominal_box_but_is_centred_alike():
    z = np.arange(-20, 20, 0.5) + 0.25
    affine = np.diag([0.5, 0.5, 0.5, 1])
    affine[2, 3] = z[0]
    ramp = Volume(np.broadcast_to(z + 50, (8, 8, 80)).copy(), affine, "ramp")
    curve = Volume(np.broadcast_to(z**2, (8, 8, 80)).copy(), affine, "curve")
    where = grid((2, 2, 3), (1, 1, 4), centre=(2, 2, 0))
    np.testing.assert_allclose(acquire(ramp, where, 4.0).voxels[0, 0], [46, 50, 54], atol=1e-3)
    assert (
        acquire(curve, where, 4.0).voxels[0, 0, 1] > acquire(curve, where, 4.0, profile="box").voxels[0, 0, 1]
    )


def test_the_average_of_a_constant_is_the_constant():
    fine = Volume(np.full((40, 40, 40), 7.0), np.diag([0.5, 0.5, 0.5, 1]), "constant")
    inside = grid((10, 10, 10), (1, 1, 1), rotation((10, 20, 30))[:3, :3], (10, 10, 10))
    np.testing.assert_allclose(average(fine, inside).voxels, 7.0, rtol=1e-5)


def test_noise_is_rician():
    fine = Volume(
        np.pad(np.full((60, 60, 60), 100.0), ((0, 60), (0, 0), (0, 0))), np.diag([0.5, 0.5, 0.5, 1]), "step"
    )
    where = grid((60, 30, 30), centre=(29.75, 14.75, 14.75))
    seen = acquire(fine, where, 1.0, noise=0.05, scale=100.0, seed=1).voxels
    signal_part, air = seen[2:27, 2:-2, 2:-2], seen[33:]
    assert signal_part.std() == pytest.approx(5, rel=0.05)
    assert air.mean() == pytest.approx(5 * np.sqrt(np.pi / 2), rel=0.05)  # Rayleigh


@pytest.mark.parametrize("orientation", ["axial", "coronal", "sagittal"])
def test_slices_cover_the_field_and_lie_as_they_are_called(orientation):
    field = grid((80, 90, 70), (1, 1, 1), rotation((4, -8, 3))[:3, :3], (5, 6, 7))
    slices = slice_grid(field, orientation, spacing=4.0, degrees=(3, 2, -5))
    assert slices.orientation(2) == orientation
    np.testing.assert_allclose(slices.spacing, [1, 1, 4])
    assert slices.contains(field.corners() * (1 - 1e-9) + 1e-9 * field.corners().mean(0)).all()


# files --------------------------------------------------------------------------------------------------


def test_a_simulated_subject_on_disk_has_its_truth_beside_it(tmp_path):
    labels = np.zeros((40, 40, 40))
    x = np.linalg.norm(np.moveaxis(np.indices(labels.shape), 0, -1) - 19.5, axis=-1)
    labels[x < 18], labels[x < 14], labels[x < 5] = 3, 2, 4
    write(Volume(labels, np.diag([-1.0, 1, 1, 1]), "ball"), tmp_path / "ball.nii.gz")
    folders = simulate(tmp_path / "out", tmp_path / "ball.nii.gz", 2, ["T1", "FLAIR"], lesions="ms", seed=7)
    assert [f.name for f in folders] == ["sub-001", "sub-002"]
    names = {path.name for path in folders[0].iterdir()}
    images = ("T1", "FLAIR", "labels", "T1map", "T2map", "PDmap", "brain", "lesions")
    assert names == {"subject.json", *(f"{name}.nii.gz" for name in images)}
    described = json.loads((folders[1] / "subject.json").read_text())
    assert described["seed"] == 8
    assert described["sequences"]["FLAIR"] == {"TR": 9000, "TE": 120, "TI": 2350, "ETL": 16, "b": 0}
    t1map, brain = (read(folders[0] / f"{name}.nii.gz").voxels for name in ("T1map", "brain"))
    assert 500 < np.median(t1map[brain > 0]) < 2000


@pytest.mark.parametrize(
    "wrong",
    [
        {"sequences": ["T7"]},
        {"lesions": "many"},
        {"spacing": 0.7},
        {"anatomy": "nowhere.nii.gz"},
        {"subjects": 0},
    ],
)
def test_wrong_requests_are_refused_in_one_sentence_and_leave_nothing(tmp_path, wrong):
    with pytest.raises(InputError, match=r"^[^\n]+\.$"):
        simulate(tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()
