"""Was a series interpolated across its slices? Its spectrum tells, whatever its header says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mrinr.intensity import foreground_mask
from mrinr.volume import Stack, Volume

BLOCK = 144  # voxels: the middle of the volume is enough
LENGTH = 32.0  # mm, of the pieces of lines whose spectra are averaged (Welch 1967)
FEWEST = 16  # voxels along an axis, and pieces of lines, that a spectrum needs
END, GONE = -3.0, -4.0  # dB: where detail ends, and what is left of it in the octave above at most
RISE = 3.0  # dB, by which the spectrum rises again behind a zero
COARSER = 1.3  # apparent over stated thickness from which it is worth a word

Spectrum = tuple[np.ndarray, np.ndarray]  # frequencies in 1/mm, without 0, and power density


@dataclass(frozen=True)
class Interpolated:
    """An axis (0, 1 or 2) along which a volume holds no detail finer than `thickness` mm, and its spacing."""

    axis: int
    thickness: float
    spacing: float


def find(volume: Volume) -> Interpolated | None:
    """The axis along which `volume` was interpolated, the worst where there are several; None for none.

    Anatomy has about the same power spectrum in every direction. Where the spectrum along one axis falls away
    from that of the other two, by `GONE` dB over an octave, nothing finer was measured along it: the spectrum
    of what was interpolated ends near 1 / (2 thickness), that of what was acquired only at its voxels.
    Pieces of lines lie inside the head or brain, so that masks and air do not count. Too few voxels to tell:
    None.
    """
    low = [max(0, (n - BLOCK) // 2) for n in volume.voxels.shape]
    block = volume.voxels[tuple(slice(a, a + BLOCK) for a in low)]
    volume = volume.with_voxels(block)
    if min(block.shape) < FEWEST or not np.isfinite(block).all() or np.ptp(block) == 0:
        return None
    inside = foreground_mask(volume)
    spectra = [_spectrum(block, inside, axis, float(volume.spacing[axis])) for axis in range(3)]
    found = []
    for axis, own in enumerate(spectra):
        others = [other for n, other in enumerate(spectra) if n != axis and other is not None]
        if own is None or len(others) < 2:
            continue
        thickness = _thickness(own, others)
        if thickness is not None:
            found.append(Interpolated(axis, thickness, float(volume.spacing[axis])))
    return max(found, key=lambda one: one.thickness / one.spacing, default=None)


def warning(stack: Stack) -> str | None:
    """A sentence where a stack's slices are thicker than they are said to be; None where all is well."""
    found = find(stack.volume)
    if found is None:
        return None
    stated = stack.thickness if found.axis == stack.slice_axis else found.spacing
    if found.thickness < COARSER * max(stated or 0.0, found.spacing):
        return None
    plane = stack.volume.grid.orientation(found.axis)
    thickness = round(2 * found.thickness) / 2
    return (
        f"{stack.volume.name} looks interpolated: its {plane} slices are {found.spacing:.2g} mm apart and "
        f"hold no detail finer than slices of about {thickness:g} mm; use the series as it was acquired, "
        "or state that thickness."
    )


def _spectrum(block: np.ndarray, inside: np.ndarray, axis: int, spacing: float) -> Spectrum | None:
    """The mean over pieces of lines that lie inside; None where there are too few."""
    lines, kept = np.moveaxis(block, axis, -1), np.moveaxis(inside, axis, -1)
    length = min(round(LENGTH / spacing), lines.shape[-1])
    if length < FEWEST:
        return None
    window = np.hanning(length + 2)[1:-1].astype(np.float32)
    total, count = np.zeros(length // 2 + 1), 0
    for start in range(0, lines.shape[-1] - length + 1, length // 2):
        pieces = lines[..., start : start + length][kept[..., start : start + length].all(-1)]
        pieces = (pieces - pieces.mean(-1, keepdims=True)) * window
        total += (np.abs(np.fft.rfft(pieces, axis=-1)) ** 2).sum(0)
        count += len(pieces)
    if count < FEWEST or not total.all():
        return None
    return np.fft.rfftfreq(length, spacing)[1:], total[1:] / count / float((window**2).sum()) * spacing


def _thickness(own: Spectrum, others: list[Spectrum]) -> float | None:
    """Apparent slice thickness in mm where the spectrum falls away from the mean of the others, else None.

    Linear interpolation leaves a zero at 1 / thickness; where none is seen, detail ends at 1 / (2 thickness).
    """
    frequency, power = own
    seen = frequency <= min(f[-1] for f, _ in others) * 1.001
    frequency = frequency[seen]
    reference = np.mean([np.interp(frequency, f, np.log(p)) for f, p in others], axis=0)
    level = 10 / np.log(10) * (np.log(power[seen]) - reference)  # dB
    end = _crossing(frequency, level, END)
    if end is None:
        return None
    octave = (frequency > 1.2 * end) & (frequency <= 2.4 * end)
    if octave.sum() < 2 or level[octave].mean() > GONE:
        return None
    lowest = int(np.argmin(level))
    if level[lowest:].max() > level[lowest] + RISE:
        return float(1 / frequency[lowest])
    deep = _crossing(frequency, level, 2 * END)
    return 0.5 / end if deep is None else float(0.5 / np.sqrt(end * deep))


def _crossing(frequency: np.ndarray, level: np.ndarray, threshold: float) -> float | None:
    """Where `level` first falls below `threshold`; None where it never does."""
    below = np.flatnonzero((level[1:] < threshold) & (level[:-1] >= threshold))
    if len(below) == 0:
        return None
    at = int(below[0])
    part = (level[at] - threshold) / (level[at] - level[at + 1])
    return float(frequency[at] + part * (frequency[at + 1] - frequency[at]))
