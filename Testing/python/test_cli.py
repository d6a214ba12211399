"""The shell: promised files or none, reports that can be checked, Ctrl-C that leaves nothing."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import time

import nibabel as nib
import numpy as np
import pytest
import shell
from dicom_files import write_series

from mrinr.cli import main
from mrinr.contrasts import contrast_of
from mrinr.volume import read

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return shell.write_stacks(tmp_path_factory.mktemp("stacks"))


@pytest.fixture(scope="module")
def superres(files, tmp_path_factory):
    """One run of `mrinr superres --report`, looked at from all sides."""
    out = tmp_path_factory.mktemp("superres") / "new" / "out"
    report = out.parent / "also.json"
    done = shell.run(
        "superres",
        files["T1_ax"],
        files["T2_cor"],
        "--out",
        out,
        "--method",
        "tv",
        "--report",
        "--json",
        report,
    )
    assert done.returncode == 0, done.stderr
    return out, done


def test_superres_writes_every_promised_file_and_nothing_else(superres):
    out, done = superres
    names = {
        f"{c}_{kind}.{end}"
        for c in ("T1", "T2")
        for kind in ("sr", "residual", "coverage")
        for end in ("nii.gz", "json")
    }
    assert {p.name for p in out.iterdir()} == names | {"report.json", "report.html"}
    assert {p.name for p in out.parent.iterdir()} == {"out", "also.json"}
    assert (out / "report.json").read_bytes() == (out.parent / "also.json").read_bytes()
    assert done.stdout == "" and "Wrote" in done.stderr


def test_the_result_covers_the_first_stack_at_the_finest_spacing(superres, files):
    stack, result = nib.load(files["T1_ax"]), nib.load(superres[0] / "T1_sr.nii.gz")

    def corner(image, which):
        return nib.affines.apply_affine(
            image.affine, (np.array(image.shape) - 0.5) if which else np.full(3, -0.5)
        )

    for which in (0, 1):
        assert np.abs(corner(stack, which) - corner(result, which)).max() < 1e-3
    assert np.allclose(result.header.get_zooms(), 1, atol=1e-4)


def test_the_report_says_versions_parameters_inputs_times_and_memory(superres, files):
    report = json.loads((superres[0] / "report.json").read_text())
    assert report["command"] == "superres" and report["method"] == "tv"
    assert {"mrinr", "torch", "numpy", "python"} <= set(report["versions"])
    assert report["parameters"]["register"] == "auto" and report["parameters"]["seed"] == 0
    hashes = {i["name"]: i["sha256"] for i in report["inputs"]}
    for name in ("T1_ax", "T2_cor"):
        assert hashes[f"{name}.nii.gz"] == hashlib.sha256(files[name].read_bytes()).hexdigest()
    assert report["seconds"]["cpu"] > 0 and report["peak_memory_mb"] > 50
    assert isinstance(report["warnings"], list)


def test_every_volume_says_what_made_it(superres):
    for name in ("T1_sr", "T2_residual"):
        made = json.loads((superres[0] / f"{name}.json").read_text())["MRINR"]
        assert made["method"] == "tv" and "not acquired" in made["notice"]
        assert [s["name"] for s in made["sources"]] == ["T1_ax.nii.gz", "T2_cor.nii.gz"]
        assert made["mrinr"] and made["created"]


def test_the_page_needs_nothing_but_itself(superres):
    page = (superres[0] / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2 * 3 * 4  # contrasts, planes, columns
    assert "http" not in page and "<script" not in page
    for words in ("T1_ax.nii.gz, as acquired", "residual", "coverage", "not acquired", "SHA-256"):
        assert words in page


def test_superres_is_better_than_cubic_and_evaluate_says_so(superres, files, tmp_path, capsys):
    out = tmp_path / "cubic"
    stacks = [str(files["T1_ax"]), str(files["T2_cor"])]
    assert main(["superres", *stacks, "--out", str(out), "--method", "cubic", "--quiet"]) == 0
    capsys.readouterr()
    scores = []
    for folder in (superres[0], out):
        report = tmp_path / "scores.json"
        arguments = ["--reference", str(files["T1"]), "--prediction", str(folder / "T1_sr.nii.gz")]
        assert main(["evaluate", *arguments, "--input", stacks[0], "--json", str(report), "--quiet"]) == 0
        printed, written = json.loads(capsys.readouterr().out), json.loads(report.read_text())
        assert {key: written[key] for key in printed} == printed
        assert {"protocol", "mask", "range", "whole", "brain", "lesion", "floors"} <= set(printed)
        scores.append(printed["brain"]["psnr"])
    assert scores[0] > scores[1] > printed["floors"]["constant"]["brain"]["psnr"]


def test_stacks_of_one_name_in_two_folders_are_fused_by_contrast(tmp_path):
    for number in (1, 2):
        shell.write_stacks(tmp_path / f"visit{number}")
    stacks = [str(tmp_path / f"visit{n}" / "T1_ax.nii.gz") for n in (1, 2)]
    out = tmp_path / "out"
    assert (
        main(["superres", *stacks, "--out", str(out), "--method", "cubic", "--register", "off", "--quiet"])
        == 0
    )
    assert {p.name for p in out.glob("*.nii.gz")} == {
        "T1_sr.nii.gz",
        "T1_residual.nii.gz",
        "T1_coverage.nii.gz",
    }
    report = json.loads((out / "report.json").read_text())
    assert [i["name"] for i in report["inputs"]] == ["T1_ax.nii.gz", "visit2/T1_ax.nii.gz"]
    assert read(out / "T1_coverage.nii.gz").voxels.max() == 2


@pytest.mark.parametrize("kind", ["nifti", "dicom"])
def test_long_paths_with_spaces_and_accents_are_read_and_written(files, tmp_path, kind):
    folder = tmp_path
    for _ in range(6):  # 260 characters is where old systems end
        folder = folder / "Übersicht der Köpfe 頭部 & more, with a long name indeed"
    folder.mkdir(parents=True)
    assert len(str(folder)) > 300
    if kind == "nifti":
        scan = folder / "T1 ax «größer».nii.gz"
        scan.write_bytes(files["T1_ax"].read_bytes())
    else:
        scan = folder / "T1 sérié"
        write_series(scan, np.random.default_rng(0).integers(1, 900, (16, 16, 8)), np.diag([1.0, 1, 4, 1]))
    out = folder / "Ergebnis für später"
    done = shell.run("superres", scan, "--out", out, "--method", "cubic")
    assert done.returncode == 0, done.stderr
    assert (out / "T1_sr.nii.gz").is_file()


def test_contrast_and_thickness_come_from_dicom(tmp_path):
    voxels = np.random.default_rng(0).integers(0, 900, (24, 24, 6))
    tags = {"SliceThickness": 3.0, "SeriesDescription": "ax FLAIR dark fluid"}
    write_series(tmp_path / "IM", voxels, np.diag([1.0, 1, 4, 1]), **tags)
    out = tmp_path / "out"
    assert main(["superres", str(tmp_path / "IM"), "--out", str(out), "--method", "tv", "--quiet"]) == 0
    assert (out / "FLAIR_sr.nii.gz").exists()
    assert json.loads((out / "report.json").read_text())["stacks"][0]["thickness"] == 3
    assert "Secret" not in (out / "report.json").read_text()


def test_degrade_keeps_the_thickness_beside_the_file_even_where_the_report_goes_too(files, tmp_path):
    out = tmp_path / "thick.nii.gz"
    report = tmp_path / "thick.json"
    arguments = [str(files["T1"]), "--out", str(out), "--axis", "1", "--factor", "2.5", "--noise", "0.02"]
    assert main(["degrade", *arguments, "--json", str(report), "--quiet"]) == 0
    assert read(out).meta["thickness"] == pytest.approx(2.5)
    assert np.allclose(read(out).spacing, (1, 2.5, 1), atol=1e-5)
    assert json.loads(report.read_text())["MRINR"]["parameters"]["noise"] == 0.02
    assert sorted(p.name for p in tmp_path.iterdir()) == ["thick.json", "thick.nii.gz"]


def test_the_same_seed_gives_the_same_file(files, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        out = str(tmp_path / f"{name}.nrrd")
        arguments = [str(files["T1"]), "--out", out, "--axis", "2", "--factor", "4", "--noise", "0.05"]
        assert main(["degrade", *arguments, "--seed", str(seed), "--quiet"]) == 0
    a, b, c = ((tmp_path / f"{name}.nrrd").read_bytes() for name in "abc")
    assert a == b != c


def test_a_second_run_replaces_the_files_of_the_first(files, tmp_path):
    out = tmp_path / "out"
    for method in ("cubic", "tv"):
        assert main(["superres", str(files["T1_ax"]), "--out", str(out), "--method", method, "--quiet"]) == 0
    assert json.loads((out / "report.json").read_text())["method"] == "tv"
    assert len(list(out.iterdir())) == 7


def _hear_ctrl_c():
    """As at a terminal: what a shell starts in the background ignores it, and its children do, too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_one_line_and_no_file(files, tmp_path, number):
    out = tmp_path / "out"
    command = shell.command("superres", files["T1_ax"], files["T2_cor"], "--out", out, "--method", "single")
    process = subprocess.Popen(
        command, env=shell.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=_hear_ctrl_c,
    )  # fmt: skip
    while not list(tmp_path.glob(".mrinr-*")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    time.sleep(1)
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == 130
    lines = [line for line in errors.splitlines() if "%" not in line]  # progress of a slow machine
    assert lines == ["mrinr: cancelled, nothing was written"]
    assert list(tmp_path.iterdir()) == []


def test_version_and_help_are_no_errors(capsys):
    assert main(["--version"]) == 0 and main(["superres", "--help"]) == 0
    assert "hidden slices" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "contrast"),
    [
        ("sub-01_T1w", "T1"),
        ("sub-01_ses-2_acq-ax_T2w", "T2"),
        ("sub-01_FLAIR", "FLAIR"),
        ("t2_tirm_tra_dark-fluid", "FLAIR"),
        ("AX T2 FLAIR 3mm", "FLAIR"),
        ("T1_FLAIR", "T1FLAIR"),
        ("sub-01_PDw", "PD"),
        ("patient_DIR", "DIR"),
        ("t1ce", "T1ce"),
        ("T1_post_contrast", "T1ce"),
        ("sub-01_ce-gadolinium_T1w", "T1ce"),
        ("3D MPRAGE sag", "T1"),
        ("T2star", "T2star"),
        ("ep2d_diff_trace", "DWI"),
        ("series_004", None),
        ("direction_test", None),
    ],
)
def test_contrasts_are_read_from_names(name, contrast):
    assert contrast_of(name) == contrast
    assert contrast_of("IM0001", name) == contrast
