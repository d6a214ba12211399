"""The contrast model: all it can say obeys the signal equation, and the one that ships says it well."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from mrinr import bundles
from mrinr.benchmark import crl
from mrinr.benchmark import crl_physics as physics
from mrinr.benchmark import crl_tables as tables
from mrinr.benchmark.crl import seen_by
from mrinr.benchmark.crl_people import Slab, slabs
from mrinr.context import Context
from mrinr.contrast import MODEL
from mrinr.contrast.agreement import factors, shifted
from mrinr.contrast.network import GROUP, VARIANTS, ContrastRepresentation, Mixture, attained, split
from mrinr.contrast.reference import Lookup, people, reference
from mrinr.contrast.scale import PERCENTS, Scale, brightest, expected, scale
from mrinr.errors import InputError
from mrinr.simulation.sequences import SEQUENCES, null
from mrinr.simulation.signal import Sequence, signal
from mrinr.simulation.tissue import TISSUES
from mrinr.training.contrast_sequences import UNSEEN, plain

T1_WEIGHTED, T2_WEIGHTED, FLAIR = (plain(SEQUENCES[name]) for name in ("T1", "T2", "FLAIR"))
CPU = torch.device("cpu")
REAL = Path(os.environ.get("MRINR_TEST_DATA", "/nonexistent")) / "ms_registered"


def small(variant: str = "modulation") -> ContrastRepresentation:
    torch.manual_seed(0)
    return ContrastRepresentation(variant, width=8, blocks=2, features=40, hidden=16, atoms=12).eval()


def times(*played: Sequence) -> torch.Tensor:
    return torch.tensor([[each.TR, each.TE, each.TI] for each in played])


def features(n: int = 1, h: int = 6, w: int = 7, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 40, h, w, generator=torch.Generator().manual_seed(seed))


# the network ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n, s in SEQUENCES.items() if s.flip is None and not (s.b or s.TI2)])
def test_the_network_knows_the_signal_equation(name):
    played = plain(SEQUENCES[name])
    T1, T2, PD, _ = np.array(list(TISSUES.values())).T
    found = attained(times(played), torch.tensor(T1), torch.tensor(T2))[0].numpy()
    np.testing.assert_allclose(found, signal(played, T1, T2, np.ones_like(PD)), rtol=1e-4, atol=1e-6)
    known = small().times
    assert float(known.expected(times(played))) == pytest.approx(expected(played), rel=1e-4)
    assert float(known.brightest(times(played))) == pytest.approx(brightest(played), rel=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shape", [(16, 16), (31, 45)])
def test_images_of_any_size_become_features_and_images_again(variant, shape):
    network = small(variant)
    found = network.encode(torch.rand(2, 1, *shape), times(T1_WEIGHTED, FLAIR))
    assert found.shape == (2, network.channels, *shape)
    for each in network.decode(found, times(T2_WEIGHTED, T1_WEIGHTED)):
        assert each.shape == (2, 1, *shape) and torch.isfinite(each).all() and (each >= 0).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_voxel_is_decoded_by_itself_so_planes_can_be_cut_in_any_direction(variant):
    network, slices = small(variant), features(5)
    whole = network.decode(slices, times(T2_WEIGHTED).expand(5, -1)).mean
    sagittal = slices[:, :, 2].permute(1, 0, 2)[None]
    np.testing.assert_allclose(
        network.decode(sagittal, times(T2_WEIGHTED)).mean[0, 0].detach(), whole[:, 0, 2].detach(), atol=1e-5
    )


def test_every_voxel_is_a_mixture_whose_signal_falls_with_te_and_rises_with_tr():
    network, voxels = small(), features()
    echoes = [
        float(network.decode(voxels, times(Sequence(8000, TE))).mean.sum().detach())
        for TE in range(10, 200, 10)
    ]
    assert np.all(np.diff(echoes) < 0)
    pixels = [network.decode(voxels, times(Sequence(TR, 20))).mean for TR in np.geomspace(400, 10000, 15)]
    assert all((b >= a).all() for a, b in zip(pixels[:-1], pixels[1:], strict=True))


def test_a_pure_atom_nulls_where_its_t1_says_and_decays_with_its_t2():
    decoder = small().decoder
    assert isinstance(decoder, Mixture)
    T1, T2 = (each[5].item() for each in decoder.atoms()[:2])  # of CSF, before any training
    np.testing.assert_allclose((T1, T2), TISSUES["CSF"][:2], rtol=0.02)
    amounts = torch.zeros(1, 12, 1, 1)
    amounts[0, 5] = 0.9
    known = torch.zeros(1, 32, 1, 1)

    def image(played: Sequence) -> float:
        return decoder.played(known, amounts, decoder.atoms(), times(played)).mean.item()

    dark = null(Sequence(9000, 100), T1)
    at_null = image(Sequence(9000, 100, dark))
    assert at_null < 1e-3 < 0.1 < min(image(Sequence(9000, 100, dark + d)) for d in (-800, 800))
    slope = -np.log(image(Sequence(9000, 200)) / image(Sequence(9000, 10))) / 190
    recovered = (1 - np.exp(-(9000 - 20) / T1)) / (1 - np.exp(-(9000 - 400) / T1))
    assert slope == pytest.approx(1 / T2 + np.log(recovered) / 190, rel=1e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_paper_attends_to_times_of_the_source_and_all_variants_to_those_of_the_target(variant):
    network, image = small(variant), torch.rand(1, 1, 16, 16)
    encoded = [network.encode(image, times(each)) for each in (T1_WEIGHTED, FLAIR)]
    assert not torch.allclose(*encoded)
    decoded = [network.decode(encoded[0], times(each)).mean for each in (T1_WEIGHTED, FLAIR)]
    assert not torch.allclose(*decoded)
    if variant == "attention":  # a single token would add the same to every voxel
        added = network.attention(features(), times(FLAIR)) - features()
        assert added.std((2, 3)).max() > 1e-3


def test_fusing_one_scan_changes_nothing_and_the_surer_of_two_prevails():
    network = small()
    a, b = features(seed=1), features(seed=2)
    assert network.fuse([a]) is a
    sure = b.clone()
    sure[:, GROUP - 1 :: GROUP] = 30.0
    a[:, GROUP - 1 :: GROUP] = 0.0
    torch.testing.assert_close(split(network.fuse([a, sure]))[0], split(sure)[0])
    torch.testing.assert_close(split(network.fuse([sure, a]))[0], split(sure)[0])
    even = network.fuse([a, a, a])
    torch.testing.assert_close(split(even)[0], split(a)[0])


def test_features_survive_half_precision():
    network = small()
    found = network.encode(torch.rand(1, 1, 32, 32), times(T2_WEIGHTED))
    full, half = (network.decode(each, times(FLAIR)).mean for each in (found, found.half()))
    assert (full - half).abs().max() < 0.01


def test_sizes_that_make_no_sense_are_refused():
    for wrong in (
        {"variant": "both"},
        {"features": 41},
        {"blocks": 0},
        {"variant": "attention", "features": 45},
    ):
        with pytest.raises(InputError):
            ContrastRepresentation(**wrong)


# reference -----------------------------------------------------------------------------------------------


def test_the_reference_finds_what_the_source_says_and_no_more():
    same = reference([T2_WEIGHTED], T2_WEIGHTED)
    other = reference([T2_WEIGHTED], FLAIR)
    both = reference([T1_WEIGHTED, T2_WEIGHTED], FLAIR)
    assert same > 25 > other  # noise is all that is lost
    assert both > other + 1
    assert reference([T2_WEIGHTED], FLAIR) == other
    with pytest.raises(InputError, match="at least one"):
        reference([], FLAIR)


def test_the_reference_is_the_conditional_mean():
    lookup = Lookup([T2_WEIGHTED], FLAIR)
    seen = np.array([[0.15], [0.2], [0.3]])
    near = [np.abs(lookup.seen[:, 0] - x) < 0.01 for x in seen[:, 0]]
    np.testing.assert_allclose(lookup(seen), [lookup.truth[n].mean() for n in near], rtol=0.1)
    assert len(people()) == len({id(person) for person in people()})


# the model that ships ------------------------------------------------------------------------------------

SHIPS = bundles.ships(MODEL)
shipped = pytest.mark.skipif(not SHIPS, reason=f"{MODEL} does not ship yet")


@pytest.fixture(scope="module")
def network() -> ContrastRepresentation:
    return bundles.find(MODEL).network()  # type: ignore[return-value]


@pytest.fixture(scope="module")
def person() -> Slab:
    """Three slices of a variation of ICBM152, of which no model has seen one."""
    names = ("CRL1", "CRL4", "CRL5", "CRL7", "CRL9")
    return next(slabs((), {name: SEQUENCES[name] for name in names}, names, 3, 1))


def encoded(network: ContrastRepresentation, person: Slab, name: str) -> tuple[torch.Tensor, float]:
    """Features of one scan, slices first, and its gain; ICBM152's axes lie along R, A, S."""
    scan, found = person.seen(name), scale(person.levels[name], SEQUENCES[name])
    slices = torch.from_numpy(np.ascontiguousarray(scan.voxels.transpose(2, 0, 1)))[:, None] / found.gain
    played, levels = (x.expand(len(slices), -1) for x in (times(SEQUENCES[name]), shifted(found, 0, 1, CPU)))
    with torch.inference_mode():
        return network.encode(slices, played, levels), found.gain


