"""`mrinr batch`: a row for every subject, failures in one sentence, interrupted and resumed."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import shell
from dicom_files import write_series
from model_folders import ARGUMENTS, CARD, FACTS, small_network

from mrinr import bundles
from mrinr.cli import main
from mrinr.resources import resource
from mrinr.volume import Volume, read, write

QUICK = ("--method", "cubic", "--register", "off")
BROKEN = 7


def stack(seed: int) -> Volume:
    random = np.random.default_rng(seed)
    return Volume(random.uniform(10, 90, (10, 10, 4)), np.diag([1.0, 1.0, 3.0, 1.0]), "stack")


def subjects(folder: Path, count: int) -> Path:
    for number in range(1, count + 1):
        anat = folder / f"sub-{number:03}" / "anat"
        anat.mkdir(parents=True)
        write(stack(number), anat / f"sub-{number:03}_T2w.nii.gz")
    return folder


def break_some(folder: Path) -> dict[str, str]:
    """Break seven subjects, each in its own way; what a sentence about each has to say."""
    scans = sorted(folder.rglob("*.nii.gz"))
    scans[3].write_bytes(scans[3].read_bytes()[:100])
    scans[11].write_bytes(b"")
    scans[23].unlink()
    write(stack(0).with_voxels(np.full((10, 10, 4), np.nan)), scans[42])
    write(stack(0).with_voxels(np.zeros((10, 10, 4))), scans[57])
    scans[68].rename(scans[68].with_name("unknown.nii.gz"))
    scans[99].write_bytes(b"no image at all")
    said = {
        4: "damaged",
        12: "is empty",
        24: "holds no scans",
        43: "not finite",
        58: "is constant",
        69: "holds no scans",
        100: "",
    }
    return {f"sub-{number:03}": words for number, words in said.items()}


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    with (out / "batch.csv").open(newline="", encoding="utf-8") as table:
        return {row["subject"]: row for row in csv.DictReader(table)}


def made(out: Path) -> dict[str, int]:
    """When each report was written, by subject."""
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("[!.]*/report.json")}


def wait(condition, process: subprocess.Popen) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_a_hundred_subjects_of_which_seven_are_broken_interrupted_and_resumed(tmp_path):
    data, out = subjects(tmp_path / "data", 100), tmp_path / "out"
    broken = break_some(data)
    line = shell.command("batch", "superres", data, out, "--jobs", 2, *QUICK)
    first = subprocess.Popen(
        line, env=shell.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    wait(lambda: len(made(out)) >= 20, first)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    before = made(out)
    assert 20 <= len(before) < 93 and not (out / "batch.csv").exists()

    done = subprocess.run(line, env=shell.environment(), capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    after = made(out)
    assert len(after) == 93 and not broken.keys() & after.keys()
    assert {name: after[name] for name in before} == before  # not computed again
    rows = rows_of(out)
    assert len(rows) == 100 and {row["status"] for row in rows.values()} == {"made", "kept", "failed"}
    assert {name for name, row in rows.items() if row["status"] == "kept"} >= before.keys()
    assert {name for name, row in rows.items() if row["status"] == "failed"} == broken.keys()
    for name, words in broken.items():
        sentence = rows[name]["text"]
        assert words in sentence and "\n" not in sentence and sentence.endswith("."), sentence
        assert sentence in done.stderr
    assert len(done.stdout.splitlines()) == 101 and "7 failed" in done.stdout.splitlines()[-1]
    assert len(json.loads((out / "batch.json").read_text())["subjects"]) == 100
    assert list(out.rglob(".*")) == []


def test_what_changed_is_computed_again_and_nothing_else(tmp_path):
    data, out = subjects(tmp_path / "data", 3), tmp_path / "out"
    line = ["batch", "superres", str(data), str(out), "--quiet", *QUICK]
    assert main(line) == 0
    write(stack(99), data / "sub-002" / "anat" / "sub-002_T2w.nii.gz")
    (data / "sub-003" / "anat" / "sub-003_T2w.json").write_text('{"SliceThickness": 2.0}')
    assert main(line) == 0
    status = {name: row["status"] for name, row in rows_of(out).items()}
    assert status == {"sub-001": "kept", "sub-002": "made", "sub-003": "made"}
    (out / "sub-001" / "T2_sr.nii.gz").unlink()
    assert main(line) == 0
    assert [row["status"] for row in rows_of(out).values()] == ["made", "kept", "kept"]
    assert main([*line, "--spacing", "2"]) == 0
    assert [row["status"] for row in rows_of(out).values()] == ["made"] * 3


def test_sessions_dicom_series_masks_and_chosen_contrasts(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    for visit in ("ses-1", "ses-2"):
        (data / "sub-01" / visit / "anat").mkdir(parents=True)
        write(stack(1), data / "sub-01" / visit / "anat" / "sub-01_T1w.nii.gz")
    voxels = np.random.default_rng(0).integers(1, 900, (16, 16, 5))
    series = data / "sub-02" / "dicom"
    for number, name in enumerate(("ax T1 se", "ax T2 tse", "localizer")):
        kind = ["ORIGINAL", "PRIMARY", *(["LOCALIZER"] if name == "localizer" else [])]
        tags = {"SeriesDescription": name, "ImageType": kind}
        write_series(series, voxels, np.diag([1.0, 1, 4, 1]), prefix=f"s{number}-", **tags)
    write(stack(2), data / "sub-02" / "brain_mask_T1.nii.gz")
    (data / "derivatives" / "sub-01").mkdir(parents=True)
    line = ["batch", "superres", str(data), str(out), "--quiet", *QUICK]
    assert main(line) == 0
    assert list(rows_of(out)) == ["sub-01/ses-1", "sub-01/ses-2", "sub-02"]
    assert {path.name for path in (out / "sub-02").glob("*_sr.nii.gz")} == {"T1_sr.nii.gz", "T2_sr.nii.gz"}
    assert "Secret" not in "".join(path.read_text() for path in out.rglob("*.json"))
    assert main([*line[:3], str(tmp_path / "T1 only"), "--contrast", "T1", *line[4:]]) == 0
    assert [path.name for path in (tmp_path / "T1 only" / "sub-02").glob("*_sr.nii.gz")] == ["T1_sr.nii.gz"]


def test_synthesis_leaves_the_target_out_and_contrasts_need_their_times(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    head = read(resource("anatomy", "icbm152_t1.nii.gz"))
    small = Volume(head.voxels[::2, ::2, ::4], head.affine @ np.diag([2.0, 2, 4, 1]))
    bundles.save(tmp_path / "model", small_network(), "multimodal", ARGUMENTS, FACTS, CARD)
    (data / "patient 1").mkdir(parents=True)
    for name in ("T1", "FLAIR"):
        write(small, data / "patient 1" / f"{name}.nii.gz")
    line = ["batch", "synthesize", str(data), str(out), "--target", "FLAIR", "--quiet"]
    line += ["--model", str(tmp_path / "model")]
    assert main(line) == 0, rows_of(out)["patient 1"]["text"]
    files = {
        "FLAIR.nii.gz",
        "FLAIR.json",
        "FLAIR_uncertainty.nii.gz",
        "FLAIR_uncertainty.json",
        "report.json",
    }
    assert {path.name for path in (out / "patient 1").iterdir()} == files
    assert list(json.loads((out / "patient 1" / "report.json").read_text())["sequences"]) == ["T1"]
    assert main(line) == 0 and rows_of(out)["patient 1"]["status"] == "kept"
    assert main(["batch", "contrast", str(data), str(tmp_path / "other"), "--to", "T2", "--quiet"]) == 2
    assert "TR and TE of" in rows_of(tmp_path / "other")["patient 1"]["text"]


def test_what_cannot_be_done_is_said_in_a_sentence(tmp_path, capsys):
    data = subjects(tmp_path / "data", 1)
    (tmp_path / "empty").mkdir()
    for line, words in (
        (["superres", str(tmp_path / "none"), str(tmp_path / "out")], "is no folder"),
        (["superres", str(data), str(data)], "among the scans"),
        (["superres", str(tmp_path / "empty"), str(tmp_path / "out")], "holds no folders"),
        (["superres", str(data), str(tmp_path / "out"), "--jobs", "0"], "--jobs must be at least 1"),
    ):
        assert main(["batch", *line]) == 2
        said = capsys.readouterr().err
        assert words in said and len(said.splitlines()) == 1


def start(*arguments: object) -> subprocess.Popen:
    line = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.Popen(
        line, env=shell.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def test_a_dask_cluster_loses_a_worker_and_no_subject(tmp_path):
    pytest.importorskip("distributed")
    data, out, place = subjects(tmp_path / "data", 16), tmp_path / "out", tmp_path / "scheduler.json"
    scans = sorted(data.rglob("*.nii.gz"))
    scans[5].write_bytes(b"")
    begun = [
        start(
            "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard",
            "--no-show", "--scheduler-file", place,
        )
    ]  # fmt: skip
    try:
        wait(lambda: place.is_file() and place.read_text().endswith("}"), begun[0])
        address = json.loads(place.read_text())["address"]
        options = (address, "--nthreads", 1, "--no-nanny", "--no-dashboard", "--local-directory", tmp_path)
        begun += [start("distributed.cli.dask_worker", *options) for _ in range(2)]
        line = ("batch", "superres", data, out, "--scheduler", address, "--threads", 1, *QUICK)
        batch = subprocess.Popen(
            shell.command(*line), env=shell.environment(), stdout=subprocess.PIPE, text=True
        )
        begun.append(batch)
        wait(lambda: len(made(out)) >= 2, batch)
        begun[1].kill()
        batch.communicate()
    finally:
        for process in begun:
            process.kill()
            process.wait()
    assert batch.returncode == 2
    status = [row["status"] for row in rows_of(out).values()]
    # what the killed worker had just finished is kept when its turn comes again
    assert status.count("made") + status.count("kept") == 15 and status[5] == "failed"
    assert len(made(out)) == 15


def test_no_cluster_is_said_in_a_sentence(tmp_path, capsys, monkeypatch):
    pytest.importorskip("distributed")
    from mrinr.commands.batch import cluster

    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    data = subjects(tmp_path / "data", 1)
    line = ["batch", "superres", str(data), str(tmp_path / "out"), "--scheduler", "tcp://127.0.0.1:9"]
    assert main(line) == 2
    assert "No Dask scheduler answers at tcp://127.0.0.1:9" in capsys.readouterr().err
