"""Signal of a tissue under a sequence: closed forms of the Bloch equations. Times are in ms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mrinr.errors import InputError


@dataclass(frozen=True)
class Sequence:
    """What the scanner plays.

    TR, TE, TI : repetition, echo and inversion time in ms; TI 0 for no inversion
    echo_train : echoes after one excitation (spin echo), or excitations after one inversion (MPRAGE)
    TE_last : time of the last echo, in ms; 2 TE unless given (the centre of k-space lies mid-train)
    flip : flip angle in degrees of a spoiled gradient echo; None for spin echo
    TI2 : second inversion time in ms (double inversion recovery): TI separates the two inversions and TI2
        the second one from the excitation
    b : diffusion weighting in s/mm2
    agent : whether it is played after contrast agent
    """

    TR: float
    TE: float
    TI: float = 0.0
    echo_train: int = 1
    TE_last: float | None = None
    flip: float | None = None
    TI2: float = 0.0
    b: float = 0.0
    agent: bool = False

    def __post_init__(self) -> None:
        times = (self.TR, self.TE, self.TI, self.TI2, self.last_echo, self.b)
        if not np.isfinite(times).all() or self.TR <= 0 or self.TE <= 0 or min(times) < 0:
            raise InputError(
                "TR and TE must be above 0 ms and TI and b at least 0, "
                f"not {self.TR}, {self.TE}, {self.TI}, {self.b}."
            )
        needed = self.TI + self.TI2 + (self.last_echo if self.flip is None else 0)
        if needed > self.TR:
            raise InputError(
                f"The inversion and echo times ({needed:g} ms) do not fit into TR {self.TR:g} ms."
            )
        if self.flip is not None and self.TI > 0:
            half = self.echo_train * self.echo_spacing / 2
            if half > self.TI or half > self.TR - self.TI:
                count = self.echo_train
                raise InputError(f"{count} gradient echoes do not fit around TI {self.TI:g} ms; use fewer.")

    @property
    def last_echo(self) -> float:
        return 2 * self.TE if self.TE_last is None else self.TE_last

    @property
    def echo_spacing(self) -> float:
        """Time between two excitations of a gradient-echo train; symmetric readouts take 2 TE."""
        return 2 * self.TE


def signal(
    sequence: Sequence, T1: np.ndarray, T2: np.ndarray, PD: np.ndarray, ADC: np.ndarray | float | None = None
) -> np.ndarray:
    """Magnitude of the signal of tissues T1, T2 (ms), PD (relative) and ADC (1e-3 mm2/s), of one shape.

    Without an ADC nothing is lost to diffusion.
    """
    transverse = PD * np.exp(-sequence.TE / T2)
    if sequence.b and ADC is not None:
        transverse = transverse * np.exp(-sequence.b * 1e-3 * ADC)
    if sequence.flip is not None:
        recovered = mprage(sequence, T1) if sequence.TI else spoiled(sequence, T1)
        return np.abs(recovered) * transverse
    recovery = np.exp(-(sequence.TR - sequence.last_echo) / T1)
    if sequence.TI2:
        first, second = np.exp(-sequence.TI / T1), np.exp(-sequence.TI2 / T1)
        return np.abs(1 - 2 * second + 2 * first * second - recovery) * transverse
    if sequence.TI:
        return np.abs(1 - 2 * np.exp(-sequence.TI / T1) + recovery) * transverse
    return (1 - recovery) * transverse


def spoiled(sequence: Sequence, T1: np.ndarray) -> np.ndarray:
    """Steady state of a spoiled gradient echo (Ernst and Anderson 1966), T2 taken for T2*."""
    assert sequence.flip is not None
    angle, decay = np.deg2rad(sequence.flip), np.exp(-sequence.TR / T1)
    return np.sin(angle) * (1 - decay) / (1 - np.cos(angle) * decay)


def mprage(sequence: Sequence, T1: np.ndarray) -> np.ndarray:
    """Signal mid-train, TI after the inversion, in the steady state of cycles (Deichmann 2000).

    One cycle: inversion, recovery, `echo_train` excitations, recovery until TR. Each part takes longitudinal
    magnetisation m to a + b m, so the steady state is the fixed point of their product.
    """
    assert sequence.flip is not None
    angle, spacing, count = np.deg2rad(sequence.flip), sequence.echo_spacing, sequence.echo_train
    before = np.exp(-(sequence.TI - count * spacing / 2) / T1)
    after = np.exp(-(sequence.TR - sequence.TI - count * spacing / 2) / T1)
    decay = np.exp(-spacing / T1)
    held = (1 - decay) / (1 - np.cos(angle) * decay)  # what a long train tends to
    half = (np.cos(angle) * decay) ** (count // 2)
    whole = (np.cos(angle) * decay) ** count
    # m at the inversion = after-part(train-part(before-part(-m)))
    constant = (1 - after) + after * (held + (1 - before - held) * whole)
    start = constant / (1 + after * whole * before)
    middle = held + (1 - before - before * start - held) * half
    return np.sin(angle) * middle
