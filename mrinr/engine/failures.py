"""Any exception as one sentence: what went wrong and what to do."""

from __future__ import annotations

import errno
import signal
import sys
import tempfile

from mrinr.errors import InputError

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "failed to allocate")


def is_out_of_memory(error: BaseException) -> bool:
    """True for Python's, numpy's, torch's (CPU and GPU) and ITK's ways of saying so."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in text for words in _OUT_OF_MEMORY)
    )


def is_gpu_out_of_memory(error: BaseException) -> bool:
    return is_out_of_memory(error) and any(gpu in str(error) for gpu in ("CUDA", "HIP", "MPS"))


def breaks_gpu(error: BaseException) -> bool:
    """True for a GPU error after which no kernel runs any more in the same process."""
    return isinstance(error, RuntimeError) and "CUDA error" in str(error)


def sentence(error: BaseException) -> str:
    if isinstance(error, InputError):
        return str(error)
    if is_out_of_memory(error):
        if is_gpu_out_of_memory(error):
            return "The GPU ran out of memory; choose a coarser spacing, a region of interest or the CPU."
        return "The computer ran out of memory; choose a coarser spacing or a region of interest."
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        folder = error.filename or tempfile.gettempdir()
        return f"No space is left on the disk that holds {folder}; free some space and try again."
    if isinstance(error, ImportError):
        return _missing(error)
    text = " ".join(str(error).split())
    return f"An unexpected error stopped the work: {type(error).__name__}{f': {text}' if text else ''}."


def _missing(error: ImportError) -> str:
    package = (error.name or "").partition(".")[0]
    if package == "torch" and isinstance(error, ModuleNotFoundError):
        return (
            "PyTorch is not installed; install it (in Slicer with the PyTorch extension, elsewhere with "
            "'pip install torch') and try again."
        )
    if package and isinstance(error, ModuleNotFoundError):
        return f"The Python package '{package}' is not installed in {sys.prefix}; install it and try again."
    return f"A Python package could not be loaded ({' '.join(str(error).split())}); install it again."


def died(code: int | None) -> str:
    """The sentence for a worker that went away with exit status `code`."""
    if code is not None and code < 0:
        try:
            how = f"stopped by {signal.Signals(-code).name}"
        except ValueError:
            how = f"stopped by signal {-code}"
        if how.endswith("SIGKILL"):
            how += ", perhaps by the system because memory ran out"
    else:
        how = "no exit status" if code is None else f"exit status {code}"
    return f"The worker process stopped unexpectedly ({how}); nothing else was lost, press Apply again."
