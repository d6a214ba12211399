"""Whether the work fits into memory, asked before it starts."""

from __future__ import annotations

from collections.abc import Mapping

from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.memory import affordable_bytes
from mrinr.synthesis.space import working_grid

BASE_BYTES = 6e8  # interpreter, torch and the networks
# Arrays of four bytes: of the working grid for each input and once, of the result's grid, of what was read.
EACH, ONCE, RESULT, READ = 6, 12, 8, 3


def needed_bytes(grids: Mapping[str, Grid], like: str) -> float:
    """What a synthesis from scans on these grids, to be on that of `like`, takes at most."""
    working = working_grid(grids[like]).size * (EACH * len(grids) + ONCE)
    return BASE_BYTES + 4.0 * (
        working + RESULT * grids[like].size + READ * sum(g.size for g in grids.values())
    )


def check_room(grids: Mapping[str, Grid], like: str) -> None:
    """Raise InputError, one sentence, where that is more than can be used."""
    needed, limit = needed_bytes(grids, like), affordable_bytes()
    if needed > limit:
        largest = max(grids.values(), key=lambda grid: grid.size)
        shape = " x ".join(map(str, largest.shape))
        raise InputError(
            f"Scans of up to {shape} voxels would need {needed / 1e9:.0f} GB of memory and {limit / 1e9:.0f} GB "
            "can be used; crop them, or resample them to larger voxels."
        )
