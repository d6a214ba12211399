"""A function in a process of its own, so that its memory is its own."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch

from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.memory import peak_bytes


@dataclass(frozen=True)
class Measured:
    """What a function returned, its CPU-seconds (all threads), and the most it added to memory, MB."""

    value: Any
    seconds: float
    megabytes: float


_spent = [0.0]  # CPU-seconds of all such processes


def seconds() -> float:
    """CPU-seconds of all such processes so far."""
    return _spent[0]


def apart(function: Callable[..., Any], *arguments: Any, context: Context) -> Measured:
    """Call `function(*arguments)` in a fresh process with as many threads as here.

    Where a GPU does the work, megabytes are the GPU's and seconds are those on the clock. Raises what the
    function raises, `Cancelled`, and InputError where the process ends without an answer.
    """
    known = multiprocessing.get_all_start_methods()
    # A fork server has imported torch once, and what optimizers import at their first step, and never used
    # them: forking is cheap and safe there.
    how = multiprocessing.get_context("forkserver" if "forkserver" in known else "spawn")
    how.set_forkserver_preload([__name__, function.__module__, "torch._dynamo"])
    receiver, sender = how.Pipe(duplex=False)
    arguments = (sender, torch.get_num_threads(), function, arguments)
    process = how.Process(target=_answer, args=arguments, daemon=True)  # type: ignore[attr-defined]
    process.start()
    sender.close()
    try:
        while not receiver.poll(0.2):
            context.check()
        try:
            found, spent = receiver.recv()
        except EOFError:
            raise InputError(
                "A method ended without an answer, most likely for want of memory; use --small or close "
                "other programs."
            ) from None
    finally:
        process.kill()
        process.join()
    _spent[0] += spent
    if isinstance(found, BaseException):
        raise found
    return found


def _answer(sender: Connection, threads: int, function: Callable[..., Any], arguments: tuple) -> None:
    torch.set_num_threads(threads)
    before = peak_bytes()
    on_gpu = torch.cuda.is_available()
    clock = time.perf_counter if on_gpu else time.process_time
    start = clock()
    try:
        value = function(*arguments)
    except Exception as error:
        sender.send((error, time.process_time()))
        return
    taken = clock() - start
    most = torch.cuda.max_memory_allocated() if on_gpu else peak_bytes() - before
    sender.send((Measured(value, taken, most / 1e6), time.process_time()))