def decoded(network: ContrastRepresentation, found: torch.Tensor, played: Sequence) -> np.ndarray:
    with torch.inference_mode():
        return (
            network.decode(found, times(played).expand(len(found), -1)).mean[:, 0].numpy().transpose(1, 2, 0)
        )


def db(person: Slab, name: str, image: np.ndarray) -> float:
    truth = person.truth[name].voxels[person.inside]
    return 10 * np.log10(np.percentile(truth, 99.9) ** 2 / np.mean((image[person.inside] - truth) ** 2))


@shipped
def test_the_model_that_ships_says_what_it_was_trained_on():
    bundle = bundles.find(MODEL)
    assert bundle.architecture == "crl" and bundle.size < 8_000_000
    assert set(bundle.facts["box"]) == {"TR", "TE", "TI"}
    assert set(bundle.facts["metrics"]) == set(tables.NINE)
    assert all(name in bundle.card for name in UNSEEN)
    for name in ("head_03", "head_08", "head_12", "head_16"):
        assert name not in bundle.facts["training"]["data"]


@shipped
def test_t2_and_the_decay_of_csf_come_out_of_one_t2_weighted_scan(network, person):
    found, _ = encoded(network, person, physics.SOURCE)
    echoes = [decoded(network, found, Sequence(physics.LONG, float(TE))) for TE in physics.ECHOES]
    for tissue, within in (("white matter", None), ("CSF", 0.5)):
        inside = person.pure[tissue]
        slope = -1000 * np.polyfit(physics.ECHOES, np.log([image[inside].mean() for image in echoes]), 1)[0]
        true = 1000 / np.median(person.T2[inside])
        assert slope == pytest.approx(true, rel=None if within else 0.1, abs=within)


