"""Python packages that the worker needs, installed when a person presses Apply and never before."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import subprocess
from collections.abc import Mapping

import slicer
from slicer.i18n import tr as _

from mrinr.errors import InputError

TORCH = ">=2.2"


def hasTorch() -> bool:
    """Whether PyTorch is installed; it is not imported."""
    return importlib.util.find_spec("torch") is not None


def require(small: Mapping[str, str] | None = None) -> None:
    """For scripts, which nobody may interrupt with a question: raises InputError where `ensure` would ask."""
    lacking = [*([] if hasTorch() else ["PyTorch"]), *_missing(small or {})]
    if lacking:
        raise InputError(
            _("{packages} is needed and not installed: press Apply in the module's panel once.").format(
                packages=", ".join(lacking)
            )
        )


def _missing(small: Mapping[str, str]) -> list[str]:
    return [requirement for module, requirement in small.items() if importlib.util.find_spec(module) is None]


def ensure(requester: str, small: Mapping[str, str] | None = None) -> None:
    """Install what is missing, after asking. Raises InputError with what to do when that did not work.

    While Slicer runs its tests nobody can answer, so nothing is asked or installed: what is missing raises.

    requester : the module's name, shown in the question
    small : requirements by the module that they bring, besides PyTorch; the rest comes with Slicer
    """
    small = small or {}
    lacking = _missing(small)
    if lacking:
        _installSmall(lacking, requester)
        still = _missing(small)
        if still:
            raise InputError(_stillMissing().format(packages=", ".join(still)))
    if not hasTorch():
        _installTorch()
    elif not _torchIsNewEnough():
        raise InputError(
            _(
                "PyTorch {version} is too old (2.2 or later is needed); update it in the PyTorch Utils "
                "module, restart Slicer and press Apply again."
            ).format(version=importlib.metadata.version("torch"))
        )


def _stillMissing() -> str:
    if slicer.app.testingEnabled():
        return _("{packages} has to be installed first; Slicer installs nothing while it runs tests.")
    return _("{packages} was installed but cannot be found yet: restart Slicer and press Apply again.")


def _installSmall(requirements: list[str], requester: str) -> None:
    import slicer.packaging  # of Slicer 5.12 and later

    try:
        slicer.packaging.pip_ensure(
            requirements, requester=requester
        )  # does nothing while Slicer runs its tests
    except (RuntimeError, subprocess.CalledProcessError) as error:
        raise InputError(
            _("{packages} could not be installed ({reason}); the Python console shows the log.").format(
                packages=", ".join(requirements), reason=error
            )
        ) from error
    importlib.invalidate_caches()


def _installTorch() -> None:
    try:
        import PyTorchUtils  # of the PyTorch extension
    except ModuleNotFoundError as error:
        raise InputError(
            _(
                "PyTorch is needed and not installed: install the extension 'PyTorch' in the Extensions "
                "Manager, restart Slicer and press Apply again."
            )
        ) from error
    if slicer.app.testingEnabled():
        raise InputError(
            _("PyTorch has to be installed first; nothing is installed while Slicer runs tests.")
        )
    try:
        installed = PyTorchUtils.PyTorchUtilsLogic().installTorch(
            askConfirmation=True, torchVersionRequirement=TORCH
        )
    except (RuntimeError, ValueError, OSError, subprocess.CalledProcessError) as error:
        raise InputError(
            _(
                "PyTorch could not be installed ({reason}); are you online? The Python console shows the "
                "log; the PyTorch Utils module offers other versions."
            ).format(reason=" ".join(str(error).split()))
        ) from error
    importlib.invalidate_caches()
    if installed is None:
        raise InputError(
            _(
                "PyTorch was not installed; press Apply again to be asked again, or choose a version in the "
                "PyTorch Utils module (the Python console shows the log)."
            )
        )


def _torchIsNewEnough() -> bool:
    try:
        numbers = importlib.metadata.version("torch").split("+")[0].split(".")
        return (int(numbers[0]), int(numbers[1])) >= (2, 2)
    except (importlib.metadata.PackageNotFoundError, ValueError, IndexError):
        return True  # built by hand: let it try
