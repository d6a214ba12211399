"""Subjects on a Dask cluster, whose workers see the same folders: the extra 'cluster'."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from mrinr.commands.batch.task import Outcome, attempt
from mrinr.engine.failures import sentence
from mrinr.errors import InputError

PATIENCE = 30  # seconds to reach the scheduler


def run(requests: Sequence[dict[str, Any]], scheduler: str) -> Generator[tuple[int, Outcome], None, None]:
    """(number of the request, outcome) as they are done.

    The subject of a worker that died goes to another one; one that takes several workers down fails.
    Raises InputError where Dask is missing or nobody answers.
    """
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise InputError("--scheduler needs Dask: pip install 'mrinr[cluster]'.") from error
    try:
        client = Client(scheduler, timeout=PATIENCE)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(f"No Dask scheduler answers at {scheduler}; check its address.") from error
    with client:
        numbers = {
            client.submit(attempt, request, pure=False, key=f"mrinr-{number}-{request['name']}"): number
            for number, request in enumerate(requests)
        }
        for future in as_completed(list(numbers), raise_errors=False):
            wrong = future.exception()
            yield numbers[future], future.result() if wrong is None else Outcome("failed", sentence(wrong))