@shipped
def test_csf_goes_dark_at_its_null_and_comes_back(network, person):
    found, _ = encoded(network, person, physics.SOURCE)
    inside = person.pure["CSF"]
    sweep = np.array([
        decoded(network, found, Sequence(9000, 100, float(TI)))[inside].mean() for TI in physics.INVERSIONS
    ])  # fmt: skip
    dark = null(Sequence(9000, 100), float(np.median(person.T1[inside])))
    assert abs(physics.INVERSIONS[sweep.argmin()] - dark) <= 0.15 * dark
    assert sweep.min() < 0.1 * decoded(network, found, Sequence(9000, 100))[inside].mean()
    assert min(sweep[0], sweep[-1]) > 2 * sweep.min()


@shipped
def test_every_contrast_comes_at_the_gain_of_its_source(network, person):
    found, unit = encoded(network, person, "CRL7")
    for name in ("CRL4", "CRL5", "CRL7"):
        image, truth = unit * decoded(network, found, SEQUENCES[name]), person.truth[name].voxels
        assert np.median(image[person.inside]) == pytest.approx(np.median(truth[person.inside]), rel=0.15)
        assert db(person, name, image) > 18


def of(network: ContrastRepresentation, person: Slab, *sources: str) -> dict[str, float]:
    """PSNR of each sequence of the fixture that is none of the sources, as `change_contrast` makes it."""
    found = seen_by(network, person, sources, Context())
    targets = [name for name in person.truth if name not in sources]
    return {
        name: db(person, name, found.gain * found.filled(found.decode(network, SEQUENCES[name])[0]))
        for name in targets
    }


