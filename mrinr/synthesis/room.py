"""Whether the work fits into memory, asked before it starts."""

from __future__ import annotations

from collections.abc import Mapping

from mrinr.errors import InputError
from mrinr.geometry import Grid
from mrinr.memory import affordable_bytes
from mrinr.synthesis.space import working_grid

BASE_BYTES = 6e8  # interpreter, torch and the networks
# Arrays of four bytes: of the working grid for each input and once, of the result's grid, of what was read.
EACH, ONCE, RESULT, READ = 4, 8, 8, 2


def needed_bytes(grids: Mapping[str, Grid], like: str) -> float:
    """What a synthesis from scans on these grids, to be on that of `like`, takes at most."""
    working = working_grid(grids[like]).size * (EACH * len(grids) + ONCE)
    read = READ * sum(grid.size for grid in grids.values())
    return BASE_BYTES + 4.0 * (working + RESULT * grids[like].size + read)


def check_room(grids: Mapping[str, Grid], like: str) -> None:
    """Raise InputError, one sentence, where that is more than can be used."""
    needed, limit = needed_bytes(grids, like), affordable_bytes()
    if needed > limit:
        shape = " x ".join(map(str, max(grids.values(), key=lambda grid: grid.size).shape))
        raise InputError(
            f"Scans of up to {shape} voxels would need {needed / 1e9:.0f} GB of memory and "
            f"{limit / 1e9:.0f} GB can be used; crop them, or resample them to larger voxels."
        )
