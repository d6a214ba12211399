"""The engine, with real worker processes: what goes in comes back, and no ending leaves anything behind."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from mrinr.context import Context
from mrinr.engine import Client, EngineError, cache, device, failures
from mrinr.errors import Cancelled, InputError
from mrinr.volume import Volume

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and limits")


@pytest.fixture(scope="module", autouse=True)
def temporary_folder(tmp_path_factory):
    """Every private folder of this file lies in one with a space, accents and other alphabets in its name."""
    before, tempfile.tempdir = tempfile.tempdir, str(tmp_path_factory.mktemp("Étude n° 1 脳"))
    yield Path(tempfile.tempdir)
    tempfile.tempdir = before


@pytest.fixture(scope="module")
def shared(temporary_folder):
    with Client(threads=1, search_path=[str(HERE)]) as client:
        yield client


@pytest.fixture
def client(shared):
    """The shared worker, idle and with nothing to say."""
    shared.poll()
    return shared


@pytest.fixture
def own_client():
    with Client(threads=1, search_path=[str(HERE)]) as client:
        yield client


def task(name):
    return f"engine_tasks:{name}"


def image(shape=(7, 5, 4), name="image"):
    voxels = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    return Volume(voxels, np.diag([1.0, 1.0, 4.0, 1.0]), name)


def until(client, condition, limit=30.0):
    """The events up to the first that meets the condition."""
    events, end = [], time.monotonic() + limit
    while time.monotonic() < end:
        for event in client.poll():
            events.append(event)
        if any(condition(event) for event in events):
            return events
        time.sleep(0.01)
    raise AssertionError(f"waited in vain; got {[(event.kind, event.data) for event in events]}")


def ended(job):
    return lambda event: event.job is job and event.kind in ("result", "cancelled", "failed")


def kinds(events, job=None):
    return [event.kind for event in events if job is None or event.job is job]


def is_gone(pid):
    """No such process, within a moment; a zombie that nobody reaps is gone too."""
    for _ in range(100):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def last(events):
    return events[-1]


# What goes in comes back


def test_volumes_parameters_and_meta_come_back_exactly(client):
    angle = np.deg2rad(17.3)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-0.7, 1 / 3, 4.4])  # oblique and left-handed
    affine[:3, 3] = [-11.1, 1e-7, 123456.789]
    voxels = np.random.default_rng(0).normal(size=(9, 6, 5)).astype(np.float32)
    voxels[0, 0] = [np.nan, np.inf, -np.inf, -0.0, 1e-42]
    meta = {
        "TE": np.float64(0.1),
        "file": Path("été.nii"),
        "sources": ["脑", "größer"],
        "thickness": None,
    }
    sent = {
        "T1 à gauche": Volume(voxels, affine, "Tête 頭 № 1", meta),
        "fortran": Volume(np.asfortranarray(voxels), affine),
        "strided": Volume(voxels[::2, ::-1], affine),
    }
    volumes, report = client.run(task("echo"), sent, {"spacing": 0.9, "names": ("ä", "ß"), "n": np.int64(3)})
    assert list(volumes) == list(sent)
    for key, volume in sent.items():
        assert volumes[key].voxels.tobytes() == volume.voxels.tobytes()
        assert volumes[key].voxels.dtype == np.float32
        assert (volumes[key].affine == volume.affine).all()
        assert volumes[key].name == volume.name
        volumes[key].voxels[...] = 0  # an ordinary array, the caller's own
    assert volumes["T1 à gauche"].meta == {**meta, "file": "été.nii"}
    assert report["parameters"] == {"spacing": 0.9, "names": ["ä", "ß"], "n": 3}


def test_volumes_are_those_of_the_time_of_submitting(client):
    volume = image()
    before = volume.voxels.copy()
    client.submit(task("watched"), {"image": volume}, {"steps": 1})
    job = client.submit(task("echo"), {"image": volume}, {})
    volume.voxels[...] = -1
    assert (last(until(client, ended(job))).volumes["image"].voxels == before).all()


def test_what_json_cannot_carry_is_refused_at_once(client):
    with pytest.raises(TypeError, match="object cannot be sent"):
        client.submit(task("echo"), {}, {"model": object()})


def test_warm_worker_and_its_cache_are_used_again(own_client):
    reports = [own_client.run(task("count"), {}, {})[1] for _ in range(3)]
    assert [report["jobs"] for report in reports] == [1, 2, 3]
    pids = {own_client.run(task("echo"), {}, {})[1]["pid"] for _ in range(2)}
    assert len(pids) == 1 and os.getpid() not in pids


def test_environment_and_threads_reach_the_worker(temporary_folder):
    (temporary_folder / "tasks_elsewhere.py").write_text(
        "import os\ndef variables(volumes, parameters, context):\n    return {}, dict(os.environ)\n"
    )
    with Client(threads=3, env={"MRINR_NOTE": "été"}, search_path=[str(temporary_folder)]) as client:
        _, variables = client.run("tasks_elsewhere:variables", {}, {})
    assert variables["OMP_NUM_THREADS"] == "3"
    assert variables["MRINR_NOTE"] == "été"
    assert (variables["PYTHONUTF8"], variables["OMP_WAIT_POLICY"]) == ("1", "PASSIVE")


def test_prints_do_not_disturb_the_protocol(client):
    job = client.submit(task("echo"), {}, {})
    until(client, ended(job))
    _, report = client.run(task("loud"), {}, {"job": job.id + 1})
    assert report["child"] != 0  # its input() met the end of the file
    assert client.run(task("echo"), {}, {"still": "here"})[1]["parameters"] == {"still": "here"}


# Events


def test_started_comes_first_then_progress_and_previews_in_order_then_the_result(client):
    volume = image()
    job = client.submit(task("watched"), {"image": volume}, {"steps": 12})
    events = until(client, ended(job))
    assert kinds(events)[0] == "started" and kinds(events)[-1] == "result"
    fractions = [event.data["fraction"] for event in events if event.kind == "progress"]
    assert len(fractions) >= 8 and fractions == sorted(fractions)
    means = [
        (event.volumes["preview"].voxels - volume.voxels).mean()
        for event in events
        if event.kind == "preview"
    ]
    assert len(means) >= 2 and means == sorted(means)
    assert [event.data["text"] for event in events if event.kind == "warning"] == ["The slices overlap."]
    assert job.done and job.state == "finished"


def test_progress_is_at_most_ten_a_second_and_the_last_line_is_not_lost(client):
    job = client.submit(task("flood"), {"image": image()}, {})
    events = until(client, ended(job))
    texts = [event.data["text"] for event in events if event.kind == "progress"]
    assert last(events).data["report"]["reports"] > 20
    assert 3 <= len(texts) <= 12
    assert texts[-1] == f"report {last(events).data['report']['reports'] - 1}"
    assert 1 <= kinds(events).count("preview") <= 2


def test_previews_that_nobody_fetches_do_not_pile_up(own_client):
    job = own_client.submit(task("watched"), {"image": image()}, {"steps": 100})
    until(own_client, lambda event: event.kind == "preview")
    time.sleep(1.3)
    assert kinds(own_client.poll()).count("preview") == 1
    assert job.state == "running"


def test_poll_returns_at_once_while_the_worker_is_busy(client):
    job = client.submit(task("wait"), {}, {})
    until(client, lambda event: event.kind == "progress")
    for _ in range(100):  # the job itself never ends
        assert "result" not in kinds(client.poll())
    job.cancel()
    until(client, ended(job))


# The queue


def test_jobs_run_first_in_first_out(client):
    jobs = [client.submit(task("echo"), {}, {"n": n}) for n in range(4)]
    events = until(client, ended(jobs[-1]))
    results = [event for event in events if event.kind == "result"]
    assert [event.job for event in results] == jobs
    assert [event.data["report"]["parameters"]["n"] for event in results] == [0, 1, 2, 3]
    assert kinds(events) == ["started", "result"] * 4  # never two at a time


def test_a_newer_request_drops_the_queued_one_that_it_replaces(client):
    running = client.submit(task("watched"), {"image": image()}, {"steps": 3})
    old = client.submit(task("echo"), {}, {"slider": 1})
    other = client.submit(task("echo"), {}, {"slider": "another"})
    new = client.submit(task("echo"), {}, {"slider": 2}, replaces=old)
    events = until(client, ended(new))
    assert kinds(events, old) == ["cancelled"]  # never started
    assert [job.state for job in (running, old, other, new)] == [
        "finished",
        "cancelled",
        "finished",
        "finished",
    ]


def test_a_newer_request_cancels_the_running_one_that_it_replaces(client):
    old = client.submit(task("wait"), {}, {})
    until(client, lambda event: event.kind == "progress")
    new = client.submit(task("echo"), {}, {}, replaces=old)
    events = until(client, ended(new))
    assert kinds(events, old)[-1] == "cancelled" and kinds(events, new) == ["started", "result"]


# Cancel


def test_cancel_stops_a_task_that_listens_and_keeps_the_worker(client):
    pid = client.run(task("echo"), {}, {})[1]["pid"]
    job = client.submit(task("wait"), {}, {})
    until(client, lambda event: event.kind == "progress")
    job.cancel()
    events = until(client, ended(job))
    assert kinds(events) == ["cancelled"] and job.state == "cancelled"
    job.cancel()  # twice is as good as once
    assert client.run(task("echo"), {}, {})[1]["pid"] == pid


NO_LIST = pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not list a process's children")


@pytest.mark.parametrize("apart", [False, pytest.param(True, marks=NO_LIST)])
def test_cancel_stops_a_task_that_never_listens_with_its_children(own_client, apart):
    job = own_client.submit(task("deaf"), {}, {"apart": apart})
    text = last(until(own_client, lambda event: event.kind == "progress")).data["text"]
    job.cancel()
    assert job.state == "cancelling"
    time.sleep(0.8)
    assert kinds(own_client.poll()) == ["cancelled"]  # within the promised second
    assert all(is_gone(int(pid)) for pid in text.split())
    assert own_client.run(task("echo"), {}, {"n": 1})[1]["parameters"] == {"n": 1}


def test_cancel_before_the_worker_is_up(own_client):
    job = own_client.submit(task("wait"), {}, {})
    job.cancel()
    assert kinds(until(own_client, ended(job))) == ["cancelled"]


def test_an_interrupted_run_leaves_no_job_behind(client):
    def interrupt(event):
        if event.kind == "progress":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.run(task("wait"), {}, {}, interrupt)
    assert client.run(task("echo"), {}, {})[1]["parameters"] == {}


def test_run_raises_cancelled_when_its_watcher_cancels(client):
    with pytest.raises(Cancelled):
        client.run(task("wait"), {}, {}, lambda event: event.job.cancel())


# Failures, each one sentence, survived by the next job


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("input", "Étude 1.nii is constant: it holds no image; choose another volume."),
        ("memory", "The computer ran out of memory; choose a coarser spacing or a region of interest."),
        ("torch", "The computer ran out of memory; choose a coarser spacing or a region of interest."),
        ("gpu", "The GPU ran out of memory; choose a coarser spacing, a region of interest or the CPU."),
        ("broken gpu", "An unexpected error stopped the work: RuntimeError: CUDA error"),
        ("import", "PyTorch is not installed; install it"),
        ("bug", "An unexpected error stopped the work: KeyError: 'nothing'."),
        ("exit", "An unexpected error stopped the work: SystemExit: enough."),
        ("report", "An unexpected error stopped the work: TypeError: object cannot be sent"),
        (
            "crash",
            "The worker process stopped unexpectedly (exit status 3); nothing else was lost, press Apply",
        ),
    ],
)
def test_a_failure_is_one_sentence_and_the_next_job_works(client, kind, sentence):
    job = client.submit(task("fail"), {"image": image()}, {"kind": kind})
    event = last(until(client, ended(job)))
    assert event.kind == "failed" and job.state == "failed"
    assert event.data["text"].startswith(sentence) and "\n" not in event.data["text"]
    assert event.data["input"] == (kind == "input")
    assert client.run(task("echo"), {}, {"after": kind})[1]["parameters"] == {"after": kind}


def test_details_hold_the_traceback_and_what_was_printed(client):
    with pytest.raises(EngineError) as caught:
        client.run(task("fail"), {}, {"kind": "bug"})
    assert "Traceback" in caught.value.details and "engine_tasks.py" in caught.value.details
    assert "printed before the bug" in caught.value.details
    with pytest.raises(InputError, match="constant"):
        client.run(task("fail"), {}, {"kind": "input"})


def test_a_gpu_that_no_longer_works_costs_the_worker(own_client):
    before = own_client.run(task("echo"), {}, {})[1]["pid"]
    with pytest.raises(EngineError):
        own_client.run(task("fail"), {}, {"kind": "broken gpu"})
    assert own_client.run(task("echo"), {}, {})[1]["pid"] != before


@posix
def test_a_full_disk_is_said_in_one_sentence(own_client):
    with pytest.raises(EngineError, match=r"No space is left on the disk that holds .*result-0\.npy"):
        own_client.run(task("disk_full"), {"image": image((40, 40, 40))}, {})


@pytest.mark.parametrize("name", ["superrez", "engine_tasks:no_such_function"])
def test_a_task_that_does_not_exist_is_named(client, name):
    with pytest.raises(InputError, match=name):
        client.run(name, {}, {})


def test_an_interpreter_that_cannot_be_started_is_named():
    with (
        Client(python="/no/such/python") as client,
        pytest.raises(EngineError, match="/no/such/python could not be started"),
    ):
        client.run(task("echo"), {}, {})


@posix
def test_sigkill_in_mid_job_costs_only_that_job(own_client, temporary_folder):
    job = own_client.submit(task("deaf"), {"image": image()}, {})
    waiting = own_client.submit(task("echo"), {"image": image()}, {"n": 2})
    text = last(until(own_client, lambda event: event.kind == "progress")).data["text"]
    worker, child = map(int, text.split())
    os.kill(worker, signal.SIGKILL)
    event = next(filter(ended(job), until(own_client, ended(job))))
    assert event.kind == "failed"
    assert event.data["text"].startswith("The worker process stopped unexpectedly (stopped by SIGKILL")
    assert is_gone(child)
    assert kinds(until(own_client, ended(waiting)))[-1] == "result"
    assert not list(temporary_folder.glob(f"mrinr-engine-*/{job.id}/*.npy"))


@posix
def test_a_worker_killed_while_idle_is_replaced(own_client):
    pid = own_client.run(task("echo"), {}, {})[1]["pid"]
    os.kill(pid, signal.SIGKILL)
    assert is_gone(pid)
    assert own_client.run(task("echo"), {}, {})[1]["pid"] != pid
    assert own_client.poll() == []


# Nothing is left behind


def test_finished_jobs_leave_no_files(own_client, temporary_folder):
    before = set(temporary_folder.iterdir())
    own_client.run(task("watched"), {"image": image()}, {"steps": 2})
    (folder,) = set(temporary_folder.iterdir()) - before
    if sys.platform != "win32":
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not list(folder.rglob("*.npy"))


def test_close_in_mid_job_leaves_no_process_and_no_file(temporary_folder):
    before = set(temporary_folder.iterdir())
    client = Client(threads=1, search_path=[str(HERE)])
    running = client.submit(task("deaf"), {"image": image()}, {})
    queued = client.submit(task("echo"), {"image": image()}, {})
    text = last(until(client, lambda event: event.kind == "progress")).data["text"]
    client.close()
    assert all(is_gone(int(pid)) for pid in text.split())
    assert set(temporary_folder.iterdir()) == before
    assert [(event.kind, event.job) for event in client.poll()] == [
        ("cancelled", running),
        ("cancelled", queued),
    ]
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.submit(task("echo"), {}, {})


PROGRAM = """
import sys, tempfile, time
from mrinr.engine import Client
tempfile.tempdir = sys.argv[2]
client = Client(threads=1, search_path=[sys.argv[1]])
job = client.submit("engine_tasks:deaf", {}, {})
while True:
    for event in client.poll():
        if event.kind == "progress":
            print(event.data["text"], flush=True)
            {then}
    time.sleep(0.01)
