"""Bad scans and bad models for `mrinr synthesize`, `models` and `finetune`: one sentence, status 2, no file.

Bad command lines are in test_synthesize_cli.py, all that can be wrong with a model folder in test_bundles.py.
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shell
from model_folders import ARGUMENTS, CARD, FACTS, put, small_network
from test_malformed_inputs import (
    Good,
    cut,
    dicom,
    far_away,
    flipped_bit,
    judge,
    noise,
    rgb,
    sheared,
    singular,
)

from mrinr import bundles
from mrinr.cli import main
from mrinr.synthesis.brain import BrainMask
from mrinr.volume import Volume, read, write

Argv = list[object]
needs_brain = pytest.mark.skipif(
    all(bundle.architecture != "brain" for bundle in bundles.shipped()), reason="no model of the brain ships"
)


class Scans(Good):
    """Good scans of one head, a good model, and a folder to put bad ones in."""

    def __init__(self, files: dict[str, Path], folder: Path) -> None:
        super().__init__(files, folder)
        self.model = files["model"]

    def run(self, t1: object, *more: object) -> Argv:
        return [
            *("synthesize", "--input", f"T1={t1}", "--target", "FLAIR", "--out", self.out / "flair.nii.gz"),
            *("--model", self.model, "--device", "cpu", "--register", "off", *more),
        ]

    def second(self, t2: object, *more: object) -> Argv:
        return self.run(self.t1, "--input", f"T2={t2}", *more)

    def volume(self, voxels: np.ndarray, spacing: float = 1.0) -> Path:
        write(Volume(voxels, np.diag([spacing, spacing, spacing, 1.0])), self.folder / "bad.nii.gz")
        return self.folder / "bad.nii.gz"

    def damaged(self, name: str, content: bytes | None = None) -> Path:
        """A copy of the model in which a file has other content, or one bit flipped."""
        copy = self.folder / "model"
        shutil.copytree(self.model, copy)
        data = bytearray((copy / name).read_bytes())
        data[len(data) // 2] ^= 1
        put(copy, name, bytes(data) if content is None else content)
        return copy

    def with_model(self, model: object) -> Argv:
        return self.run(self.t1, "--model", model)


def hot(value: float) -> Callable[[np.ndarray], None]:
    def change(voxels: np.ndarray) -> None:
        voxels[4:6, 4:6, 2] = value

    return change


CASES: dict[str, Callable[[Scans], Argv]] = {
    # files that are not what their names say
    "missing file": lambda s: s.run(s.folder / "none.nii.gz"),
    "empty file": lambda s: s.run(s.put("T1.nii.gz")),
    "text named .nii.gz": lambda s: s.run(s.put("T1.nii.gz", "these are not voxels\n" * 50)),
    "text named .nrrd": lambda s: s.run(s.put("T1.nrrd", "these are not voxels\n" * 50)),
    "unknown ending": lambda s: s.run(s.put("T1.mgz", "x")),
    "folder without images": lambda s: s.run(s.folder),
    "truncated .nii.gz": lambda s: s.run(s.put("T1.nii.gz", cut(s.t1))),
    "truncated .nii.gz header": lambda s: s.run(s.put("T1.nii.gz", cut(s.t1, 0.001))),
    "truncated .nii": lambda s: s.run(s.put("T1.nii", gzip.decompress(s.t1.read_bytes())[:9000])),
    "gzip with a wrong check sum": lambda s: s.run(s.put("T1.nii.gz", flipped_bit(s.t1))),
    "missing DICOM slice": lambda s: s.run(dicom(s, keep=[0, 1, 2, 4, 5, 6, 7])),
    # what is in them
    "four dimensions": lambda s: s.run(s.nifti(noise(16, 16, 8, 3))),
    "two dimensions": lambda s: s.run(s.nifti(noise(16, 16))),
    "one slice": lambda s: s.run(s.nifti(noise(32, 32, 1))),
    "a handful of voxels": lambda s: s.run(s.nifti(noise(4, 4, 4))),
    "not a number": lambda s: s.run(s.changed(hot(np.nan))),
    "infinity": lambda s: s.run(s.changed(hot(np.inf))),
    "constant": lambda s: s.run(s.changed(lambda v: v.fill(7))),
    "all zero": lambda s: s.run(s.changed(lambda v: v.fill(0))),
    "all negative": lambda s: s.run(s.volume(-noise(32, 32, 16))),
    "colours": lambda s: s.run(rgb(s)),
    "complex numbers": lambda s: s.run(s.nifti(noise(16, 16, 8).astype(np.complex64))),
    # where they are
    "singular geometry": lambda s: s.run(s.placed(singular(s))),
    "sheared geometry": lambda s: s.run(s.placed(sheared(s))),
    # the second input is checked like the first
    "second: missing": lambda s: s.second(s.folder / "none.nii.gz"),
    "second: truncated": lambda s: s.second(s.put("T2.nii.gz", cut(s.t2))),
    "second: constant": lambda s: s.second(s.changed(lambda v: v.fill(7))),
    "second: not a number": lambda s: s.second(s.changed(hot(np.nan))),
    "second: elsewhere": lambda s: s.second(far_away(s)),
    "second: elsewhere, to be aligned": lambda s: s.second(far_away(s), "--register", "auto"),
    # models
    "no such model": lambda s: s.with_model("multimodal-enormous"),
    "the model is a file": lambda s: s.with_model(s.model / "LICENSE"),
    "the model is some folder": lambda s: s.with_model(s.folder),
    "a flipped byte in the model": lambda s: s.with_model(s.damaged("models/model.safetensors")),
    "a flipped byte in its card": lambda s: s.with_model(s.damaged("docs/README.md")),
    "a pickle for a model": lambda s: s.with_model(s.damaged("models/model.safetensors", b"\x80\x04N.")),
    "broken metadata": lambda s: s.with_model(s.damaged("configs/metadata.json", b"{")),
    "a model of brains": lambda s: s.with_model(s.model.parent / "brains"),
    "a model of another target": lambda s: [*s.run(s.t1), "--target", "DWI"],
    "a model of other inputs": lambda s: [
        f"PD={s.t1}" if f"{a}".startswith("T1=") else a for a in s.run(s.t1)
    ],
    # settings
    "unknown device": lambda s: s.run(s.t1, "--device", "tpu"),
    "no threads": lambda s: s.run(s.t1, "--threads", 0),
    "unknown option": lambda s: s.run(s.t1, "--magic"),
    "--out below a file": lambda s: s.run(s.t1, "--out", s.put("taken", "x") / "flair.nii.gz"),
    "--out cannot be made": lambda s: s.run(s.t1, "--out", "/proc/nowhere/flair.nii.gz"),
    "--json is a folder": lambda s: s.run(s.t1, "--json", s.folder),
    # the other commands
    "show: no such model": lambda s: ["models", "show", "none"],
    "show: a damaged model": lambda s: ["models", "show", s.damaged("models/model.safetensors")],
    "finetune: a damaged model": lambda s: [
        *("finetune", s.damaged("LICENSE"), "--data", s.t1.parent, "--out", s.out),
    ],
}
# No heads, or hardly: whether they are refused or warned about, nothing may crash.
ODD: dict[str, Callable[[Scans], Argv]] = {
    "noise": lambda s: s.run(s.volume(noise(64, 64, 32))),
    "a cylinder": lambda s: s.run(s.volume(100.0 * (np.hypot(*np.indices((64, 64, 32))[:2] - 32) < 20))),
    "a few bright voxels": lambda s: s.run(s.volume(np.pad(np.ones((2, 2, 2)), 30) * 100)),
    "an inverted image": lambda s: s.run(s.changed(lambda v: np.subtract(v.max(), v, out=v))),
    "eight slices": lambda s: s.run(s.volume(noise(200, 200, 8))),
    "two sagittal slices": lambda s: s.run(s.volume(noise(2, 64, 64))),
    "voxels of a tenth of a millimetre": lambda s: s.run(s.volume(noise(40, 40, 40), 0.1)),
    "voxels of a centimetre": lambda s: s.run(s.volume(noise(24, 24, 16), 10.0)),
    "values of a millionth": lambda s: s.run(s.volume(1e-6 * noise(64, 64, 32))),
    "values of a billion": lambda s: s.run(s.volume(1e9 * noise(64, 64, 32))),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    model = bundles.save(folder / "model", small_network(), "multimodal", ARGUMENTS, FACTS, CARD)
    brain = {**FACTS, "targets": ["brain"]}
    bundles.save(folder / "brains", BrainMask(4, 3), "brain", {"width": 4, "levels": 3}, brain, CARD)
    return {**shell.write_stacks(folder), "model": model.folder}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gets_one_sentence_and_status_2_and_leaves_nothing(case, files, tmp_path, capfd):
    refuse(CASES[case], files, tmp_path, capfd)


@needs_brain
@pytest.mark.parametrize("case", ODD)
def test_odd_scans_are_worked_on_or_refused_in_one_sentence(case, files, tmp_path, capfd):
    argv = [str(a) for a in ODD[case](Scans(files, tmp_path))]
    before = set(tmp_path.rglob("*"))
    capfd.readouterr()
    status = main(argv)
    said = capfd.readouterr()
    if status != 0:
        judge(status, *said, tmp_path, before)
        return
    assert np.isfinite(read(tmp_path / "out" / "flair.nii.gz").voxels).all()


def refuse(case: Callable[[Scans], Argv], files: dict[str, Path], folder: Path, capfd) -> None:
    argv = [str(a) for a in case(Scans(files, folder))]
    before = set(folder.rglob("*"))
    capfd.readouterr()
    status = main(argv)
    judge(status, *capfd.readouterr(), folder, before)


@pytest.mark.parametrize("case", ["truncated .nii.gz", "a pickle for a model", "unknown option"])
def test_it_is_the_same_in_a_process_of_its_own(case, files, tmp_path):
    argv = CASES[case](Scans(files, tmp_path))
    before = set(tmp_path.rglob("*"))
    done = shell.run(*argv)
    judge(done.returncode, done.stdout, done.stderr, tmp_path, before)
