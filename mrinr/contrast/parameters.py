"""TR, TE and TI from what people type and scanners write: checked, in milliseconds. No torch here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mrinr.errors import InputError
from mrinr.simulation.sequences import SEQUENCES, null
from mrinr.simulation.signal import Sequence as MRSequence
from mrinr.simulation.tissue import TISSUES

CLINICAL = ("T1", "T1FLAIR", "T2", "FLAIR", "PD", "STIR")
PAPER = tuple(f"CRL{n}" for n in range(1, 10))  # Table 1 of the contrast representation paper
PRESETS = {name: SEQUENCES[name] for name in (*CLINICAL, *PAPER)}
TITLES = {"T1FLAIR": "T1-FLAIR", **{name: f"{name[:3]} {name[3:]}" for name in PAPER}}
NULLABLE = {  # what an inversion time can make dark, and its T1 (ms)
    name: TISSUES[name].T1 for name in ("CSF", "grey matter", "white matter", "fat")
}
TYPE_THEM = "give TR,TE,TI in milliseconds (TI 0 for none)"
# Below these a time in milliseconds is no spin echo's, but is one in seconds.
SECONDS = {"TR": 20.0, "TE": 1.0, "TI": 20.0}
LONGEST = 100_000.0  # ms; what is longer was multiplied once too often
Box = Mapping[str, Sequence[float]]


def sequence(TR: Any, TE: Any, TI: Any = 0.0, of: str = "the target") -> MRSequence:
    """A spin echo or inversion recovery of these times in ms.

    of : whose times they are, for the sentence of the InputError that wrong times raise: missing, no numbers,
        zero, negative, in seconds, TE or TI above TR, or so long that they do not fit into TR together
    """
    times = {name: _number(name, value, of) for name, value in (("TR", TR), ("TE", TE), ("TI", TI or 0.0))}
    for name, value in times.items():
        if value < 0 or (value == 0 and name != "TI"):
            raise InputError(
                f"{name} of {of} is {value:g} ms and must be above 0; {TYPE_THEM}."
                if name != "TI"
                else f"TI of {of} is {value:g} ms and must not be negative; 0 stands for no inversion."
            )
    for name, value in times.items():
        if 0 < value < SECONDS[name]:
            raise InputError(
                f"{name} of {of} is {value:g}, which is too short for milliseconds of a spin echo and "
                f"looks like seconds; for {value:g} s give {1000 * value:g}."
            )
        if value > LONGEST:
            raise InputError(
                f"{name} of {of} is {value:g} ms, which is too long; if a sidecar has milliseconds "
                "where BIDS has seconds, type the times."
            )
    for name in ("TE", "TI"):
        if times[name] > times["TR"]:
            raise InputError(
                f"{name} of {of} ({times[name]:g} ms) is longer than its TR ({times['TR']:g} ms); check both."
            )
    try:
        return MRSequence(times["TR"], times["TE"], times["TI"])
    except InputError as error:
        raise InputError(f"{of[0].upper()}{of[1:]} cannot be played: {error}") from error


def of_times(given: Any, of: str = "the target") -> MRSequence:
    """`sequence` of (TR, TE, TI) or (TR, TE); anything else raises InputError, too."""
    if isinstance(given, str) or not hasattr(given, "__len__") or len(given) not in (2, 3):
        raise InputError(f"Times of {of} must be (TR, TE, TI) in milliseconds, TI 0 for none.")
    TR, TE, TI = (*given, 0.0)[:3]
    return sequence(TR, TE, TI, of)


def parse(text: str, of: str = "the target") -> MRSequence:
    """A preset's name ("T2", "t1-flair", "CRL3") or "TR,TE" or "TR,TE,TI" in ms.

    In the place of TI, "null:CSF" or "null:1200" is the one that nulls a tissue, or a T1 in ms. Raises
    InputError with one sentence.
    """
    wanted = _plain(text)
    for name, preset in PRESETS.items():
        if _plain(name) == wanted:
            return preset
    parts = [part.strip() for part in text.split(",")]
    if not 2 <= len(parts) <= 3:
        raise InputError(f"'{text}' is neither TR,TE,TI in milliseconds nor one of {', '.join(PRESETS)}.")
    if len(parts) == 3 and parts[2].lower().startswith("null:"):
        plain = sequence(parts[0], parts[1], of=of)
        return with_null(plain, parts[2].partition(":")[2].strip(), of)
    return sequence(parts[0], parts[1], parts[2] if len(parts) == 3 else 0.0, of)


def parse_input(text: str) -> tuple[Path, MRSequence | None]:
    """ "FILE" or "FILE:TR,TE,TI" (or "FILE:T2"); None where no times were given.

    Raises InputError for times that are none; a colon in a file's name or after a drive's letter is no mark.
    """
    path, colon, times = text.rpartition(":")
    if not text.strip() or (colon and not path):
        raise InputError(f"--input must be FILE or FILE:TR,TE,TI, not '{text}'.")
    if not colon or "/" in times or "\\" in times or Path(text).expanduser().exists():
        return Path(text), None
    head, mark, word = path.rpartition(":")
    if mark and word.rstrip().lower().endswith("null"):  # FILE:TR,TE,null:CSF
        path, times = head, f"{word}:{times}"
    return Path(path), parse(times, of=Path(path).name)


def from_meta(meta: Mapping[str, Any], of: str, how: str = TYPE_THEM) -> MRSequence:
    """What DICOM or a sidecar said (`Volume.meta`, in ms). Raises InputError where TR or TE is missing.

    how : what the sentence then says to do
    """
    require(meta, of, how)
    return sequence(meta["TR"], meta["TE"], meta.get("TI", 0.0), of)


def require(known: Mapping[str, Any], of: str, how: str = TYPE_THEM) -> None:
    """Raise InputError where TR or TE is not known."""
    lacking = [name for name in ("TR", "TE") if known.get(name) is None]
    if lacking:
        raise InputError(
            f"{' and '.join(lacking)} of {of} {'is' if len(lacking) == 1 else 'are'} not known, as neither "
            f"DICOM nor a BIDS sidecar says so; {how}."
        )


def with_null(played: MRSequence, tissue: str, of: str = "the target") -> MRSequence:
    """`played` with the TI that makes dark a tissue, by its name in `NULLABLE` or its T1 in ms."""
    T1 = {_plain(name): value for name, value in NULLABLE.items()}.get(_plain(tissue))
    if T1 is None:
        try:
            T1 = float(tissue)
        except ValueError:
            T1 = math.nan
        if not 20 <= T1 <= 20000:
            raise InputError(
                f"'{tissue}' is no tissue that can be nulled; name {', '.join(NULLABLE)}, or a T1 in ms."
            )
    return sequence(played.TR, played.TE, round(null(sequence(played.TR, played.TE, of=of), T1), 1), of)


def times(played: MRSequence) -> tuple[float, float, float]:
    """(TR, TE, TI) in ms."""
    return played.TR, played.TE, played.TI


def text_of(played: MRSequence) -> str:
    """'TR 5000, TE 100 ms' for people; TI where there is one."""
    inversion = f", TI {played.TI:g}" if played.TI else ""
    return f"TR {played.TR:g}, TE {played.TE:g}{inversion} ms"


def title_of(played: MRSequence) -> str:
    """The name of the preset that has these times, else the times."""
    for name, preset in PRESETS.items():
        if times(preset) == times(played):
            return TITLES.get(name, name)
    return text_of(played)


def outside(played: MRSequence, box: Box, of: str = "the target") -> list[str]:
    """A sentence for each time that lies outside what a model was trained on; TI 0 is always inside.

    box : {"TR": [low, high], "TE": ..., "TI": ...} in ms
    """
    said = []
    for name, value in zip(("TR", "TE", "TI"), times(played), strict=True):
        low, high = box[name]
        if name == "TI" and value == 0:
            continue
        if not low <= value <= high:
            said.append(
                f"{name} {value:g} ms of {of} lies outside what the model was trained on ({low:g} to "
                f"{high:g} ms); the result may mean nothing."
            )
    return said


def _number(name: str, value: Any, of: str) -> float:
    if value is None or (isinstance(value, str) and not value.strip()):
        raise InputError(f"{name} of {of} is missing; {TYPE_THEM}.")
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{name} of {of} is '{value}', which is no number; {TYPE_THEM}.")
    return number


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