"""


def program(then, folder):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.replace("{then}", then), str(HERE), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("then", ["sys.exit()", "raise ValueError", "del client, job, event; sys.exit()"])
def test_a_program_that_ends_without_close_leaves_nothing(tmp_path, then):
    ending = program(then, tmp_path)
    printed, _ = ending.communicate()
    assert all(is_gone(int(pid)) for pid in printed.split()[:2])
    assert list(tmp_path.iterdir()) == []


@posix
def test_the_worker_goes_when_its_program_is_killed(tmp_path):
    victim = program("pass", tmp_path)
    pids = victim.stdout.readline().split()
    victim.kill()
    victim.wait()
    assert all(is_gone(int(pid)) for pid in pids)
    assert list(tmp_path.iterdir()) == []


@posix
def test_folders_of_dead_programs_go_at_the_next_start_and_those_of_living_ones_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stale = tmp_path / "mrinr-engine-old"
    stale.mkdir()
    (stale / "owner.lock").touch()
    (stale / "input-0.npy").write_bytes(b"voxels")
    unrelated = tmp_path / "mrinr-engine-notes"  # a user's, by its content
    unrelated.mkdir()
    living = program("pass", tmp_path)
    pids = living.stdout.readline().split()
    assert not stale.exists() and unrelated.exists()
    with Client(threads=1, search_path=[str(HERE)]) as client:
        client.run(task("echo"), {}, {})
        assert psutil.pid_exists(int(pids[0]))
        assert len(list(tmp_path.iterdir())) == 3
    living.kill()
    living.wait()
    assert all(is_gone(int(pid)) for pid in pids)


# The cache


def test_the_cache_drops_what_came_first_when_it_is_above_its_limit(own_client):
    for key in ("a", "b", "c"):
        own_client.run(task("keep"), {}, {"key": key, "bytes": 400 * 2**20})
    assert own_client.run(task("count"), {}, {})[1]["keys"] == ["b", "c", "jobs"]


def test_size_counts_arrays_tensors_volumes_and_networks_once():
    torch = pytest.importorskip("torch")
    array = np.zeros(1000, np.float32)
    holder = {"array": [array, array], "volume": image((10, 10, 10)), "net": torch.nn.Linear(9, 100)}
    holder["self"] = holder
    assert 0 <= cache.size_of(holder) - (4000 + 4000 + 128 + 4 * (900 + 100)) < 200


# The device


def test_the_device_is_named_with_a_reason_in_one_line():
    pytest.importorskip("torch")
    assert device.choose("cpu")[0].type == "cpu"
    chosen, line = device.choose("auto")
    assert line.startswith(f"Using the {'CPU' if chosen.type == 'cpu' else 'GPU'}"[:9]) and "\n" not in line
    with pytest.raises(InputError, match="auto, cpu, cuda or mps"):
        device.choose("tpu")


def test_a_gpu_asked_for_by_name_is_never_replaced_in_silence():
    torch = pytest.importorskip("torch")
    for name, usable in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())):
        if not usable:
            with pytest.raises(InputError, match=f"'{name}' cannot be used: .*; choose auto or cpu"):
                device.choose(name)


def test_threads_are_set_and_none_changes_nothing():
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    assert device.set_threads(1) == 1 == torch.get_num_threads()
    assert device.set_threads(None) == 1
    with pytest.raises(InputError, match="at least 1"):
        device.set_threads(0)
    device.set_threads(before)


# Small independent facts


def test_the_client_loads_without_torch_and_other_heavy_packages():
    code = "import sys, mrinr.engine\nprint({'torch', 'SimpleITK', 'nibabel', 'psutil'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert result.stdout.strip() == "set()", result.stderr


def test_torch_itself_says_out_of_memory_in_a_way_that_is_recognised():
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert failures.is_out_of_memory(caught.value)


def test_a_gpu_without_memory_gives_way_to_the_cpu_with_a_warning():
    torch = pytest.importorskip("torch")
    from mrinr.engine.device import or_cpu

    asked, context = [], Context()

    def work(device: str) -> str:
        asked.append(device)
        if device != "cpu":
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return "done"

    assert or_cpu(work, "auto", context) == "done" and asked == ["auto", "cpu"]
    assert "GPU ran out of memory, so the CPU was used" in context.warnings[0]
    with pytest.raises(torch.cuda.OutOfMemoryError) as caught:
        or_cpu(work, "cuda", context)  # asked for by name
    assert "choose a coarser spacing, a region of interest or the CPU" in failures.sentence(caught.value)
    with pytest.raises(RuntimeError, match="broken"):
        or_cpu(lambda device: (_ for _ in ()).throw(RuntimeError("broken")), "auto", context)


def test_reconstruction_goes_on_with_the_cpu(monkeypatch):
    """A stand-in for the GPU: the first attempt at aligning finds no memory on it."""
    torch = pytest.importorskip("torch")
    from phantoms import stacks

    from mrinr.superres import pipeline, reconstruct

    build, devices = pipeline.build, []

    def without_memory(*arguments, **more):
        devices.append(arguments)
        if len(devices) == 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return build(*arguments, **more)

    monkeypatch.setattr(pipeline, "build", without_memory)
    result = reconstruct(stacks(("T1", "axial"), shape=(32, 32, 32)), method="cubic", register="off")
    assert len(devices) > 1 and any("so the CPU was used" in text for text in result.report["warnings"])
    assert result.report["device"] == "Using the CPU, as asked for."


def test_a_task_runs_in_process_with_a_plain_context():
    from mrinr.engine.tasks import resolve

    sys.path.insert(0, str(HERE))
    try:
        volumes, _ = resolve(task("watched"))({"image": image()}, {"steps": 1}, Context())
    finally:
        sys.path.remove(str(HERE))
    assert (volumes["image"].voxels == image().voxels).all()
