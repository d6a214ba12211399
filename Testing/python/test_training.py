"""Training: what a batch is, the losses, the loop that goes on where it stopped, fine-tuning."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import small_models
import torch
from simulated_head import label_map
from torch import nn

from mrinr import bundles, files
from mrinr.context import Context
from mrinr.errors import Cancelled, InputError
from mrinr.synthesis.levels import expected, learned, moved
from mrinr.synthesis.multimodal import Multimodal, moved_by
from mrinr.synthesis.prediction import Prediction
from mrinr.training import finetune, train
from mrinr.training.kinds import KINDS, build
from mrinr.training.loop import CHECKPOINT, HISTORY, Budget, fit, reached
from mrinr.training.multimodal import ModalityInvariant, terms
from mrinr.training.recipe import pinball
from mrinr.training.simulated import SimulatedSlices, Wanted, levels
from mrinr.training.sources import Source
from mrinr.volume import write

SIZE = (64, 72)


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    for name in ("a", "b"):
        write(label_map(), folder / f"{name}.nii.gz")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def batches(maps):
    stream = iter(SimulatedSlices(maps, Wanted(("T1", "T2"), ("FLAIR",)), size=SIZE, batch=3, seed=1, pool=2))
    return [next(stream) for _ in range(6)]


def tiny() -> Multimodal:
    torch.manual_seed(0)
    return Multimodal(["T1", "T2"], ["FLAIR"], 2, 2, 2)


# data ----------------------------------------------------------------------------------------------------


def test_a_batch_holds_what_was_asked_for_on_one_scale(batches):
    for batch in batches:
        assert list(batch.seen) == ["T1", "T2"] and list(batch.clean) == ["FLAIR"]
        for image in (*batch.seen.values(), *batch.clean.values()):
            assert image.shape == (3, 1, *SIZE) and image.dtype == torch.float32
            assert torch.isfinite(image).all() and float(image.min()) >= 0
        assert batch.place.shape == (3, 2, *SIZE)
        assert set(batch.motion) == {"T2"} and batch.motion["T2"].shape == (3, 3)
        inside = batch.brain > 0
        for image in (*batch.seen.values(), *batch.clean.values()):
            assert 0.5 < float(image[inside].median()) < 1.6


def test_the_same_seed_draws_the_same_people(maps):
    def first(seed: int):
        return next(
            iter(SimulatedSlices(maps, Wanted(("T1",), ("T2",)), size=SIZE, batch=1, seed=seed, pool=1))
        )

    torch.testing.assert_close(first(3).seen["T1"], first(3).seen["T1"])
    assert not torch.equal(first(3).seen["T1"], first(4).seen["T1"])


def test_the_motion_of_a_batch_brings_its_image_back(maps):
    """Both inputs are one sequence: undoing the motion must make them alike again."""
    stream = iter(SimulatedSlices(maps, Wanted(("FLAIR", "T2"), ("T1",)), size=SIZE, batch=4, seed=5, pool=1))
    gains = []
    for _ in range(10):
        batch = next(stream)
        fixed, moving, motion = batch.seen["FLAIR"], batch.seen["T2"], batch.motion["T2"]
        for n in np.flatnonzero(motion.abs().sum(1).numpy() > 0.05):
            head = (fixed[n, 0] > 0.1).float()
            back = moved_by(moving[n : n + 1], motion[n : n + 1])[0, 0]
            if 0.1 < float(head.mean()) < 0.9:
                gains.append(_likeness(head, back > 0.1) - _likeness(head, moving[n, 0] > 0.1))
    assert len(gains) > 3 and np.mean(gains) > 0.01


def _likeness(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a * b).sum() * 2 / (a.sum() + b.sum()))


def test_no_batch_asks_for_what_it_shows():
    rng = np.random.default_rng(0)
    names = ("T1", "T2", "FLAIR")
    drawn = [Wanted(names, names, most=3, at_once=2).draw(rng) for _ in range(200)]
    assert all(shown and asked and not set(shown) & set(asked) for shown, asked in drawn)
    assert {len(shown) for shown, _ in drawn} == {1, 2}
    assert {name for shown, _ in drawn for name in shown} == set(names)


def test_levels_are_the_medians_of_the_simulated_brains(maps):
    names = ("T1", "T2", "T1ce")
    found = levels(maps[:1], names, 0)
    assert found["names"] == list(names)
    assert expected(found, "T1ce", {"T1": 100.0}) == pytest.approx(100, rel=0.2)
    assert expected(found, "T2", {"T1": 300.0}) == pytest.approx(
        3 * expected(found, "T2", {"T1": 100.0}), rel=1e-3
    )


def test_a_level_that_varies_with_the_target_s_tells_more_than_one_that_does_not():
    """Against the conditional mean worked out by hand: b is a but for a gain, c is independent."""
    rng = np.random.default_rng(0)
    own, other, gain = (
        0.2 * rng.standard_normal(5000),
        0.2 * rng.standard_normal(5000),
        rng.normal(0, 3, 5000),
    )
    logs = np.stack([own, own + np.log(2), other], 1) + gain[:, None]
    found = learned(["a", "b", "c"], logs)
    assert expected(found, "a", {"b": 10.0, "c": 1.0}) == pytest.approx(5.0, rel=0.1)
    assert expected(found, "a", {"c": 10.0}) == pytest.approx(10.0, rel=0.05)
    brighter = moved(found, "a", [{"a": 7.0, "b": 10.0}])
    assert expected(brighter, "a", {"b": 20.0}) == pytest.approx(14.0, rel=0.01)


def test_one_motion_after_another_is_both_at_once():
    """The motions that the spatial transformer practises on, against moving the image twice."""
    from mrinr.training.multimodal import after, inverse

    noise = torch.rand(1, 1, 80, 80, generator=torch.Generator().manual_seed(0))
    image = torch.nn.functional.avg_pool2d(torch.nn.functional.avg_pool2d(noise, 9, 1, 4), 9, 1, 4)
    first, second = torch.tensor([[-0.2, 1.0, 4.0]]), torch.tensor([[0.1, 2.0, -3.0]])
    twice, once = moved_by(moved_by(image, second), first), moved_by(image, after(second, first))
    inside = np.s_[0, 0, 24:-24, 24:-24]
    assert torch.allclose(twice[inside], once[inside], atol=0.1 * float(image[inside].std()))
    assert torch.allclose(after(inverse(first), first), torch.zeros(1, 3), atol=1e-6)


# losses --------------------------------------------------------------------------------------------------


def test_the_interval_that_costs_least_leaves_five_percent_outside_at_each_end():
    truth = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (1, 1, 200, 200)).astype(np.float32))
    weight, mean = torch.ones_like(truth), torch.zeros_like(truth)

    def cost(low: float, high: float) -> float:
        return float(pinball(Prediction(mean, mean + low, mean + high), truth, weight))

    ends = np.linspace(0.8, 2.5, 35)
    best = (
        ends[np.argmin([cost(1.0, end) for end in ends])],
        ends[np.argmin([cost(end, 1.0) for end in ends])],
    )
    assert best == pytest.approx((1.645, 1.645), abs=0.08)


def test_the_loss_has_the_papers_terms_and_gradients_reach_everything(batches):
    network = tiny()
    found = terms(network, batches[0])
    assert set(found) == {"fused", "own", "interval", "variance", "motion"}
    sum(found.values()).backward()
    without = [name for name, p in network.named_parameters() if p.grad is None]
    assert without == []
    single = {**vars(batches[0]), "seen": {"T1": batches[0].seen["T1"]}, "motion": {}}
    assert set(terms(network, type(batches[0])(**single))) == {"fused", "interval"}


# loop ----------------------------------------------------------------------------------------------------


def test_training_learns_and_writes_pictures_and_a_history(batches, tmp_path):
    recipe = ModalityInvariant(tiny(), rate=5e-3)
    done = fit(recipe, batches * 30, batches[:2], Budget(90), tmp_path, context=Context())
    assert done["steps"] == 90
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 90

    def missed(network: nn.Module) -> float:
        with torch.no_grad():
            return sum(float(terms(network, batch)["fused"]) for batch in batches)

    assert missed(recipe.networks["generator"]) < 0.8 * missed(tiny())
    assert (tmp_path / "validation.png").stat().st_size > 1000


def test_a_training_that_was_stopped_goes_on_where_it_was(batches, tmp_path):
    stop = SimpleNamespace(at=12, seen=0)

    def cancelled() -> bool:
        stop.seen += 1
        return stop.seen > stop.at

    with pytest.raises(Cancelled):
        fit(
            ModalityInvariant(tiny()),
            batches * 9,
            [],
            Budget(40),
            tmp_path,
            context=Context(cancelled=cancelled),
        )
    reached = torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"]
    assert 5 < reached < 40
    told: list[tuple[float, str]] = []
    after = Context(on_progress=lambda fraction, left, text: told.append((fraction, text)))
    done = fit(ModalityInvariant(tiny()), batches * 9, [], Budget(40), tmp_path, context=after)
    assert done["steps"] == 40 and told[0][1].startswith(f"Step {reached + 1}:")
    assert told[0][0] == 0  # the time left is of what is left


def test_a_training_whose_rate_had_decayed_learns_again_when_its_budget_grows(batches, tmp_path):
    fit(ModalityInvariant(tiny()), batches * 5, [], Budget(5), tmp_path)
    recipe = ModalityInvariant(tiny())
    fit(recipe, batches * 10, [], Budget(10), tmp_path)
    rates = [group["lr"] for group in recipe.optimizers["generator"].param_groups]
    assert rates == pytest.approx([1e-3 * recipe.decay(0.9)])


def test_a_checkpoint_of_another_model_is_refused(batches, tmp_path):
    fit(ModalityInvariant(tiny()), batches[:1], [], Budget(1), tmp_path)
    with pytest.raises(InputError, match="no checkpoint of this model"):
        fit(ModalityInvariant(Multimodal(["T1", "T2"], ["FLAIR"], 3, 2, 2)), batches, [], Budget(5), tmp_path)
    (tmp_path / CHECKPOINT).write_bytes(b"cut short")
    with pytest.raises(InputError, match="no checkpoint of this model"):
        fit(ModalityInvariant(tiny()), batches, [], Budget(5), tmp_path)


def test_a_full_disk_leaves_the_checkpoint_that_was_there(tmp_path):
    """A limit on file size stands for the full disk: the write fails in the middle either way."""
    program = (
        "import sys, torch; from pathlib import Path; from types import SimpleNamespace\n"
        "from mrinr.training.loop import Budget, fit\n"
        "network = torch.nn.Linear(300, 300)\n"
        "recipe = SimpleNamespace(networks={'generator': network}, "
        "optimizers={'generator': torch.optim.Adam(network.parameters())})\n"
        "fit(recipe, [], [], Budget(1), Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    subprocess.run(command, check=True)
    (checkpoint,) = (path for path in tmp_path.iterdir() if path.name == CHECKPOINT)
    before = checkpoint.read_bytes()
    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True)
    assert "InputError" in done.stderr and "checkpoint.pt cannot be written (" in done.stderr
    assert checkpoint.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} <= {CHECKPOINT, HISTORY}


def test_a_killed_process_told_of_while_saving_costs_no_checkpoint(batches, tmp_path, monkeypatch):
    """torch raises it once, from a signal's handler, wherever Python is; a pipe to that process breaks."""
    loop = import_module("mrinr.training.loop")
    told = []

    def write_bytes(*asked) -> None:
        if not told:
            told.append("killed")
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")
        files.write_bytes(*asked)

    def broken():
        yield from batches[:2]
        raise ConnectionResetError

    monkeypatch.setattr(loop, "write_bytes", write_bytes)
    with pytest.raises(RuntimeError) as caught:
        fit(ModalityInvariant(tiny()), broken(), [], Budget(5), tmp_path)
    assert loop.told_of_killed(caught.value) and loop.told_of_killed(caught.value.__context__)
    assert reached(tmp_path) == 2


