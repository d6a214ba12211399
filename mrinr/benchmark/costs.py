"""What a model costs to run: time and memory, for comparison within one run on one machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from statistics import median
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

REPEATS = 3


@dataclass(frozen=True)
class Cost:
    """parameters : of the network; seconds : of the CPU; peak : bytes of weights and largest tensors"""

    parameters: int
    seconds: float
    peak: int


def cost(network: torch.nn.Module, work: Callable[[], Any], repeats: int = REPEATS) -> Cost:
    """Of `work`, which runs `network` on the CPU without training it; a first time is not counted."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler writes to stderr
    took = []
    with torch.inference_mode():
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
            work()
        for _ in range(repeats):
            start = time.process_time()
            work()
            took.append(time.process_time() - start)
    # What operations took and gave back, in the order in which they began.
    events = sorted(seen.events(), key=lambda event: event.time_range.start)
    largest = max(accumulate(event.self_cpu_memory_usage for event in events), default=0)
    weights = [*network.parameters(), *network.buffers()]
    parameters = sum(p.numel() for p in network.parameters())
    return Cost(parameters, median(took), largest + sum(w.numel() * w.element_size() for w in weights))
