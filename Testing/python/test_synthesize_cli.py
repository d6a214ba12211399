"""`mrinr synthesize`, `train` and `finetune` from the shell: promised files, what they say of themselves."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import shell
from model_folders import ARGUMENTS, CARD, FACTS, small_network

from mrinr import bundles
from mrinr.cli import main
from mrinr.commands.finetune import table
from mrinr.provenance import ENHANCEMENT
from mrinr.resources import resource
from mrinr.synthesis import INPUTS
from mrinr.volume import Volume, read, write

needs_brain = pytest.mark.skipif(
    all(bundle.architecture != "brain" for bundle in bundles.shipped()), reason="no model of the brain ships"
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A head on two grids of coarse voxels, and a model that was never trained."""
    folder = tmp_path_factory.mktemp("head")
    head = read(resource("anatomy", "icbm152_t1.nii.gz"))
    for name, step, values in (
        ("T1", (2, 2, 2), head.voxels),
        ("T2", (2, 2, 4), (head.voxels.max() - head.voxels) * (head.voxels > 0)),
    ):
        part = tuple(slice(None, None, each) for each in step)
        write(Volume(values[part], head.affine @ np.diag([*step, 1.0])), folder / f"{name}.nii.gz")
    bundles.save(folder / "model", small_network(), "multimodal", ARGUMENTS, FACTS, CARD)
    return folder


def synthesize(files, out, *more: object) -> int:
    inputs = ["--input", f"T1={files / 'T1.nii.gz'}", "--input", f"t2={files / 'T2.nii.gz'}"]
    settings = ["--model", files / "model", "--register", "off", "--device", "cpu", "--quiet"]
    return main([*map(str, ["synthesize", *inputs, "--target", "FLAIR", "--out", out, *settings, *more])])


