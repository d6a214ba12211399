"""What Apply does about missing packages, and what it says: each way that it can go.

Slicer's own installers need its application, so their places are taken by functions that end as those do
(`slicer.packaging`: RuntimeError when declined, CalledProcessError when pip failed; `PyTorchUtils`: None).
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from types import SimpleNamespace

import pytest
from slicer_session import slicer

from mrinr.errors import InputError

SMALL = {"no_such_package": "no_such_package>=1"}


@pytest.fixture
def install(monkeypatch):
    """MRINRLib.install as in the application, where somebody can answer."""
    from MRINRLib import install

    monkeypatch.setattr(type(slicer.app), "testingEnabled", lambda self: False)
    return install


@pytest.fixture
def no_torch(install, monkeypatch):
    monkeypatch.setattr(install, "hasTorch", lambda: False)
    return install


def utils(monkeypatch, answer):
    """Put a PyTorchUtils in place; returns what it was asked."""
    asked: list[dict] = []

    def install_torch(self, **options):
        asked.append(options)
        return answer(options) if callable(answer) else answer

    logic = type("PyTorchUtilsLogic", (), {"installTorch": install_torch})
    monkeypatch.setitem(sys.modules, "PyTorchUtils", SimpleNamespace(PyTorchUtilsLogic=logic))
    return asked


def pip_ends_with(monkeypatch, error: Exception) -> None:
    def pip_ensure(requirements, requester=None, **_):
        raise error

    monkeypatch.setattr(slicer.packaging, "pip_ensure", pip_ensure)


def test_a_missing_pytorch_extension_is_named(no_torch, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(
        InputError, match="install the extension 'PyTorch' in the Extensions Manager, restart"
    ):
        no_torch.ensure("MRINRSuperRes")


def test_torch_is_installed_by_pytorch_utils_and_with_consent(no_torch, monkeypatch):
    asked = utils(monkeypatch, SimpleNamespace(__version__="2.9"))
    no_torch.ensure("MRINRSuperRes")
    assert asked == [{"askConfirmation": True, "torchVersionRequirement": ">=2.2"}]


def test_declining_torch_is_no_error_of_ours_and_apply_asks_again(no_torch, monkeypatch):
    asked = utils(monkeypatch, None)
    for _ in range(2):
        with pytest.raises(
            InputError, match="PyTorch was not installed; press Apply again to be asked again"
        ):
            no_torch.ensure("MRINRSuperRes")
    assert len(asked) == 2


def test_declining_a_small_package_says_which(install, monkeypatch):
    pip_ends_with(monkeypatch, RuntimeError("User declined package installation"))
    with pytest.raises(InputError, match=r"no_such_package>=1 could not be installed.*declined"):
        install.ensure("MRINRSynthesis", SMALL)


def test_offline_pip_fails_and_the_log_is_named(install, monkeypatch):
    pip_ends_with(monkeypatch, subprocess.CalledProcessError(1, ["pip", "install"]))
    with pytest.raises(
        InputError, match=r"no_such_package>=1 could not be installed .*console shows the log"
    ):
        install.ensure("MRINRSynthesis", SMALL)


@pytest.mark.parametrize(
    "error",
    [
        subprocess.CalledProcessError(1, ["light-the-torch"]),
        RuntimeError("no connection"),
        OSError("No space left on device"),
        ValueError("Failed to determine computation backend"),
    ],
)
def test_a_failed_installation_of_torch_is_one_sentence(no_torch, monkeypatch, error):
    def fail(_options):
        raise error

    utils(monkeypatch, fail)
    with pytest.raises(InputError, match=r"PyTorch could not be installed .*PyTorch Utils") as caught:
        no_torch.ensure("MRINRSuperRes")
    assert "\n" not in str(caught.value)


def test_an_old_torch_asks_for_an_update_and_a_restart(install, monkeypatch):
    monkeypatch.setattr(install, "hasTorch", lambda: True)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.1.0+cpu")
    with pytest.raises(
        InputError, match=r"PyTorch 2.1.0\+cpu is too old .*restart Slicer and press Apply again"
    ):
        install.ensure("MRINRSuperRes")


def test_what_python_cannot_find_after_it_was_installed_needs_a_restart(install, monkeypatch):
    monkeypatch.setattr(slicer.packaging, "pip_ensure", lambda requirements, **_: None)
    with pytest.raises(
        InputError, match="no_such_package>=1 was installed but cannot be found yet: restart Slicer"
    ):
        install.ensure("MRINRSynthesis", SMALL)


def test_nothing_is_asked_when_everything_is_there(install, monkeypatch):
    def never(*_, **__):
        raise AssertionError("asked")

    monkeypatch.setattr(slicer.packaging, "pip_ensure", never)
    utils(monkeypatch, never)
    monkeypatch.setattr(install, "hasTorch", lambda: True)
    install.ensure("MRINRSuperRes", {"json": "json"})


# Which device computes: torch is the real one; what is not there is its answers about a GPU.

torch = pytest.importorskip("torch")


@pytest.fixture
def gpu(monkeypatch):
    """A PyTorch that was built for CUDA, on a machine with a GPU."""
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "NVIDIA RTX 9090")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (15, 0))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80", "sm_90"])


def line() -> str:
    from mrinr.engine import device

    chosen, text = device.choose("auto")
    assert chosen.type == "cpu" and "\n" not in text
    return text


def test_a_torch_for_the_cpu_on_a_machine_with_a_gpu_is_said(monkeypatch):
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert "is built for the CPU only" in line()


def test_a_gpu_too_new_for_torch_fails_the_test_computation_and_is_said(gpu, monkeypatch):
    from mrinr.engine import device

    monkeypatch.setattr(sys, "platform", "linux")
    why = "CUDA error: no kernel image is available for execution on the device"
    monkeypatch.setattr(device, "_computation_problem", lambda kind: why)
    text = line()
    for words in ("NVIDIA RTX 9090 (sm_150) does not work", "made for sm_80, sm_90", "no kernel image"):
        assert words in text
    with pytest.raises(InputError, match="'cuda' cannot be used"):
        device.choose("cuda")


def test_a_gpu_without_its_driver_is_said(monkeypatch):
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert "no NVIDIA GPU with a working driver was found" in line()
