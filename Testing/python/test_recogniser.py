"""The recogniser: what it is shown, what it is taught, when it warns and when it is silent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from simulated_head import label_map

from mrinr import bundles
from mrinr.context import Context
from mrinr.simulation.heads import ALL_TISSUES, draw_head
from mrinr.simulation.labels import is_brain
from mrinr.simulation.sequences import SEQUENCES
from mrinr.simulation.shape import draw_shape
from mrinr.simulation.signal import signal
from mrinr.simulation.tissue import TISSUES
from mrinr.synthesis import INPUTS
from mrinr.synthesis.head import Head, prepare
from mrinr.synthesis.recogniser import ANSWERS, SIDE, VIEWS, Recogniser, likely, views
from mrinr.synthesis.space import onto, working_grid
from mrinr.synthesis.unlike import MODEL, sentences
from mrinr.training.looks import looks
from mrinr.training.no_head import OTHERS
from mrinr.training.posed import Posed, Sitter
from mrinr.volume import Volume, read

FIVE = INPUTS[:5]  # without contrast agent


def head_of(images: dict[str, np.ndarray], brain: np.ndarray) -> tuple[Head, dict[str, Volume]]:
    """Images (i, j, k) along R, A, S as `prepare` brings them into the working space."""
    grid = Volume(brain.astype(np.float32), np.eye(4)).grid
    scaled = {
        name: np.clip(x / np.median(x.clip(0)[brain]), 0, 8).astype(np.float32) for name, x in images.items()
    }
    volumes = {name: Volume(x.astype(np.float32), np.eye(4), f"{name}.nii.gz") for name, x in images.items()}
    return Head(grid, scaled, dict.fromkeys(images, 1.0), brain, brain), volumes


def turned(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return np.ascontiguousarray(np.flip(x, axes))


# what it is shown ----------------------------------------------------------------------------------------


def test_views_run_along_r_a_s_through_the_middle_of_the_brain():
    shape = (60, 80, 50)
    brain = np.zeros(shape, bool)
    brain[10:51, 20:61, 10:41] = True
    along = np.indices(shape).astype(np.float32)
    for axis in range(3):
        shown = views(along[axis], brain)
        assert shown.shape == (len(VIEWS), SIDE, SIDE)
        low, high = np.argwhere(brain)[[0, -1], axis]
        for view, (across, place) in zip(shown, VIEWS, strict=True):
            inside = view[12:-12, 12:-12]
            if across == axis:
                assert abs(inside - (low + place * (high - low))).max() <= 0.5
                continue
            steps = np.diff(inside, axis=[a for a in range(3) if a != across].index(axis))
            np.testing.assert_allclose(steps, (1.3 * (high - low) + 1) / SIDE, rtol=0.1)


def test_what_lies_beyond_the_field_of_view_is_dark():
    shown = views(np.ones((20, 20, 20), np.float32), np.ones((20, 20, 20), bool))
    assert shown.max() == 1 and (shown[:, 0] == 0).all() and (shown[:, :, -1] == 0).all()


def test_the_network_is_small_and_answers_every_question():
    network = Recogniser().eval()
    assert sum(p.numel() for p in network.parameters()) <= 300_000
    with torch.no_grad():
        found = likely(network(torch.rand(3, len(VIEWS), SIDE, SIDE)))
    assert found.shape == (3, len(ANSWERS))
    torch.testing.assert_close(found[:, : len(INPUTS)].sum(1), torch.ones(3))
    assert ((found > 0) & (found < 1)).all()


# what it is taught ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sitter():
    rng = np.random.default_rng(0)
    return Sitter(draw_head(label_map(), rng), rng)


def test_examples_ask_for_no_sequence_of_what_is_no_head(sitter):
    rng = np.random.default_rng(1)
    shown = [example for _ in range(15) for example in looks(sitter, rng)]
    for image, answers, asked in shown:
        assert image.shape == (len(VIEWS), SIDE, SIDE) and image.dtype == np.float32
        assert np.isfinite(image).all() and image.min() >= 0 and image.max() <= 8
        other = answers[-1]
        assert answers[: len(INPUTS)].sum() == (not other)
        assert asked[-1] and (asked[:-1] == (not other)).all()
    for n in range(len(ANSWERS)):
        assert {bool(answers[n]) for _, answers, _ in shown} == {False, True}, ANSWERS[n]


def test_a_flipped_head_is_the_head_flipped(sitter):
    """Without noise in where the box lies, flipping before the views are taken or after is the same."""

    class Still(np.random.Generator):
        def standard_normal(self, *args, **kwargs):
            return np.zeros(args[0] if args else ())

    def pose(*flipped: bool) -> Posed:
        return Posed(sitter, Still(np.random.PCG64(0)), flipped)

    plain, ahead, down = pose(False, False), pose(True, False), pose(False, True)
    np.testing.assert_array_equal(ahead.tissue[1], plain.tissue[1][:, ::-1])
    np.testing.assert_array_equal(ahead.tissue[3], plain.tissue[3][::-1])
    np.testing.assert_array_equal(down.tissue[3], plain.tissue[3][:, ::-1])
    np.testing.assert_array_equal(down.tissue[0], plain.tissue[2])


@pytest.mark.parametrize("maker", OTHERS, ids=lambda maker: maker.__name__)
def test_whatever_is_no_head_has_views(maker, sitter):
    for seed in range(3):
        image = maker(sitter, np.random.default_rng(seed))
        assert image.shape == (len(VIEWS), SIDE, SIDE) and np.isfinite(image).all() and image.max() > 0


# when it warns -------------------------------------------------------------------------------------------


def sure_of(*answers: str) -> Recogniser:
    """A network that gives these answers to whatever it sees."""
    network = Recogniser(4).eval()
    last = network.together[-1]
    torch.nn.init.zeros_(last.weight)
    with torch.no_grad():
        last.bias.copy_(torch.tensor([8.0 if answer in answers else -8.0 for answer in ANSWERS]))
    return network


def test_sentences_name_the_volume_and_what_to_check():
    head, volumes = head_of({"T1": np.ones((20, 20, 20))}, np.ones((20, 20, 20), bool))
    assert sentences(head, volumes, sure_of("T1")) == []
    assert sentences(head, volumes, sure_of("T2")) == ["T1 (T1.nii.gz) looks like T2; check its role."]
    assert sentences(head, volumes, sure_of("T1", "upside down", "back to front")) == [
        "T1 (T1.nii.gz) seems to lie back to front; check its orientation.",
        "T1 (T1.nii.gz) seems to be upside down; check its orientation.",
    ]
    (said,) = sentences(head, volumes, sure_of("T2", "upside down", "other"))
    assert said.startswith("T1 (T1.nii.gz) looks unlike any MR head")


def test_sequences_that_look_alike_are_not_told_apart():
    ones, brain = np.ones((20, 20, 20)), np.ones((20, 20, 20), bool)
    for given, seen in (("T1", "T1ce"), ("T1ce", "T1"), ("T1", "PD"), ("PD", "T2"), ("FLAIR", "DWI")):
        assert sentences(*head_of({given: ones}, brain), sure_of(seen)) == []
    for given, seen in (("T1", "T2"), ("T1", "FLAIR"), ("FLAIR", "T2")):
        assert len(sentences(*head_of({given: ones}, brain), sure_of(seen))) == 1


# the one that ships --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network():
    if not bundles.ships(MODEL):
        pytest.skip(f"{MODEL} does not ship")
    return bundles.find(MODEL).network()


@pytest.fixture(scope="module")
def unseen(data):
    """Of a map never trained on: images at 2 mm by the closed-form signals, FreeSurfer's numbers, brain."""
    labels = read(data / "label_maps" / "head_12.nii.gz")
    head = draw_head(labels, np.random.default_rng(0), vary=False)
    images = {}
    for name in FIVE:
        tissues = (np.array(x, float) for x in zip(*TISSUES.values(), strict=True))
        table = np.array([0.0, *signal(SEQUENCES[name], *tissues)])
        assert len(table) == len(ALL_TISSUES)
        images[name] = table[head.tissue[::2, ::2, ::2]]
    numbers = draw_shape(labels, None).nearest(labels.voxels)[::2, ::2, ::2].astype(int)
    return images, head.brain[::2, ::2, ::2], numbers


