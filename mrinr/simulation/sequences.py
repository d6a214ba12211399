"""Named sequences at 3 T. Times in ms."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Names
from dataclasses import replace

import numpy as np

from mrinr.errors import InputError
from mrinr.simulation.signal import Sequence, signal
from mrinr.simulation.tissue import TISSUES

# The inversion times null CSF (T1 4000 ms), DIR's two null white matter (850 ms) as well; a test checks it.
SEQUENCES = {
    "T1": Sequence(TR=600, TE=10),
    "T2": Sequence(TR=5000, TE=100, echo_train=16),
    "FLAIR": Sequence(TR=9000, TE=120, TI=2350, echo_train=16),
    "PD": Sequence(TR=3000, TE=15, echo_train=4),
    "T1FLAIR": Sequence(TR=2000, TE=10, TI=869, echo_train=6),
    "DIR": Sequence(TR=11000, TE=30, TI=3095, TI2=567, echo_train=16),
    "STIR": Sequence(TR=5000, TE=30, TI=260, echo_train=8),
    "DWI": Sequence(TR=6000, TE=80, b=1000),
    "T1ce": Sequence(TR=600, TE=10, agent=True),
    "MPRAGE": Sequence(TR=2300, TE=3.5, TI=900, echo_train=176, flip=9),
    # Table 1 of the contrast representation paper (CRL, MICCAI 2024); ETL is not given there.
    "CRL1": Sequence(TR=2479, TE=9.62, TI=1055),
    "CRL2": Sequence(TR=2479, TE=10.42),
    "CRL3": Sequence(TR=6777, TE=10.42),
    "CRL4": Sequence(TR=6777, TE=62.52),
    "CRL5": Sequence(TR=8000, TE=10.42),
    "CRL6": Sequence(TR=8000, TE=39.92),
    "CRL7": Sequence(TR=8142, TE=104.2),
    "CRL8": Sequence(TR=8000, TE=99.98, TI=1030),
    "CRL9": Sequence(TR=8000, TE=98.78, TI=2025),
}
GROUPS = {
    "clinical": ("T1", "T2", "FLAIR", "PD"),
    "crl": tuple(f"CRL{n}" for n in range(1, 10)),
}
NEARLY_NULLED = 0.1  # of full recovery: CSF below this at its TI is meant to be dark


def named(names: Names[str] | Mapping[str, Sequence]) -> dict[str, Sequence]:
    """Sequences by name; "clinical" and "crl" stand for `GROUPS`. Raises InputError for unknown names."""
    if isinstance(names, Mapping):
        return dict(names)
    wanted = [part for name in names for part in GROUPS.get(name, (name,))]
    unknown = [name for name in wanted if name not in SEQUENCES]
    if unknown:
        raise InputError(
            f"The sequence '{unknown[0]}' is not known; use {', '.join(SEQUENCES)}, clinical or crl."
        )
    return {name: SEQUENCES[name] for name in wanted}


def jittered(sequence: Sequence, rng: np.random.Generator, spread: float = 0.15) -> Sequence:
    """`sequence` with TR, TE and TI log-uniformly up to `spread` longer or shorter; always a playable one.

    Where the TI keeps CSF dark it stays so: TI follows the null of the new TR and TE, give or take 2 %.
    """
    dark = sequence.flip is None and sequence.TI > 0 and csf(sequence) < NEARLY_NULLED
    for attempt in range(20):
        reach = np.log1p(spread) * 0.8**attempt  # a jitter that does not fit is drawn again, smaller
        TR, TE, TI = np.exp(reach * rng.uniform(-1, 1, 3))
        last = None if sequence.TE_last is None else sequence.TE_last * TE
        try:
            made = replace(sequence, TR=sequence.TR * TR, TE=sequence.TE * TE, TI=0.0, TI2=0.0, TE_last=last)
            if dark:
                made = replace(made, TI2=sequence.TI2)
                kept = sequence.TI / csf_null(sequence) * csf_null(made)
                return replace(made, TI=kept * np.exp(min(reach, 0.02) * rng.uniform(-1, 1)))
            return replace(made, TI=sequence.TI * TI, TI2=sequence.TI2 * TI)
        except InputError:
            continue
    return sequence


def csf(sequence: Sequence) -> float:
    """Longitudinal magnetisation of CSF at the excitation, relative to full recovery."""
    T1 = np.array(TISSUES["CSF"].T1)
    return float(signal(replace(sequence, b=0.0), T1, np.array(np.inf), np.array(1.0)))


def csf_null(sequence: Sequence) -> float:
    """The TI in ms that nulls CSF at the TR, TE_last and TI2 of `sequence`."""
    return null(sequence, TISSUES["CSF"].T1)


def null(sequence: Sequence, T1: float) -> float:
    """The TI in ms at which a tissue of that T1 (ms) gives no signal (signal.py solved).

    Without TI2 this is T1 [ln 2 - ln(1 + exp(-(TR - TE_last) / T1))], Eq. 6 of the contrast representation
    paper, which prints TI where T1 belongs.
    """
    left = np.exp(-(sequence.TR - sequence.last_echo) / T1)
    if sequence.TI2:
        second = np.exp(-sequence.TI2 / T1)
        return float(-T1 * np.log((2 * second - 1 + left) / (2 * second)))
    return float(-T1 * np.log((1 + left) / 2))
