"""The map of intensities: what it looks at, what it learns from, and what synthesis makes of it."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
import small_models
import torch
from model_folders import CARD, FACTS
from simulated_head import label_map

from mrinr import bundles
from mrinr.errors import InputError
from mrinr.simulation.heads import ALL_TISSUES, INDEX, draw_head
from mrinr.simulation.sequences import SEQUENCES
from mrinr.simulation.tissue import draw_scan
from mrinr.synthesis import INPUTS, pipeline, synthesize
from mrinr.synthesis.head import Head, cut, grown, window
from mrinr.synthesis.intensities import MODEL, IntensityMap, Readings
from mrinr.synthesis.slicework import Slices
from mrinr.training.finetune import finetune
from mrinr.training.intensities import IntensityRecipe, matched
from mrinr.training.voxels import NODES, PLACES, RIM, SAMPLE, Brain, Voxels, signals, spoiled, voxels
from mrinr.volume import Volume

finetuning = import_module("mrinr.training.finetune")  # the package names the function alike


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return IntensityMap(8, 8).eval()


def brain_voxels(count: int = 300) -> torch.Tensor:
    return torch.rand(count, len(INPUTS), generator=torch.Generator().manual_seed(1)) * 2


# what it looks at ----------------------------------------------------------------------------------------


def test_the_order_of_the_sample_does_not_matter(network):
    shown, there = brain_voxels()[None], torch.ones(1, len(INPUTS))
    mixed = shown[:, torch.randperm(shown.shape[1])]
    torch.testing.assert_close(network.summary(shown, there), network.summary(mixed, there))


def test_what_is_known_of_other_patients_depends_on_their_scans(network):
    shown, there = brain_voxels()[None], torch.ones(1, len(INPUTS))
    here, elsewhere = (network(shown, there, sample) for sample in (shown, 0.5 * shown))
    assert (here - elsewhere).abs().max() > 1e-4


def test_what_stands_in_the_place_of_a_missing_scan_does_not_matter(network):
    shown, there = brain_voxels()[None], torch.ones(1, len(INPUTS))
    there[0, 2] = 0
    other = shown.clone()
    other[..., 2] = 7
    torch.testing.assert_close(network(shown, there, shown), network(other, there, other))


def test_a_reader_puts_scans_in_their_places_and_answers_for_its_target(network):
    shown = brain_voxels()
    there = torch.tensor([[1.0, 0, 0, 1, 0, 0]])
    expected = network(shown[None], there, shown[None])[0, :, INPUTS.index("FLAIR")]
    read = Readings(network, {}, ("T2",)).reader(["PD", "T1"], "FLAIR")
    torch.testing.assert_close(read(shown[:, [INPUTS.index("PD"), INPUTS.index("T1")]]), expected)
    assert Readings(network, {}, ("T2",)).reader(["PD", "T1"], "T2") is None  # somebody taught it


# what it learns from -------------------------------------------------------------------------------------


def test_signals_are_the_closed_form_of_a_spin_echo():
    found = signals(np.random.default_rng(5))
    scan = draw_scan(NODES, np.random.default_rng(5))
    PD = SEQUENCES["PD"]
    for tissue in ("white matter", "CSF"):
        T1, T2, density, _ = (x[..., 0].ravel() for x in scan.at_nodes(tissue))
        expected = density * (1 - np.exp(-PD.TR / T1)) * np.exp(-PD.TE / T2)
        measured = found[INDEX[tissue], :, 1, INPUTS.index("PD")]
        np.testing.assert_allclose(measured / measured.mean(), expected / expected.mean(), rtol=0.02)
    assert not found[0].any() and len(found) == len(ALL_TISSUES)  # air


def test_voxels_hold_tissues_as_the_head_does(rng):
    head = draw_head(label_map(), rng, vary=False)
    brain = Brain(head, rng)
    np.testing.assert_allclose(brain.shares.sum(1), 1, atol=1e-5)
    rim = grown(head.brain) & ~head.brain
    for tissue in ("white matter", "grey matter", "CSF"):
        of_brain, of_rim = ((head.tissue[mask] == INDEX[tissue]).mean() for mask in (head.brain, rim))
        share = of_brain + RIM / PLACES * (of_rim - of_brain)
        held = (brain.shares * (brain.tissues == INDEX[tissue])).sum(1).mean()
        assert held == pytest.approx(share, abs=0.05)
    edge = np.zeros(head.brain.shape, bool)
    for axis in range(3):
        for step in (-1, 1):
            edge |= np.roll(head.tissue, step, axis) != head.tissue
    mixed = (brain.shares[:, 0] < 0.999).mean()
    assert mixed >= edge[head.brain].mean() - 0.02


def drawn(rng: np.random.Generator, count: int = 24) -> Voxels:
    brain = Brain(draw_head(label_map(), rng, vary=False), rng)
    return voxels(np.stack([signals(rng) for _ in range(count)]), [brain] * count, rng)


def test_a_batch_is_on_the_scale_of_brain_medians_and_hides_what_is_asked(rng):
    batch = drawn(rng)
    median = batch.truth[:, :SAMPLE].median(1).values
    assert (median - 1).abs().mean() < 0.06
    shown = batch.there.sum(1)
    assert shown.min() >= 1 and shown.max() <= len(INPUTS) - 1
    assert not (batch.asked * batch.there[:, None]).any() and batch.asked.sum() > 0
    assert float(batch.weight[:, SAMPLE:].mean()) == pytest.approx(1, abs=0.1)


def test_what_spoils_scans_is_small_and_not_the_same_in_all(rng):
    clean = np.ones((50, 400, 2), np.float32)
    image = spoiled(clean, rng)
    noise = image.std(1)
    assert 0.005 < np.median(noise) < 0.06 and np.ptp(noise) > 0.02
    assert image.mean() == pytest.approx(1, abs=0.03)


def test_levels_match_by_gains_that_scans_may_have_and_not_as_a_negative():
    truth = torch.rand(3, 200, 2) + 0.5
    weight = torch.ones(3, 200)
    for gain in (0.6, 1.9):
        assert matched(gain * truth + 3, truth, weight).max() < 1e-4
    for gain in (0.1, 10):
        assert matched(gain * truth + 3, truth, weight).min() > 0.3
    spread = truth.var(1, correction=0)
    constant = spread / (spread + 0.1**2)
    torch.testing.assert_close(matched(torch.ones_like(truth), truth, weight), constant)
    assert (matched(-0.01 * truth, truth, weight) > 0.99 * constant).all()


def test_a_little_practice_explains_most_of_sequences_in_scans_never_seen(rng):
    torch.manual_seed(0)
    recipe = IntensityRecipe(IntensityMap(32, 32), rate=1e-2)
    plain = SimpleNamespace(autocast=torch.enable_grad, backward=torch.Tensor.backward)
    unseen, lessons = drawn(rng, 40), drawn(rng, 400)

    def left() -> float:
        with torch.no_grad():
            found = recipe.predict(recipe.networks["generator"], unseen, "").mean[:, 0]
        several = (unseen.there.sum(1, keepdim=True) > 1) & (unseen.there == 0)
        return float(matched(found, unseen.truth, unseen.weight)[several].median())

    assert left() > 0.6
    for _ in range(150):
        some = torch.from_numpy(rng.integers(400, size=32))
        recipe.step(Voxels(**{name: value[some] for name, value in vars(lessons).items()}), plain)
    assert left() < 0.3
    said = recipe.statistics([unseen])
    assert all("median" in text for text in said.values()) and any("1 of the others" in key for key in said)


# what synthesis makes of it ------------------------------------------------------------------------------


@pytest.fixture
def shelf(made_once, tmp_path, monkeypatch):
    """The small models, in a folder to which a map of intensities can be added."""
    made = made_once("small_models", small_models.make)
    folder = tmp_path / "shelf"
    folder.mkdir()
    for path in made.iterdir():
        (folder / path.name).symlink_to(path)
    monkeypatch.setenv(small_models.SHELF, str(folder))
    monkeypatch.setattr(bundles, "_shipped_folders", small_models.on_the_shelf)
    return folder


def scans() -> dict[str, Volume]:
    shape = (84, 92, 30)
    affine = small_models.centred(np.eye(3), (1.0, 1.0, 2.0), shape)
    return {name: small_models.head(name, affine, shape) for name in ("T1", "T2")}


class Telltale(IntensityMap):
    """Reads a level that tells what it was shown and which sequence it answers for."""

    def forward(self, voxels, there, sample):
        told = 1 + there @ (2.0 ** torch.arange(len(INPUTS))) + 100 * torch.arange(len(INPUTS))[:, None]
        return told.mT[:, None].expand_as(voxels)


def test_every_prediction_is_read_off_the_scans_that_it_may_see(monkeypatch):
    asked = []

    def spied(images, predicted, brain, lit, read=None):
        asked.append((len(images), None if read is None else (read.least, read.most)))
        return predicted

    monkeypatch.setattr(pipeline, "explained", spied)
    shape = (4, 20, 20)
    images = {name: np.ones(shape, np.float32) for name in ("T1", "T2")}
    brain = np.zeros((20, 20, 4), bool)
    brain[5:15, 5:15] = True
    grid = Volume(brain.astype(np.float32), np.eye(4)).grid
    head = Head(grid, {n: brain.astype(np.float32) for n in images}, {}, brain, np.ones_like(brain))
    rows, columns, levels = window(head)
    shown = {name: cut(x[..., levels], rows, columns) for name, x in head.images.items()}
    flat = next(iter(shown.values()))
    slices = Slices(flat, flat, shown, flat, {"T1": flat, "T2": flat})
    pipeline._explained(slices, head, "FLAIR", Readings(Telltale(), {}, ("T2",)))
    # T1 of T2, T2 of T1 (taught: not read), FLAIR of both; sums of 2 ** place of a scan, 100 * the target's
    assert asked == [(1, (3.0, 3.0)), (1, None), (2, (204.0, 204.0))]


def test_synthesis_reads_levels_where_the_map_ships_and_says_so(shelf, network):
    without = synthesize(scans(), "FLAIR", threads=1, register="off")
    assert without.report["settings"]["levels_read_by"] is None
    saved = with_map(shelf, network)
    found = synthesize(scans(), "FLAIR", threads=1, register="off")
    assert found.report["settings"]["levels_read_by"] == {"model": MODEL, "weights_sha256": saved.sha256}
    brain = found.brain.voxels > 0
    assert np.abs(found.volume.voxels - without.volume.voxels)[brain].mean() > 1
    again = synthesize(scans(), "FLAIR", threads=1, register="off")
    np.testing.assert_array_equal(again.volume.voxels, found.volume.voxels)


def with_map(shelf, network):
    sizes = {"width": 8, "summary": 8}
    return bundles.save(
        shelf / MODEL, network, "intensities", sizes, {**FACTS, "targets": ["intensities"]}, CARD
    )


def test_a_model_that_was_taught_a_target_keeps_the_levels_that_it_learned(shelf, network, tmp_path):
    plain = bundles.find("multimodal-compact")
    facts = {key: value for key, value in plain.facts.items() if key not in ("architecture", "arguments")}
    for folder, taught in (("fine-tuned", ["FLAIR"]), ("other", ["T2"])):
        bundles.save(
            tmp_path / folder,
            plain.network(),
            plain.architecture,
            plain.facts["arguments"],
            {**facts, "taught": taught},
            CARD,
        )
    without = synthesize(scans(), "FLAIR", plain.folder, threads=1, register="off")
    with_map(shelf, network)
    kept, read = (
        synthesize(scans(), "FLAIR", tmp_path / folder, threads=1, register="off")
        for folder in ("fine-tuned", "other")
    )
    assert kept.report["settings"]["levels_read_by"] is None
    np.testing.assert_array_equal(kept.volume.voxels, without.volume.voxels)
    assert read.report["settings"]["levels_read_by"]["model"] == MODEL


def test_levels_are_not_read_where_a_scan_lies_elsewhere(shelf, network, monkeypatch):
    without = synthesize(scans(), "FLAIR", threads=1, register="off")
    with_map(shelf, network)
    predict = pipeline.predict
    monkeypatch.setattr(pipeline, "predict", lambda *told: replace(predict(*told), elsewhere=("T2",)))
    found = synthesize(scans(), "FLAIR", threads=1, register="off")
    assert found.report["settings"]["levels_read_by"] is None
    np.testing.assert_array_equal(found.volume.voxels, without.volume.voxels)


def test_fine_tuning_is_compared_with_what_synthesis_returned_before(shelf, network, tmp_path, monkeypatch):
    with_map(shelf, network)
    readers = []

    def spied(images, predicted, brain, reader=None):
        readers.append(reader)
        return predicted

    monkeypatch.setattr(finetuning, "slice_by_slice", spied)
    affine, shape = small_models.centred(np.eye(3), (1.0, 1.0, 2.0), (84, 92, 30)), (84, 92, 30)
    case = {**scans(), "FLAIR": small_models.head("FLAIR", affine, shape)}
    finetune(bundles.find("multimodal-compact"), [case], tmp_path / "mine", "FLAIR", steps=1, threads=1)
    before, *after = readers
    assert before is not None and after and not any(after)


def test_a_damaged_map_is_said_before_anything_is_predicted(shelf, network, monkeypatch):
    saved = with_map(shelf, network)
    weights = saved.folder / "models/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    monkeypatch.setattr(pipeline, "predict", lambda *_: pytest.fail("predicted all the same"))
    with pytest.raises(InputError, match="SHA-256"):
        synthesize(scans(), "FLAIR", threads=1, register="off")