@pytest.mark.parametrize("stripped", [False, True])
def test_it_is_silent_on_every_sequence_of_an_unseen_head(network, unseen, stripped):
    images, brain, _ = unseen
    shown = {name: x * brain if stripped else x for name, x in images.items()}
    assert sentences(*head_of(shown, brain), network) == []


@pytest.mark.parametrize(("given", "seen"), [("T1", "T2"), ("T1", "FLAIR"), ("T2", "T1"), ("FLAIR", "T2")])
def test_it_finds_a_sequence_in_the_wrong_slot(network, unseen, given, seen):
    images, brain, _ = unseen
    assert sentences(*head_of({given: images[seen]}, brain), network) == [
        f"{given} ({given}.nii.gz) looks like {seen}; check its role."
    ]


@pytest.mark.parametrize("name", ["T1", "T2", "FLAIR"])
def test_it_finds_flipped_axes(network, unseen, name):
    images, brain, _ = unseen
    for axes, words in (((1,), {"front"}), ((2,), {"upside"}), ((1, 2), {"front", "upside"})):
        said = sentences(*head_of({name: turned(images[name], axes)}, turned(brain, axes)), network)
        assert {word for word in ("front", "upside") if any(word in each for each in said)} == words


def test_it_finds_ct_and_noise(network, unseen):
    _, brain, numbers = unseen
    units = np.full(numbers.shape, -1000.0)
    units[numbers > 500], units[is_brain(numbers)] = 50, 35
    units[np.isin(numbers, (4, 14, 15, 24, 43))], units[np.isin(numbers, (515, 516))] = 8, 1000
    units[np.isin(numbers, (2, 41))] = 29
    (said,) = sentences(*head_of({"T1": units}, is_brain(numbers)), network)
    assert "unlike any MR head" in said
    noise = np.abs(np.random.default_rng(0).normal(size=brain.shape))
    (said,) = sentences(*head_of({"T1": noise}, brain), network)
    assert "unlike any MR head" in said


