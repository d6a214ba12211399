"""Model folders: what is saved is what is loaded, MONAI can read it, and nothing that is damaged gets in."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from model_folders import ARGUMENTS, CARD, FACTS, change_metadata, put, small_network

from mrinr import bundles
from mrinr.cli import main
from mrinr.errors import InputError

WEIGHTS = "models/model.safetensors"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "good"
    bundles.save(folder, small_network(), "multimodal", ARGUMENTS, FACTS, CARD)
    return folder


@pytest.fixture
def copy(good, tmp_path):
    return Path(shutil.copytree(good, tmp_path / "model"))


def test_a_saved_network_comes_back_as_it_was_in_half_precision(good):
    before, bundle = small_network(), bundles.find(good)
    after = bundle.network()
    assert not after.training and type(after) is type(before)
    for name, value in before.state_dict().items():
        loaded = after.state_dict()[name]
        assert loaded.dtype == torch.float32
        torch.testing.assert_close(loaded, value.half().float(), rtol=0, atol=0)
    assert bundle.name == "good" and bundle.architecture == "multimodal"
    assert bundle.inputs == ("T1", "T2") and bundle.targets == ("FLAIR",)
    assert bundle.card == CARD
    assert bundle.sha256 == hashlib.sha256((good / WEIGHTS).read_bytes()).hexdigest()
    assert bundle.facts["training"] == FACTS["training"]


def test_the_folder_is_what_the_monai_specification_describes(good):
    from monai.bundle import ConfigParser
    from monai.bundle.properties import MetaProperties
    from monai.utils import BundleProperty

    found = ConfigParser.load_config_file(good / "configs/metadata.json")
    # "The mandatory keys are as follows", and what the schema of 2024-07-25 requires besides
    required = {"version", "monai_version", "pytorch_version", "numpy_version", "task", "description",
                "authors", "copyright", "network_data_format"}  # fmt: skip
    required |= {"schema", "required_packages_version"}
    required |= {
        value["id"].split("::")[-1]
        for value in MetaProperties.values()
        if value[BundleProperty.REQUIRED] and "id" in value
    }
    assert required <= set(found)
    # "a dictionary containing at least these keys"
    tensor = {"type", "format", "modality", "num_channels", "spatial_shape", "dtype", "value_range",
              "is_patch_data", "channel_def"}  # fmt: skip
    for side, names in (("inputs", {"T1", "T2"}), ("outputs", {"FLAIR"})):
        described = found["network_data_format"][side]
        assert set(described) == names
        assert all(set(each) == tensor for each in described.values())
    assert {str(p.relative_to(good)) for p in good.rglob("*") if p.is_file()} == {
        "configs/metadata.json",
        WEIGHTS,
        "docs/README.md",
        "LICENSE",
    }


def test_the_weights_can_be_read_by_anybody(good):
    from safetensors import safe_open

    with safe_open(good / WEIGHTS, framework="pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("multimodal", ARGUMENTS),
        ("local-inr", {"inputs": ["T1", "T2"], "targets": ["FLAIR"], "hyper_width": 8, "mlp_width": 4}),
        ("pix2pix", {"inputs": ["T1", "T2"], "targets": ["FLAIR"], "width": 4}),
        ("brain", {"width": 4, "levels": 3}),
        ("recogniser", {"width": 4}),
        ("intensities", {"width": 4, "summary": 4}),
    ],
)
def test_every_architecture_can_be_saved_and_loaded(name, arguments, tmp_path):
    from importlib import import_module

    module, kind = bundles.ARCHITECTURES[name].split(":")
    network = getattr(import_module(module), kind)(**arguments)
    saved = bundles.save(tmp_path / name, network, name, arguments, FACTS, CARD)
    assert sum(p.numel() for p in saved.network().parameters()) == sum(
        p.numel() for p in network.parameters()
    )


def test_a_folder_with_something_in_it_is_not_replaced(good, tmp_path):
    put(tmp_path / "taken", "notes.txt", b"mine")
    for taken in (tmp_path / "taken", tmp_path / "taken" / "notes.txt", tmp_path / "taken/notes.txt/deeper"):
        with pytest.raises(InputError):
            bundles.save(taken, small_network(), "multimodal", ARGUMENTS, FACTS, CARD)
    assert [p.name for p in (tmp_path / "taken").rglob("*")] == ["notes.txt"]
    assert list(tmp_path.iterdir()) == [tmp_path / "taken"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"facts": {**FACTS, "training": {**FACTS["training"], "seed": "seven"}}},
        {"facts": {**FACTS, "metrics": {"psnr": float("nan")}}},
        {"facts": {key: FACTS[key] for key in FACTS if key != "intended_use"}},
        {"architecture": "transformer"},
        {"arguments": {**ARGUMENTS, "width": 3}},
        {"arguments": {**ARGUMENTS, "depth": 3}},
    ],
)
def test_what_could_not_be_loaded_is_not_saved(wrong, tmp_path):
    given = {"architecture": "multimodal", "arguments": ARGUMENTS, "facts": FACTS, **wrong}
    with pytest.raises(InputError):
        bundles.save(tmp_path / "model", small_network(), card=CARD, **given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_weights_that_half_precision_cannot_hold_are_not_saved(value, tmp_path):
    network = small_network()
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] = value
    with pytest.raises(InputError, match="half precision"):
        bundles.save(tmp_path / "model", network, "multimodal", ARGUMENTS, FACTS, CARD)


# What can be wrong with a model folder, and how it gets that way.


def flipped(name: str, where: float) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[int(where * len(data))] ^= 1
        (folder / name).write_bytes(data)

    return damage


def removed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def cut(name: str) -> Callable[[Path], None]:
    return lambda folder: put(folder, name, (folder / name).read_bytes()[:-100])


def replaced(data: Callable[[], bytes], name: str = WEIGHTS) -> Callable[[Path], None]:
    """Another file in its place, and the hash set right: somebody did it on purpose."""

    def damage(folder: Path) -> None:
        content = data()
        put(folder, name, content)
        digest = hashlib.sha256(content).hexdigest()
        change_metadata(folder, lambda found: found["files"].update({name: digest}))

    return damage


def field(key: str, value: object, part: str = "mrinr") -> Callable[[Path], None]:
    def damage(found: dict) -> None:
        (found[part] if part else found)[key] = value

    return lambda folder: change_metadata(folder, damage)


def training(key: str, value: object) -> Callable[[Path], None]:
    return lambda folder: change_metadata(
        folder, lambda found: found["mrinr"]["training"].update({key: value})
    )


def levels(**changed: object) -> Callable[[Path], None]:
    return lambda folder: change_metadata(
        folder, lambda found: found["mrinr"]["normalisation"]["levels"].update(changed)
    )


def without(key: str, part: str = "mrinr") -> Callable[[Path], None]:
    return lambda folder: change_metadata(folder, lambda found: (found[part] if part else found).pop(key))


def text(content: str) -> Callable[[Path], None]:
    return lambda folder: put(folder, "configs/metadata.json", content.encode())


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return open, (self.path, "w")


def torch_file() -> bytes:
    stream = io.BytesIO()
    torch.save(small_network().state_dict(), stream)
    return stream.getvalue()


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[], bytes]:
    def data() -> bytes:
        from safetensors.torch import save

        found = {name: value.half() for name, value in small_network().state_dict().items()}
        change(found)
        return save(found)

    return data


FIRST = next(iter(small_network().state_dict()))
HEADER = b'{"a":{"dtype":"F16","shape":[9,9],"data_offsets":[0,162]}}'

DAMAGE: dict[str, Callable[[Path], None]] = {
    "a flipped bit in the weights": flipped(WEIGHTS, 0.7),
    "a flipped bit in the weights' header": flipped(WEIGHTS, 0.001),
    "a flipped bit in the card": flipped("docs/README.md", 0.5),
    "a flipped bit in the licence": flipped("LICENSE", 0.5),
    "truncated weights": cut(WEIGHTS),
    "no weights": removed(WEIGHTS),
    "no card": removed("docs/README.md"),
    "no licence": removed("LICENSE"),
    "no metadata": removed("configs/metadata.json"),
    "empty weights": replaced(lambda: b""),
    "targets taught that are a number": field("taught", 3),
    "targets taught that are one name": field("taught", "FLAIR"),
    "a pickle in place of safetensors": replaced(lambda: pickle.dumps({"weight": [1.0]})),
    "an old pickle": replaced(lambda: pickle.dumps({"weight": [1.0]}, protocol=0)),
    "a torch file in place of safetensors": replaced(torch_file),
    "text in place of safetensors": replaced(lambda: b"these are no weights" * 9),
    "a header without tensors": replaced(lambda: len(HEADER).to_bytes(8, "little") + HEADER),
    "a header of any length": replaced(lambda: b"\xff" * 64),
    "a tensor too few": replaced(tensors(lambda found: found.pop(FIRST))),
    "a tensor too many": replaced(tensors(lambda found: found.update(more=torch.ones(1)))),
    "a tensor of another shape": replaced(tensors(lambda found: found.update({FIRST: torch.ones(3)}))),
    "a tensor of whole numbers": replaced(tensors(lambda found: found.update({FIRST: found[FIRST].long()}))),
    "a weight that is not a number": replaced(
        tensors(lambda found: found[FIRST].view(-1)[0].fill_(torch.nan))
    ),
    "an infinite weight": replaced(tensors(lambda found: found[FIRST].view(-1)[0].fill_(torch.inf))),
    "metadata that are no JSON": text("{'version': 1}"),
    "metadata that are a list": text("[]"),
    "metadata that are empty": text(""),
    "metadata that are no text": lambda folder: put(folder, "configs/metadata.json", b"\xff\xfe\x00"),
    "metadata nested without end": text("[" * 100_000),
    "metadata with a number that is too large": field("metrics", {"psnr": float("inf")}),
    "an unknown architecture": field("architecture", "transformer"),
    "an architecture that names a module": field("architecture", "os:system"),
    "an architecture that is a list": field("architecture", ["multimodal"]),
    "a later format": field("format", 2),
    "a format that is text": field("format", "1"),
    "a format that is true": field("format", True),
    "arguments that the class does not take": field("arguments", {**ARGUMENTS, "depth": 3}),
    "arguments that it needs and lacks": field("arguments", {"width": 2}),
    "arguments of another type": field("arguments", {**ARGUMENTS, "width": "wide"}),
    "arguments that are a list": field("arguments", [1, 2]),
    "a width below one": field("arguments", {**ARGUMENTS, "width": 0}),
    "a width that no memory holds": field("arguments", {**ARGUMENTS, "width": 10_000_000}),
    "another width": field("arguments", {**ARGUMENTS, "width": 4}),
    "inputs that the network does not have": field("inputs", ["T1", "PD"]),
    "targets that the network does not have": field("targets", ["DWI"]),
    "inputs in one text": field("inputs", "T1"),
    "no inputs": field("inputs", []),
    "inputs that are numbers": field("inputs", [1, 2]),
    "inputs that are not different": field("inputs", ["T1", "T1"]),
    "an input with an odd name": field("inputs", ["../T1"]),
    "targets that are missing": without("targets"),
    "no spacing": field("spacing_mm", []),
    "a negative spacing": field("spacing_mm", [1, -1]),
    "training that is text": field("training", "for long"),
    "a seed that is text": training("seed", "0"),
    "hours that are text": training("hours", "two"),
    "data that are missing": training("data", ""),
    "statistics that are a list": field("statistics", []),
    "normalisation that is text": field("normalisation", "the brain's median is 1"),
    "no brightness": field("normalisation", {}),
    "no brightness of the target": levels(names=["T1", "T2", "PD"]),
    "no brightness of an input": levels(names=["FLAIR", "T1", "PD"]),
    "brightnesses that are text": levels(mean=["1", "2", "3"]),
    "too few brightnesses": levels(mean=[1.0, 2.0]),
    "brightnesses without their spread": levels(covariance=None),
    "brightnesses with too little spread": levels(covariance=[[1.0], [0.0], [0.0]]),
    "brightnesses in a list": field("normalisation", {"levels": [1]}),
    "a calibration that is text": field("calibration", {"FLAIR": "good"}),
    "a calibration without edges": field("calibration", {"FLAIR": {"edges": [], "factors": [1]}}),
    "a calibration without factors": field("calibration", {"FLAIR": {"edges": [1]}}),
    "a calibration with too few factors": field("calibration", {"FLAIR": {"edges": [1], "factors": [1]}}),
    "a calibration in disorder": field("calibration", {"FLAIR": {"edges": [2, 1], "factors": [1, 1, 1]}}),
    "a negative interval": field("calibration", {"FLAIR": {"edges": [1], "factors": [1, -1]}}),
    "a calibration of words": field("calibration", {"FLAIR": {"edges": ["a"], "factors": [1, 1]}}),
    "no version": without("version", ""),
    "a version that is a number": field("version", 1, ""),
    "no description of the network's data": without("network_data_format", ""),
    "no hashes": field("files", {}, ""),
    "hashes that are a list": field("files", [], ""),
    "no hash of the weights": without(WEIGHTS, "files"),
    "a hash that is none": field(WEIGHTS, "abc", "files"),
    "a hash that is a number": field(WEIGHTS, 5, "files"),
    "a file outside the folder": field("../secret", "0" * 64, "files"),
    "a file deep outside the folder": field("docs/../../secret", "0" * 64, "files"),
    "an absolute path": field("/etc/passwd", "0" * 64, "files"),
    "a path of Windows": field("..\\secret", "0" * 64, "files"),
    "a drive of Windows": field("C:secret", "0" * 64, "files"),
    "a name that cannot be": field("docs/a\0b", "0" * 64, "files"),
    "a folder in place of a file": field("docs", "0" * 64, "files"),
    "a file that is listed and not there": field("docs/more.md", "0" * 64, "files"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_model_is_refused_in_one_sentence(case, copy):
    DAMAGE[case](copy)
    with pytest.raises(InputError) as refused:
        bundles.find(copy).network()
    sentence = str(refused.value)
    assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 500, sentence


def test_nothing_is_unpickled(copy, tmp_path):
    mark = tmp_path / "mark"
    replaced(lambda: pickle.dumps(Bomb(str(mark))))(copy)
    put(copy, "models/model.pt", pickle.dumps(Bomb(str(mark))))
    with pytest.raises(InputError, match="pickle"):
        bundles.find(copy)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Bomb(str(mark)))).close()
    assert mark.exists(), "the bomb itself must work"


def test_weights_that_change_after_the_check_are_noticed(copy):
    bundle = bundles.find(copy)
    flipped(WEIGHTS, 0.7)(copy)
    with pytest.raises(InputError, match="SHA-256"):
        bundle.network()


def test_a_header_that_begins_like_a_pickle_is_no_pickle(copy):
    """Its length in bytes begins with 0x80 when it is 128 more than a multiple of 256."""
    from safetensors.torch import save

    values = {name: value.half() for name, value in small_network().state_dict().items()}
    for padding in range(0, 300, 8):
        data = save(values, metadata={"x": " " * padding})
        if data[0] == 0x80:
            break
    assert data[0] == 0x80
    replaced(lambda: data)(copy)
    bundles.find(copy).network()


@pytest.mark.parametrize("name", ["no-such-model", "a" * 400, "LICENSE", ""])
def test_what_is_no_model_is_refused_in_one_sentence(name, tmp_path, monkeypatch):
    monkeypatch.chdir(put(tmp_path, "LICENSE", b"text").parent)
    with pytest.raises(InputError) as refused:
        bundles.find(name)
    assert str(refused.value).endswith(".")


# The shell


@pytest.fixture
def ship(good, tmp_path, monkeypatch):
    """Pretends that MRINR ships copies of the good model, under these names."""

    def pretend(*names: str) -> Path:
        folder = tmp_path / "shipped"
        for name in names:
            shutil.copytree(good, folder / name)
        monkeypatch.setattr("mrinr.bundles.resource", lambda *parts: folder)
        return folder

    return pretend


def test_models_lists_what_is_there(ship, capsys):
    ship("one", "two")
    assert main(["models"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "inputs", "targets", "size", "trained", "on"]
    assert [row.split()[0] for row in rows] == ["one", "two"]
    assert "T1 T2" in rows[0] and "FLAIR" in rows[0] and FACTS["training"]["data"] in rows[0]
    assert [b.name for b in bundles.shipped()] == ["one", "two"] and bundles.find("two").name == "two"


def test_models_show_prints_the_card_and_nothing_that_steers_a_terminal(good, tmp_path, capsys):
    assert main(["models", "show", str(good)]) == 0
    assert capsys.readouterr().out.strip() == CARD.strip()
    bundles.save(tmp_path / "odd", small_network(), "multimodal", ARGUMENTS, FACTS, "a\x1b[2Jcard")
    assert main(["models", "show", str(tmp_path / "odd")]) == 0
    assert capsys.readouterr().out.strip() == "a[2Jcard"


def test_models_verify_reports_all_and_fails_with_the_first_bad_one(ship, tmp_path, capsys):
    folder = ship("one", "three", "two")
    assert main(["models", "verify"]) == 0
    assert capsys.readouterr().out.count("intact") == 3
    flipped(WEIGHTS, 0.7)(folder / "one")
    removed("docs/README.md")(folder / "two")
    assert main(["models", "verify", "--json", str(tmp_path / "report.json")]) == 2
    out, err = capsys.readouterr()
    one, three, two = out.splitlines()
    assert "SHA-256" in one and "intact" in three and "missing" in two
    assert len(err.splitlines()) == 1 and "SHA-256" in err
    assert not (tmp_path / "report.json").exists()


def test_models_says_more_in_its_report(good, tmp_path):
    report = tmp_path / "report.json"
    assert main(["models", "verify", str(good), "--quiet", "--json", str(report)]) == 0
    (model,) = json.loads(report.read_text())["models"]
    assert model["weights_sha256"] == bundles.find(good).sha256
    assert model["training"]["command"] == FACTS["training"]["command"]


def test_what_ships_is_intact_small_and_says_where_it_comes_from():
    for bundle in bundles.shipped():
        found = bundles.find(bundle.name)
        found.network()
        assert found.size < 8e6
        for needed in ("Trained on", found.facts["training"]["command"], "not for diagnosis"):
            assert needed.lower() in found.card.lower()
