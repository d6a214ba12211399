"""Tasks that behave and misbehave, for test_engine: run by real worker processes."""

import json
import os
import subprocess
import sys
import time

import numpy as np

from mrinr.errors import InputError


def echo(volumes, parameters, context):
    return volumes, {"parameters": parameters, "pid": os.getpid()}


def watched(volumes, parameters, context):
    """Reports ten times a second for `steps` steps, with a preview and a warning each."""
    volume = volumes["image"]
    for step in range(parameters["steps"]):
        context.progress(step / parameters["steps"], f"step {step}")
        context.preview(volume.with_voxels(volume.voxels + step))
        context.warn("The slices overlap.")
        time.sleep(0.1)
    return {"image": volume}, {}


def flood(volumes, parameters, context):
    """Reports as fast as it can for 0.7 s, then works for 0.3 s without news."""
    reports, end = 0, time.monotonic() + 0.7
    while time.monotonic() < end:
        context.progress(0.5, f"report {reports}")
        context.preview(volumes["image"])
        reports += 1
    while time.monotonic() < end + 0.3:
        context.check()
        time.sleep(0.01)
    return {}, {"reports": reports}


def count(volumes, parameters, context):
    """How many jobs this worker's cache has seen."""
    context.cache["jobs"] = context.cache.get("jobs", 0) + 1
    return {}, {"jobs": context.cache["jobs"], "keys": sorted(context.cache)}


def keep(volumes, parameters, context):
    """Puts an entry of `bytes` bytes into the cache (never touched, so it costs no memory)."""
    context.cache[parameters["key"]] = np.empty(parameters["bytes"], np.uint8)
    return {}, {}


def wait(volumes, parameters, context):
    """Works, and stops when asked to."""
    while True:
        context.progress(0.5, "working")
        time.sleep(0.05)


def deaf(volumes, parameters, context):
    """Works, has a child, and never asks whether it should stop."""
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    child = subprocess.Popen(command, start_new_session=parameters.get("apart", False))
    context.progress(0.1, f"{os.getpid()} {child.pid}")
    while True:
        pass


def fail(volumes, parameters, context):
    kind = parameters["kind"]
    if kind == "input":
        raise InputError("Étude 1.nii is constant: it holds no image; choose another volume.")
    if kind == "memory":
        np.empty(2**60, np.float32)
    if kind == "torch":
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
    if kind == "gpu":
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    if kind == "broken gpu":
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    if kind == "import":
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    if kind == "bug":
        print("printed before the bug")
        return {}["nothing"]
    if kind == "exit":
        sys.exit("enough")
    if kind == "report":
        return {}, {"model": object()}
    os._exit(3)


def disk_full(volumes, parameters, context):
    """The result does not fit: no file of this process may grow above 4096 bytes."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    return volumes, {}


def loud(volumes, parameters, context):
    """Prints to stdout in every way, and a child does too and tries to read the requests."""
    forged = json.dumps({"event": "cancelled", "job": parameters["job"], "data": {}, "volumes": {}}) + "\n"
    print(forged, flush=True)
    os.write(1, forged.encode())
    command = [sys.executable, "-c", f"print({forged!r}, flush=True); input()"]
    read = subprocess.run(command, stderr=subprocess.DEVNULL, timeout=20)
    return {}, {"child": read.returncode}