@pytest.mark.parametrize("error", [RuntimeError, EOFError])
def test_what_a_process_that_draws_images_raises_is_not_taken_for_its_death(error):
    class Failing(torch.utils.data.IterableDataset):
        def __iter__(self):
            raise error("a fault of ours")

    with pytest.raises(error) as caught:
        next(iter(torch.utils.data.DataLoader(Failing(), batch_size=None, num_workers=1)))
    assert not import_module("mrinr.training.loop").told_of_killed(caught.value)


def test_a_training_that_diverges_says_so(batches, tmp_path):
    network = tiny()
    nn.init.constant_(network.encoders["T1"].last[0].weight, float("nan"))
    with pytest.raises(InputError, match="diverged"):
        fit(ModalityInvariant(network), batches, [], Budget(5), tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_takes_a_step_and_predicts(kind, maps):
    inputs, targets = ("T1", "T2"), ("brain",) if kind == "brain" else ("FLAIR",)
    recipe, _, _ = build(kind, "compact", inputs, targets)
    wanted = KINDS[kind].wanted(inputs, targets)
    arguments = {"batch": 1, "pool": 1} | ({} if KINDS[kind].stream else {"size": SIZE})
    batch = next(iter(KINDS[kind].batches(Source(tuple(maps[:1])), wanted, 0, **arguments)))
    from accelerate import Accelerator

    losses = recipe.step(batch, Accelerator(cpu=True))
    assert np.isfinite(list(losses.values())).all()
    target = next(iter(batch.clean))
    with torch.no_grad():
        found = recipe.predict(recipe.networks["generator"].eval(), batch, target).mean
    assert found.shape == batch.clean[target].shape
    assert recipe.decay(0.0) <= 1.1 and 0 <= recipe.decay(1.0) < 0.2


def test_train_makes_a_model_that_can_be_used_and_says_what_it_was_trained_on(maps, tmp_path, monkeypatch):
    monkeypatch.setattr(import_module("mrinr.training.train"), "JUDGED", 6)
    presets = {
        "compact": ({"width": 2, "decoder_width": 2, "latent": 2}, {"size": SIZE, "batch": 1, "pool": 1})
    }
    monkeypatch.setitem(KINDS, "multimodal", type(KINDS["multimodal"])(
        KINDS["multimodal"].recipe, presets, KINDS["multimodal"].wanted))  # fmt: skip
    asked = {"inputs": ("T1", "T2"), "targets": ("FLAIR",), "held_out": ("b",), "device": "cpu", "threads": 1}
    folders, work = [maps[0].parent], tmp_path / "work"
    made = train("multimodal", folders, tmp_path / "model", steps=3, work=work, **asked)
    assert made.inputs == ("T1", "T2") and made.targets == ("FLAIR",)
    assert "a)" in made.card and "constant" in made.card
    metrics = made.facts["metrics"]["FLAIR"]
    assert metrics["linear"] >= metrics["constant"] - 0.01  # floors are fits, a constant among them
    assert len(made.facts["calibration"]["FLAIR"]["factors"]) == 8
    with pytest.raises(InputError, match="There is no 'c'"):
        train("multimodal", folders, tmp_path / "other", held_out=("c",))
    last = train("multimodal", folders, tmp_path / "last", steps=40, work=work, **asked)
    mean = train(
        "multimodal", folders, tmp_path / "mean", steps=40, work=work, average=made.folder, **asked
    )  # fmt: skip
    first, second, both = (each.network().state_dict() for each in (made, last, mean))
    for name, weights in both.items():  # kept in half precision
        torch.testing.assert_close(weights, (first[name] + second[name]) / 2, rtol=1e-3, atol=3e-4)
    assert any((first[name] - both[name]).abs().max() > 6e-4 for name in both)
    assert "Mean with its weights after 3 steps" in mean.card
    with pytest.raises(InputError, match="of another kind or size"):
        train("multimodal", folders, tmp_path / "other", average="brain-compact", **asked)


def test_a_killed_process_that_draws_images_is_named_and_training_goes_on(maps, tmp_path, monkeypatch):
    monkeypatch.setattr(import_module("mrinr.training.train"), "JUDGED", 2)
    before, killed = psutil.Process().children(recursive=True), []

    def kill(fraction: float, left: float | None, text: str) -> None:
        if text.startswith("Step") and not killed:
            killed.extend(c for c in psutil.Process().children(recursive=True) if c not in before)
            for process in killed:
                process.kill()
            psutil.wait_procs(killed)  # torch speaks up here, or at the next batch

    asked = {"held_out": ("b",), "device": "cpu", "threads": 1, "work": tmp_path / "work"}
    with pytest.raises(InputError, match=r"^A process that drew training images was killed, .*; run"):
        train("prior", [maps[0].parent], tmp_path / "m", steps=60, context=Context(on_progress=kill), **asked)
    steps = reached(asked["work"])
    assert killed and 0 < steps < 60
    made = train("prior", [maps[0].parent], tmp_path / "model", steps=steps + 1, **asked)
    assert made.facts["training"]["steps"] == steps + 1


def test_a_map_that_is_cut_short_is_named_in_one_sentence(maps, tmp_path):
    folder = tmp_path / "maps"
    shutil.copytree(maps[0].parent, folder)
    cut = folder / "a.nii.gz"
    cut.write_bytes(cut.read_bytes()[:500])
    with pytest.raises(InputError, match=r"a\.nii\.gz") as caught:
        train("prior", [folder], tmp_path / "m", steps=2, held_out=("b",), device="cpu", threads=1)
    assert "Traceback" not in str(caught.value) and "\n" not in str(caught.value)


# fine-tuning ---------------------------------------------------------------------------------------------


def test_fine_tuning_changes_one_decoder_and_helps_on_slices_kept_apart(tmp_path, made_once, monkeypatch):
    shelf = made_once("small_models", small_models.make)
    monkeypatch.setenv(small_models.SHELF, str(shelf))
    monkeypatch.setattr(bundles, "_shipped_folders", small_models.on_the_shelf)
    shape = (84, 92, 44)
    affine = small_models.centred(np.eye(3), (1.0, 1.0, 2.0), shape)
    case = {name: small_models.head(name, affine, shape) for name in ("T1", "T2", "FLAIR")}
    before = bundles.find("multimodal-compact")
    with pytest.raises(InputError, match="has no FLAIR"):
        finetune(before, [{"T1": case["T1"]}], tmp_path / "x", "FLAIR")
    with pytest.raises(InputError, match="nothing beside FLAIR"):
        finetune(before, [{"FLAIR": case["FLAIR"]}], tmp_path / "x", "FLAIR")
    with pytest.raises(InputError, match="cannot be fine-tuned"):
        finetune(bundles.find("brain-compact"), [case], tmp_path / "x", "FLAIR")
    after, report = finetune(
        before, [case], tmp_path / "mine", "FLAIR", steps=80, device="cpu", threads=1, context=Context()
    )
    assert report["after"]["psnr"] > report["before"]["psnr"]
    assert report["cases"] == 1 and "slices kept apart" in report["text"]
    assert "fine-tuned on 1 patient" in after.facts["training"]["data"]
    assert after.facts["taught"] == ["FLAIR"] and "taught" not in before.facts
    old, new = (bundle.network().state_dict() for bundle in (before, after))
    changed = {
        name.split(".")[0] + "." + name.split(".")[1] for name in old if not torch.equal(old[name], new[name])
    }
    assert changed == {"decoders.FLAIR"}
    ratio = expected(after.facts["normalisation"]["levels"], "FLAIR", {"T1": 1.0})
    assert ratio == pytest.approx(small_models.MEDIANS["FLAIR"] / small_models.MEDIANS["T1"], rel=0.25)