@needs_brain
def test_synthesize_writes_what_it_promised_and_nothing_else(files, tmp_path):
    out, uncertainty, report = (tmp_path / n for n in ("flair.nii.gz", "half.nrrd", "report.json"))
    assert synthesize(files, out, "--uncertainty", uncertainty, "--json", report) == 0
    names = ["flair.json", "flair.nii.gz", "half.json", "half.nrrd", "report.json"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    result, half, first = read(out), read(uncertainty), read(files / "T1.nii.gz")
    for volume in (result, half):
        assert volume.voxels.shape == first.voxels.shape
        assert np.allclose(volume.affine, first.affine, atol=1e-4)
        assert np.isfinite(volume.voxels).all() and volume.voxels.min() >= 0
    said = json.loads(report.read_text())
    assert said["command"] == "synthesize" and said["target"] == "FLAIR"
    assert said["parameters"]["register"] == "off"
    assert said["sequences"] == {"T1": "T1.nii.gz", "T2": "T2.nii.gz"}
    hashes = {each["name"]: each["sha256"] for each in said["inputs"]}
    for name in ("T1.nii.gz", "T2.nii.gz"):
        assert hashes[name] == hashlib.sha256((files / name).read_bytes()).hexdigest()
    assert said["weights_sha256"] == bundles.find(files / "model").sha256


@needs_brain
def test_every_output_says_that_it_is_synthetic(files, tmp_path):
    out, half = tmp_path / "new.nii.gz", tmp_path / "half.nii.gz"
    assert synthesize(files, out, "--uncertainty", half) == 0
    for name, kind in (("new", "result"), ("half", "uncertainty")):
        content = json.loads((tmp_path / f"{name}.json").read_text())
        made = content["MRINR"]
        assert made["kind"] == "synthesis" and made["notice"].startswith("SYNTHETIC")
        assert content["Description"] == made["notice"]
        assert made["target"] == "FLAIR" and made["map"] == kind
        assert made["inputs"] == {"T1": "T1.nii.gz", "T2": "T2.nii.gz"}
        assert made["weights_sha256"] == bundles.find(files / "model").sha256


def test_contrast_enhancement_carries_its_sentence_and_nothing_else_does():
    from mrinr.provenance import describe

    said = {target: describe("synthesis", "multimodal", {}, [], target)["notice"] for target in INPUTS}
    assert [target for target, notice in said.items() if ENHANCEMENT in notice] == ["T1ce"]
    assert "cannot be inferred from the inputs" in said["T1ce"]
    assert all(notice.startswith("SYNTHETIC") for notice in said.values())


@needs_brain
def test_like_names_the_input_whose_grid_is_taken(files, tmp_path):
    out = tmp_path / "flair.nii.gz"
    assert synthesize(files, out, "--like", "T2") == 0
    result, like = read(out), read(files / "T2.nii.gz")
    assert result.voxels.shape == like.voxels.shape and np.allclose(result.affine, like.affine, atol=1e-4)


@needs_brain
def test_the_same_command_gives_the_same_file(files, tmp_path):
    for name in ("a", "b"):
        assert synthesize(files, tmp_path / f"{name}.nrrd") == 0
    assert (tmp_path / "a.nrrd").read_bytes() == (tmp_path / "b.nrrd").read_bytes()


# Bad commands: one sentence, exit status 2, nothing written. The files themselves are the business of
# test_malformed_synthesis.py.

T1, T2 = "--input T1={files}/T1.nii.gz", "--input T2={files}/T2.nii.gz"
FLAIR = "--target FLAIR --out {out}/x.nii.gz"
SYNTHESIZE = {
    "no input": FLAIR,
    "no name": f"--input {{files}}/T1.nii.gz {FLAIR}",
    "no name before the sign": f"--input ={{files}}/T1.nii.gz {FLAIR}",
    "no file": f"--input T1= {FLAIR}",
    "unknown sequence": f"--input T3={{files}}/T1.nii.gz {FLAIR}",
    "unknown target": f"{T1} --target SWI --out {{out}}/x.nii.gz",
    "no target": f"{T1} --out {{out}}/x.nii.gz",
    "no out": f"{T1} --target FLAIR",
    "one sequence twice": f"{T1} --input t1={{files}}/T2.nii.gz {FLAIR}",
    "one file twice": f"{T1} --input T2={{files}}/T1.nii.gz {FLAIR}",
    "the target is an input": f"{T1} {T2} --target t1 --out {{out}}/x.nii.gz",
    "like something else": f"{T1} {FLAIR} --like T2",
    "like an unknown sequence": f"{T1} {FLAIR} --like best",
    "another ending": f"{T1} --target FLAIR --out {{out}}/x.png",
    "the uncertainty's ending": f"{T1} {FLAIR} --uncertainty {{out}}/y.mgz",
    "out is a folder": f"{T1} --target FLAIR --out {{out}}",
    "one name for both": f"{T1} {FLAIR} --uncertainty {{out}}/x.nrrd",
    "out is an input": f"{T1} --target FLAIR --out {{files}}/T1.nii.gz",
    "the uncertainty would lie on an input": f"{T1} {FLAIR} --uncertainty {{files}}/T1.nrrd",
    "registration maybe": f"{T1} {FLAIR} --register maybe",
    "a missing file": f"--input T1={{files}}/none.nii.gz {FLAIR}",
}
TRAIN = {
    "train: no kind": "train --data {files} --out {out}/new",
    "train: unknown kind": "train transformer --data {files} --out {out}/new",
    "train: no data": "train brain --out {out}/new",
    "train: no such folder": "train brain --data {files}/none --out {out}/new",
    "train: data is a file": "train brain --data {files}/T1.nii.gz --out {out}/new",
    "train: out is taken": "train brain --data {files} --out {files}/model",
    "train: out is a file": "train brain --data {files} --out {files}/T1.nii.gz",
    "train: out cannot be made": "train brain --data {files} --out /proc/nowhere/new",
    "train: no steps": "train brain --data {files} --out {out}/new --steps 0",
    "train: no time": "train brain --data {files} --out {out}/new --hours 0",
    "train: time is not a number": "train brain --data {files} --out {out}/new --hours nan",
    "train: unknown preset": "train brain --data {files} --out {out}/new --preset large",
    "train: unknown target": "train multimodal --data {files} --out {out}/new --target SWI",
    "train: unknown input": "train multimodal --data {files} --out {out}/new --inputs T1 SWI",
    "finetune: no such model": "finetune none --data {files} --out {out}/new",
    "finetune: no such folder": "finetune {files}/model --data {files}/none --out {out}/new",
    "finetune: out is taken": "finetune {files}/model --data {files} --out {files}",
    "finetune: out is the model": "finetune {files}/model --data {files} --out {files}/model",
    "finetune: no steps": "finetune {files}/model --data {files} --out {out}/new --steps=-1",
    "models: two to show": "models show a b",
    "models: none to show": "models show",
    "models: names to list": "models list a",
    "models: unknown action": "models remove a",
    "models: a folder that is none": "models verify {files}",
}
BAD = {**{f"synthesize: {case}": f"synthesize {line}" for case, line in SYNTHESIZE.items()}, **TRAIN}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_command_gets_one_sentence_and_leaves_nothing(case, files, tmp_path, capfd):
    argv = [part.format(files=files, out=tmp_path) for part in BAD[case].split(" ")]
    before = {path: path.stat().st_mtime_ns for path in files.rglob("*") if path.is_file()}
    capfd.readouterr()
    assert main(argv) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("mrinr: ") and line.endswith("."), line
    assert list(tmp_path.iterdir()) == []
    assert {path: path.stat().st_mtime_ns for path in files.rglob("*") if path.is_file()} == before


def test_training_without_its_packages_says_what_to_install(files, tmp_path):
    code = (
        "import sys\n"
        "from importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec\n"
        "without = lambda cls, name, *rest: None if name == 'monai' else find(name, *rest)\n"
        "PathFinder.find_spec = classmethod(without)\n"
        "from mrinr.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    argv = [sys.executable, "-c", code, "train", "brain", "--data", files, "--out", tmp_path / "new"]
    done = subprocess.run(list(map(str, argv)), env=shell.environment(), capture_output=True, text=True)
    assert done.stderr == "mrinr: Training needs the extra packages: pip install 'mrinr[train]'.\n"
    assert done.returncode == 2 and list(tmp_path.iterdir()) == []


def test_what_can_be_trained_is_what_training_knows():
    from mrinr.commands.train import KINDS
    from mrinr.training import kinds

    assert set(KINDS) == set(kinds.KINDS) == set(bundles.ARCHITECTURES)


def test_fine_tuning_ends_with_a_table():
    scores = {"before": {"psnr": 21.456, "ssim": 0.8}, "after": {"psnr": 23, "ssim": 0.8512}, "linear": None}
    assert table({**scores, "cases": 2}).splitlines() == [
        "                PSNR    SSIM",
        "before         21.46   0.800",
        "after          23.00   0.851",
    ]
