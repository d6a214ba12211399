"""Nothing is sent anywhere, and nothing written tells who the patient is."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import shell
from dicom_files import write_series
from model_folders import ARGUMENTS, CARD, FACTS, small_network

from mrinr import bundles
from mrinr.resources import resource
from mrinr.volume import Volume, read, write

# Loaded by every Python that finds it on its path, so in workers, too: notes and refuses each word to another
# machine. Looking up a name counts; the machine itself and its own sockets do not.
WATCH = """
import os, sys
def watch(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind"):
        place = args[1]
        where = place[0] if isinstance(place, tuple) else "local"
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        where = args[0] or "localhost"
    else:
        return
    where = where.decode() if isinstance(where, bytes) else str(where)
    if where in ("local", "localhost", "::1", "") or where.startswith("127."):
        return
    with open(os.environ["MRINR_TEST_NETWORK"], "a") as file:
        file.write(f"{event} {where} by {sys.argv}\\n")
    raise OSError(f"{event}: this test allows no network ({where})")
sys.addaudithook(watch)
"""


@pytest.fixture
def watched(tmp_path):
    """Environment in which every word to another machine is noted, and the file of notes."""
    folder = tmp_path / "watch"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(WATCH)
    notes = tmp_path / "network.txt"
    environment = shell.environment()
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), environment["PYTHONPATH"]])
    environment["MRINR_TEST_NETWORK"] = str(notes)
    return environment, notes


def run(line: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run(line, env=environment, capture_output=True, text=True)


def test_the_watch_sees_a_connection(watched):
    environment, notes = watched
    for code in ("socket.create_connection(('192.0.2.1', 80), 1)", "socket.getaddrinfo('example.com', 80)"):
        assert run([sys.executable, "-c", f"import socket; {code}"], environment).returncode != 0
    local = (
        "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); socket.create_connection(s.getsockname())"
    )
    assert run([sys.executable, "-c", f"import socket; {local}"], environment).returncode == 0
    assert len(notes.read_text().splitlines()) == 2


def test_the_shell_sends_nothing(watched, tmp_path):
    environment, notes = watched
    files = shell.write_stacks(tmp_path / "data")
    head = read(resource("anatomy", "icbm152_t1.nii.gz"))
    coarse = Volume(head.voxels[::2, ::2, ::4], head.affine @ np.diag([2.0, 2, 4, 1]))
    write(coarse, tmp_path / "T1.nii.gz")
    bundles.save(tmp_path / "model", small_network(), "multimodal", ARGUMENTS, FACTS, CARD)
    t1, out = f"T1={tmp_path / 'T1.nii.gz'}", tmp_path / "flair.nii.gz"
    for line in (
        ["superres", files["T1_ax"], files["T2_cor"], "--out", tmp_path / "sr", "--method", "cubic"],
        ["synthesize", "--input", t1, "--target", "FLAIR", "--out", out, "--model", tmp_path / "model"],
    ):
        done = run(shell.command(*line), environment)
        assert done.returncode == 0, done.stderr
    assert not notes.exists(), notes.read_text()


SLICER = """
import sys, time
sys.path[:0] = {paths!r}
from host import start
slicer = start()
slicer.loadModule({module!r})
panel = slicer.util.getModuleWidget("MRINRSuperRes")
panel.parent.enter()
stack = sys.modules["MRINRSuperRes"].MRINRSuperResTest().phantom(2, "T1 DOE^JANE axial")
panel.ui.fillButton.click()
panel.ui.methodBox.setCurrentText("cubic")
panel.ui.applyButton.click()
while panel._job is not None:
    slicer.app.processEvents()
    time.sleep(0.01)
assert slicer.util.getNode("T1 DOE^JANE axial SR")
constant = slicer.util.arrayFromVolume(stack)
constant[:] = 1
slicer.util.arrayFromVolumeModified(stack)
panel.ui.applyButton.click()
while panel._job is not None:
    slicer.app.processEvents()
    time.sleep(0.01)
assert "is constant" in panel.ui.messageLabel.text, panel.ui.messageLabel.text
"""


def test_a_module_sends_nothing_and_logs_no_name(watched, tmp_path):
    for needed in ("slicer", "PySide6.QtWidgets", "PySide6.QtUiTools"):
        pytest.importorskip(needed, exc_type=ImportError)
    environment, notes = watched
    environment["TMPDIR"] = str(tmp_path / "temporary")
    (tmp_path / "temporary").mkdir()
    root = shell.ROOT
    code = textwrap.dedent(SLICER).format(
        paths=[str(root), str(root / "Testing")], module=str(root / "MRINRSuperRes" / "MRINRSuperRes.py")
    )
    done = run([sys.executable, "-c", code], environment)
    assert done.returncode == 0, done.stderr
    assert not notes.exists(), notes.read_text()
    assert "DOE" not in done.stdout + done.stderr
    assert list((tmp_path / "temporary").rglob("mrinr-*")) == []


def test_a_patient_is_named_neither_in_reports_nor_in_names_of_files(tmp_path, caplog):
    from mrinr.cli import main

    voxels = np.random.default_rng(0).integers(1, 900, (24, 24, 6))
    write_series(
        tmp_path / "IM",
        voxels,
        np.diag([1.0, 1, 4, 1]),
        SeriesDescription="ax T1",
        PatientBirthDate="19500417",
    )
    out = tmp_path / "out"
    with caplog.at_level(logging.DEBUG):
        assert (
            main(["superres", str(tmp_path / "IM"), "--out", str(out), "--method", "cubic", "--quiet"]) == 0
        )
    names = [path.relative_to(tmp_path).as_posix() for path in out.rglob("*")]
    written = "".join(path.read_text() for path in out.glob("*.json"))
    for secret in ("Secret", "Person", "4711", "19500417"):
        assert secret not in written + " ".join(names) + caplog.text
