"""How much memory there is, and how much was used; standard library only."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

SHARE = 0.7  # of what is free now
LIMIT = 8e9  # bytes: a laptop must live with it


def affordable_bytes() -> float:
    """What one job may take."""
    return min(LIMIT, SHARE * available_bytes())


def available_bytes() -> float:
    """Memory that can be taken now without swapping; where the system does not say (macOS), half of all."""
    if sys.platform == "win32":
        # MEMORYSTATUSEX: its own length and the load, then total and available physical memory, ...
        status = (ctypes.c_uint64 * 8)(64)
        if not ctypes.windll.kernel32.GlobalMemoryStatusEx(status):
            raise ctypes.WinError()
        return float(status[2])
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
    return 0.5 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def peak_bytes() -> int:
    """The most memory that this process has held."""
    if sys.platform == "win32":
        # PROCESS_MEMORY_COUNTERS of 64 bits: its own length and the page faults, then the peak, ...
        counters = (ctypes.c_uint64 * 9)(72)
        this_process = ctypes.c_void_p(-1)
        if not ctypes.windll.kernel32.K32GetProcessMemoryInfo(this_process, counters, 72):
            raise ctypes.WinError()
        return int(counters[1])
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024
