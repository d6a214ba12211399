"""`mrinr contrast` from the shell: promised files or none, and one sentence for everything that is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

import small_contrast
from small_contrast import T1, T2, scan
from small_models import centred
from test_malformed_inputs import cut, judge, noise

from mrinr import bundles
from mrinr.cli import main
from mrinr.volume import Volume, read, write

SHAPE = (46, 50, 46)
AFFINE = centred(np.eye(3), 1.8, SHAPE)


@pytest.fixture(scope="module", autouse=True)
def shelf(made_once):
    folder = made_once("small_contrast", small_contrast.make)
    changed = pytest.MonkeyPatch()
    changed.setenv(small_contrast.SHELF, str(folder))
    changed.setattr(bundles, "_shipped_folders", small_contrast.on_the_shelf)
    yield folder
    changed.undo()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A T2 without sidecar, a T1 with one (seconds), and what is no scan."""
    folder = tmp_path_factory.mktemp("scans")
    write(scan(T2, AFFINE, SHAPE), folder / "t2.nii.gz")
    write(scan(T1, AFFINE, SHAPE), folder / "t1.nii.gz")
    (folder / "t1.json").write_text(json.dumps({"RepetitionTime": 0.6, "EchoTime": 0.01}))
    (folder / "cut.nii.gz").write_bytes(cut(folder / "t2.nii.gz"))
    write(Volume(100 * noise(30, 30, 30), np.diag([2.0, 2.0, 2.0, 1.0])), folder / "noise.nii.gz")
    for name, content in (
        ("half", {"RepetitionTime": 5.0}),
        ("ms", {"RepetitionTime": 5000, "EchoTime": 100}),
    ):
        write(scan(T2, AFFINE, SHAPE), folder / f"{name}.nii.gz")
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def run(*arguments: object) -> int:
    return main(["contrast", "--device", "cpu", "--register", "off", "--quiet", *map(str, arguments)])


def test_it_writes_what_it_promised_and_nothing_else(files, tmp_path):
    out, half, report = (tmp_path / name for name in ("flair.nii.gz", "half.nrrd", "report.json"))
    sources = ("--input", f"{files / 't2.nii.gz'}:5000,100", "--input", files / "t1.nii.gz")
    assert run(*sources, "--to", "FLAIR", "--out", out, "--uncertainty", half, "--json", report) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "flair.json", "flair.nii.gz", "half.json", "half.nrrd", "report.json",
    ]  # fmt: skip
    first = read(files / "t2.nii.gz")
    for path in (out, half):
        assert read(path).grid.same_as(first.grid) and np.isfinite(read(path).voxels).all()
    said = json.loads(report.read_text())
    assert said["target"] == {"name": "FLAIR", "TR": 9000, "TE": 120, "TI": 2350}
    assert [(each["name"], each["TR"], each["TE"]) for each in said["sources"]] == [
        ("t2.nii.gz", 5000, 100), ("t1.nii.gz", 600, 10),
    ]  # fmt: skip
    made = json.loads(out.with_name("flair.json").read_text())["MRINR"]
    assert made["kind"] == "synthesis" and made["notice"].startswith("SYNTHETIC")
    assert made["target"]["TI"] == 2350 and made["times"][1]["TE"] == 10 and made["map"] == "result"
    assert made["weights_sha256"] == bundles.find("crl-compact").sha256


def test_times_outside_the_box_are_a_warning(files, tmp_path, capfd):
    arguments = [
        "contrast",
        "--input",
        f"{files / 't2.nii.gz'}:5000,100",
        "--to",
        "9000,300",
        "--device",
        "cpu",
    ]
    assert main([*arguments, "--out", str(tmp_path / "late.nii.gz")]) == 0
    assert (
        "Warning: TE 300 ms of the target lies outside what the model was trained on"
        in capfd.readouterr().err
    )


# What is typed ({f} is the folder of files; --to T1 where no other is given), and words of the sentence.
CASES = {
    "no input": ("", "No input was given"),
    "missing file": ("--input {f}/none.nii.gz:5000,100", "does not exist"),
    "truncated file": ("--input {f}/cut.nii.gz:5000,100", "truncated"),
    "no times anywhere": ("--input {f}/t2.nii.gz", "TR and TE of t2.nii.gz are not known"),
    "half a sidecar": ("--input {f}/half.nii.gz", "TE of half.nii.gz is not known"),
    "sidecar in ms": ("--input {f}/ms.nii.gz", "milliseconds where BIDS has seconds"),
    "seconds": ("--input {f}/t2.nii.gz:5,0.1", "looks like seconds"),
    "zero TR": ("--input {f}/t2.nii.gz:0,100", "must be above 0"),
    "negative TE": ("--input {f}/t2.nii.gz:5000,-100", "must be above 0"),
    "negative TI": ("--input {f}/t2.nii.gz:5000,100,-1", "must not be negative"),
    "TE > TR": ("--input {f}/t2.nii.gz:100,5000", "longer than its TR"),
    "TI > TR": ("--input {f}/t2.nii.gz:5000,100 --to 600,10,900", "longer than its TR"),
    "TI + 2 TE > TR": ("--input {f}/t2.nii.gz:5000,100 --to 2000,100,1900", "cannot be played"),
    "no numbers": ("--input {f}/t2.nii.gz:a,b", "no number"),
    "one number": ("--input {f}/t2.nii.gz:5000", "neither TR,TE,TI"),
    "unknown preset": ("--input {f}/t1.nii.gz --to T9", "neither TR,TE,TI"),
    "unknown tissue": ("--input {f}/t1.nii.gz --to 9000,100,null:bone", "no tissue that can be nulled"),
    "twice": ("--input {f}/t1.nii.gz --input {f}/t1.nii.gz", "given twice"),
    "no brain": ("--input {f}/noise.nii.gz:5000,100", ""),
    "no such model": ("--input {f}/t1.nii.gz --model none", "no model 'none'"),
    "a model of brains": ("--input {f}/t1.nii.gz --model brain-compact", "knows no TR, TE and TI"),
    "over the input": ("--input {f}/t1.nii.gz --out {f}/t1.nrrd", "would replace"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gets_one_sentence_and_status_2_and_leaves_nothing(case, files, tmp_path, capfd):
    typed, words = CASES[case]
    arguments = ["--to", "T1", "--out", tmp_path / "out.nii.gz", *typed.format(f=files).split()]
    before = {*tmp_path.rglob("*"), *files.rglob("*")}
    capfd.readouterr()
    status = run(*arguments)
    said = capfd.readouterr()
    if case == "no brain" and status == 0:  # noise may look like a brain to so small a finder
        return
    judge(status, *said, tmp_path, {path for path in before if tmp_path in path.parents})
    assert words in said.err, said.err
    assert {*tmp_path.rglob("*"), *files.rglob("*")} == before
