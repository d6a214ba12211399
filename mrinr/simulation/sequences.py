"""Named sequences at 3 T. Times in ms."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Names

from mrinr.errors import InputError
from mrinr.simulation.signal import Sequence

# The inversion times null CSF (T1 4000 ms), DIR's two null white matter (850 ms) as well; a test checks it.
SEQUENCES = {
    "T1": Sequence(TR=600, TE=10),
    "T2": Sequence(TR=5000, TE=100, echo_train=16),
    "FLAIR": Sequence(TR=9000, TE=120, TI=2350, echo_train=16),
    "PD": Sequence(TR=3000, TE=15, echo_train=4),
    "T1FLAIR": Sequence(TR=2000, TE=10, TI=869, echo_train=6),
    "DIR": Sequence(TR=11000, TE=30, TI=3095, TI2=567, echo_train=16),
    "MPRAGE": Sequence(TR=2300, TE=3.5, TI=900, echo_train=176, flip=9),
}
CLINICAL = ("T1", "T2", "FLAIR", "PD")


def named(names: Names[str] | Mapping[str, Sequence]) -> dict[str, Sequence]:
    """Sequences by name; "clinical" stands for T1, T2, FLAIR and PD. Raises InputError for unknown names."""
    if isinstance(names, Mapping):
        return dict(names)
    wanted = [part for name in names for part in (CLINICAL if name == "clinical" else (name,))]
    unknown = [name for name in wanted if name not in SEQUENCES]
    if unknown:
        raise InputError(f"The sequence '{unknown[0]}' is not known; use {', '.join(SEQUENCES)} or clinical.")
    return {name: SEQUENCES[name] for name in wanted}