def stripped_patient(folder) -> tuple[dict[str, np.ndarray], np.ndarray]:
    scans = {name: read(folder / f"{name}.nii.gz") for name in ("T1", "T1ce", "T2", "FLAIR")}
    grid = working_grid(scans["T1"].grid)
    images = {name: onto(volume, grid) for name, volume in scans.items()}
    return images, images["T1"] > 0


@pytest.mark.parametrize("patient", ["patient07", "patient19"])
def test_it_is_silent_on_real_patients_and_finds_what_is_wrong_with_them(network, data, patient):
    images, brain = stripped_patient(data / "ms_registered" / patient)
    assert sentences(*head_of(images, brain), network) == []
    (said,) = sentences(*head_of({"T1": images["T2"]}, brain), network)
    assert "looks like T2; check its role" in said
    for axis, word in ((1, "front"), (2, "upside")):
        for name in ("T1", "T2", "FLAIR"):
            said = sentences(*head_of({name: turned(images[name], (axis,))}, turned(brain, (axis,))), network)
            assert any(word in each or "unlike" in each for each in said), (name, word)


@pytest.mark.parametrize("visit", ["visit1", "visit2"])
def test_it_is_silent_on_scans_as_they_come(network, data, visit):
    scans = {
        name: read(data / "ms_raw" / "patient01" / visit / f"{name}.nii.gz") for name in ("T1", "T2", "FLAIR")
    }
    head = prepare(scans, "T1", torch.device("cpu"), Context())
    assert sentences(head, scans, network) == []
