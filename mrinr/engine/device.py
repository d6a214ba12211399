"""Which device computes, checked by computing on it, and why."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from mrinr.context import Context
from mrinr.engine.failures import is_gpu_out_of_memory
from mrinr.errors import InputError

if TYPE_CHECKING:
    import torch

Result = TypeVar("Result")


def choose(device: str = "auto") -> tuple[torch.device, str]:
    """The torch device for 'auto', 'cpu', 'cuda' or 'mps', and one line that says which and why.

    'auto' takes a GPU that passes a small computation, else the CPU and says why.
    Raises InputError when the device is unknown, or asked for by name and not usable.
    """
    import torch

    if device == "cpu":
        return torch.device("cpu"), "Using the CPU, as asked for."
    if device not in ("auto", "cuda", "mps"):
        raise InputError(f"The device '{device}' is not known; use auto, cpu, cuda or mps.")
    wanted = ("cuda", "mps") if device == "auto" else (device,)
    reasons = []
    for kind in wanted:
        why_not = _cuda_problem() if kind == "cuda" else _mps_problem()
        if why_not is None:
            return torch.device(kind), f"Using {_gpu_name(kind)} ({kind}), which passed a test computation."
        reasons.append(why_not)
    if device != "auto":
        raise InputError(f"The device '{device}' cannot be used: {reasons[0]}; choose auto or cpu.")
    # On a Mac what matters is MPS, everywhere else CUDA.
    return torch.device("cpu"), f"Using the CPU: {reasons[1] if sys.platform == 'darwin' else reasons[0]}."


def or_cpu(work: Callable[[str], Result], device: str, context: Context) -> Result:
    """`work(device)`, and again on the CPU, with a warning, where the GPU that "auto" took lacks memory.

    A device that was asked for by name is not replaced: its error says what else to choose.
    """
    try:
        return work(device)
    except RuntimeError as error:
        if device != "auto" or not is_gpu_out_of_memory(error):
            raise
    context.warn(
        "The GPU ran out of memory, so the CPU was used, which takes longer; a coarser spacing or a region "
        "of interest may fit."
    )
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return work("cpu")


def set_threads(threads: int | None = None) -> int:
    """Let torch and ITK use `threads` cores and return how many.

    None takes torch's own choice: OMP_NUM_THREADS, else every physical core. Raises InputError below 1.
    """
    import torch

    if threads is None:
        threads = torch.get_num_threads()
    if threads < 1:
        raise InputError(f"The number of threads must be at least 1, not {threads}.")
    torch.set_num_threads(threads)
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(threads)
    if "SimpleITK" in sys.modules:  # already read the variable
        sys.modules["SimpleITK"].ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    return threads


def _gpu_name(kind: str) -> str:
    import torch

    return f"the GPU {torch.cuda.get_device_name()}" if kind == "cuda" else "the Apple GPU"


def _cuda_problem() -> str | None:
    import torch

    if not torch.backends.cuda.is_built():
        return f"the installed PyTorch {torch.__version__} is built for the CPU only"
    with warnings.catch_warnings():  # torch warns at length about what is said here in one line
        warnings.simplefilter("ignore")
        if not torch.cuda.is_available():
            return "no NVIDIA GPU with a working driver was found"
        problem = _computation_problem("cuda")
        if problem is None:
            return None
        major, minor = torch.cuda.get_device_capability()
        name = torch.cuda.get_device_name()
    known = ", ".join(torch.cuda.get_arch_list())
    return (
        f"the GPU {name} (sm_{major}{minor}) does not work with the installed PyTorch {torch.__version__}, "
        f"which is made for {known} ({problem})"
    )


def _mps_problem() -> str | None:
    import torch

    if not torch.backends.mps.is_built():
        return f"the installed PyTorch {torch.__version__} is built without Apple's Metal"
    if not torch.backends.mps.is_available():
        return "no Apple GPU that PyTorch can use was found"
    problem = _computation_problem("mps")
    return None if problem is None else f"the Apple GPU failed a test computation ({problem})"


def _computation_problem(kind: str) -> str | None:
    """Multiply two small matrices on the device; the first line of what went wrong, None when nothing did."""
    import torch

    try:
        ones = torch.ones(8, 8, device=kind)
        if float((ones @ ones).sum()) != 512.0:
            return "it computed a wrong sum"
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        return (str(error).splitlines() or [type(error).__name__])[0]
    return None
