"""Subjects in worker processes of this computer, a few at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Sequence
from typing import Any

from mrinr.commands.batch.task import TASK, Outcome
from mrinr.engine import Client, Event


def run(
    requests: Sequence[dict[str, Any]], jobs: int, threads: int
) -> Generator[tuple[int, Outcome], None, None]:
    """(number of the request, outcome) as they are done. A worker that dies costs its own subject only."""
    clients = [Client(threads=threads) for _ in range(min(jobs, len(requests)))]
    waiting = deque(enumerate(requests))
    working: dict[Client, tuple[int, float]] = {}
    try:
        while waiting or working:
            for client in clients:
                if client not in working and waiting:
                    number, request = waiting.popleft()
                    working[client] = number, time.monotonic()
                    client.submit(TASK, {}, request)
                for event in client.poll():
                    if event.kind in ("result", "failed"):
                        number, started = working.pop(client)
                        yield number, _outcome(event, time.monotonic() - started)
            time.sleep(0.01)
    finally:
        for client in clients:
            client.close()


def _outcome(event: Event, seconds: float) -> Outcome:
    if event.kind == "result":
        return Outcome(**event.data["report"])
    return Outcome("failed", event.data["text"], event.data["input"], round(seconds, 2))