@shipped
def test_the_model_beats_the_voxel_wise_reference(network, person):
    ours, known = [], []
    for source in person.truth:
        found = of(network, person, source)
        ours += found.values()
        known += [crl.reference(person, (source,), target, SEQUENCES[target]) for target in found]
    assert np.mean(ours) > np.mean(known)


@shipped
def test_two_scans_are_better_than_either_alone(network, person):
    pairs = [("CRL1", "CRL7"), ("CRL5", "CRL7"), ("CRL7", "CRL9")]
    gained = []
    for first, second in [order for a, b in pairs for order in ((a, b), (b, a))]:
        both, alone = of(network, person, first, second), of(network, person, first)
        gained += [both[name] - alone[name] for name in both]
    assert np.mean(gained) > 1


@shipped
def test_a_scan_whose_gain_is_off_is_brought_nearer_to_the_scale_of_the_others(network, person):
    names = ("CRL5", "CRL1")
    images = [person.seen(name).voxels.transpose(2, 0, 1) for name in names]
    usual = [scale(person.levels[name], SEQUENCES[name]) for name in names]
    brain = np.ascontiguousarray(person.inside.transpose(2, 0, 1))
    played = times(*(SEQUENCES[name] for name in names))
    for off in (0.7, 1.4):
        first, second = factors(network, [images[0], off * images[1]], played, usual, brain)
        assert abs(np.log(off * second / first)) < 0.9 * abs(np.log(off))
        assert abs(np.log(first)) < 0.2 * abs(np.log(off))  # that of CRL 5 varies little between people
    assert factors(network, images[:1], played[:1], usual[:1], brain) == [1.0]


def test_the_surer_gain_decides_which_scale_is_the_physical_one():
    network, image = small(), np.random.default_rng(0).random((2, 16, 16)).astype(np.float32)
    levels = np.zeros(len(PERCENTS), np.float32)
    played, inside = times(T1_WEIGHTED, T1_WEIGHTED), np.ones((2, 16, 16), bool)

    def found(*spreads: float) -> list[float]:
        return factors(network, [image, 4 * image], played, [Scale(1, levels, s) for s in spreads], inside)

    sure, unsure, vague = found(0.001, 1.0), found(1.0, 0.001), found(10.0, 10.0)
    assert sure[0] == pytest.approx(1, abs=1e-3) and unsure[1] == pytest.approx(1, abs=1e-3)
    for first, second in (sure, unsure):
        assert second / first == pytest.approx(vague[1] / vague[0], rel=0.1)
    assert vague[1] < vague[0]


@pytest.mark.skipif(not (SHIPS and REAL.is_dir()), reason="needs real scans: MRINR_TEST_DATA")
@pytest.mark.parametrize("patient", ["patient07", "patient19"])
def test_a_real_t2_gives_a_t1_flair_and_a_flair_with_their_tissues_in_order(patient):
    from mrinr.contrast import change_contrast
    from mrinr.volume import read

    T1, T2, flair, lesions = (
        read(REAL / patient / f"{name}.nii.gz") for name in ("T1", "T2", "FLAIR", "lesions")
    )
    context = Context()
    made = {
        name: change_contrast([(T2, T2_WEIGHTED)], plain(SEQUENCES[name]), context=context)
        for name in ("T1FLAIR", "FLAIR")
    }
    inside, sick = made["FLAIR"].brain.voxels > 0, lesions.voxels > 0
    # Tissues from the real scans: fluid is bright in T2 and dark in FLAIR, white matter bright in T1.
    at = {name: np.percentile(v.voxels[inside], [15, 35, 75, 90]) for name, v in
          (("T1", T1), ("T2", T2), ("FLAIR", flair))}  # fmt: skip
    fluid = inside & (T2.voxels > at["T2"][3]) & (flair.voxels < at["FLAIR"][0])
    solid = inside & ~sick & (T2.voxels < at["T2"][2]) & (flair.voxels > at["FLAIR"][1])
    white, grey = solid & (T1.voxels > at["T1"][2]), solid & (T1.voxels < at["T1"][1])

    def mean(name: str, where: np.ndarray) -> float:
        return float(made[name].volume.voxels[where].mean())

    assert mean("T1FLAIR", white) > mean("T1FLAIR", grey) > mean("T1FLAIR", fluid)
    assert mean("FLAIR", sick & inside) > mean("FLAIR", white) > mean("FLAIR", fluid)
