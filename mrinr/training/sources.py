"""What lies in the data folders: label maps to simulate people from, and real subjects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch.utils.data import IterableDataset

from mrinr.context import Context
from mrinr.errors import InputError
from mrinr.synthesis import INPUTS
from mrinr.training import simulated
from mrinr.training.batch import Batch
from mrinr.training.folders import Subject, look, within
from mrinr.training.simulated import SimulatedSlices, Wanted

LISTED = 20  # names that a description gives


@dataclass(frozen=True)
class Source:
    """People to train on.

    maps : label maps, from which people are simulated
    subjects : real ones
    licence : of the data, in words
    """

    maps: tuple[Path, ...] = ()
    subjects: tuple[Subject, ...] = ()
    licence: str = "see the data's own licence"

    @property
    def described(self) -> str:
        parts = []
        if self.maps:
            names = _listed(map(stem, self.maps))
            parts.append(f"people simulated from {_counted(len(self.maps), 'label map')} ({names})")
        if self.subjects:
            there = {name for subject in self.subjects for name in subject.images}
            sequences = ", ".join(name for name in INPUTS if name in there)
            names = _listed(subject.name for subject in self.subjects)
            parts.append(f"{_counted(len(self.subjects), 'real subject')} with {sequences} ({names})")
        return " and ".join(parts)

    @property
    def limit(self) -> str:
        """What a model that has seen only these people cannot know."""
        if not self.subjects:
            return "Trained on simulated people: what the simulator does not draw, it has not seen."
        if not self.maps:
            return (
                "Trained on the real people named: other scanners and diseases than theirs it has not seen."
            )
        return "Trained on simulated people and the real ones named: what neither show, it has not seen."

    def having(self, wanted: Wanted, context: Context) -> Source:
        """Those with sequences that are wanted; a warning for each subject that is left out.

        Raises InputError when nobody is left, or when nobody has one of the sequences.
        """
        there = {name for subject in self.subjects for name in subject.images}
        missing = _once(name for name in (*wanted.inputs, *wanted.targets) if name not in there)
        if missing and not self.maps:
            raise InputError(
                f"No subject has {', '.join(missing)}; name --inputs and --target that they have."
            )
        kept = []
        for subject in self.subjects:
            if within(wanted, subject.images):
                kept.append(subject)
            else:
                context.warn(f"{subject.name} is left out: it has only {', '.join(subject.images)}.")
        if not kept and not self.maps:
            raise InputError("No subject has all inputs and a target; name fewer --inputs.")
        return replace(self, subjects=tuple(kept))

    def slices(self, wanted: Wanted, seed: int, **arguments: Any) -> IterableDataset[Batch]:
        """An endless stream of batches: of simulated people, of real ones, or of both in turn."""
        streams: list[IterableDataset[Batch]] = []
        if self.maps:
            streams.append(SimulatedSlices(self.maps, wanted, seed=seed, **arguments))
        if self.subjects:
            from mrinr.training.real import RealSlices

            # Real slices always hold some brain: no mask says what lies above and below it.
            real = {name: value for name, value in arguments.items() if name != "everywhere"}
            streams.append(RealSlices(self.subjects, wanted, seed=seed, **real))
        return streams[0] if len(streams) == 1 else InTurn(streams)

    def levels(self, names: Sequence[str], seed: int) -> dict[str, Any]:
        """How bright the sequences are beside each other, see `mrinr.synthesis.levels`.

        From the simulator where there are label maps: it has one gain for all. Else from the scans.
        """
        if self.maps:
            return simulated.levels(self.maps, names, seed)
        from mrinr.training import patient

        return patient.levels(self.subjects, names, seed)

    def split(self, held_out: Sequence[str]) -> tuple[Source, Source]:
        """Those to train on and those held out: the named ones, else the last sixth of maps and of people."""
        _check_known(held_out, self.names)
        if not held_out:
            maps, people = [stem(path) for path in self.maps], _once(s.person for s in self.subjects)
            held_out = [name for names in (maps, people) for name in _last_sixth(names)]
        apart, kept = self._where(held_out, True), self._where(held_out, False)
        if not kept or not apart:
            raise InputError("Nobody is left to train on; give more subjects, or hold out fewer.")
        return kept, apart

    @property
    def names(self) -> list[str]:
        """What --held-out and --exclude may name: a map, a subject, or a person with all their scans."""
        subjects = [name for subject in self.subjects for name in (subject.name, subject.person)]
        return _once([*map(stem, self.maps), *subjects])

    def __bool__(self) -> bool:
        return bool(self.maps or self.subjects)

    def _where(self, names: Sequence[str], named: bool) -> Source:
        maps = (path for path in self.maps if (stem(path) in names) == named)
        subjects = (s for s in self.subjects if bool({s.name, s.person} & set(names)) == named)
        return replace(self, maps=tuple(maps), subjects=tuple(subjects))


class InTurn(IterableDataset[Batch]):
    """A batch of each stream, again and again."""

    def __init__(self, streams: Sequence[IterableDataset[Batch]]) -> None:
        super().__init__()
        self.streams = list(streams)

    def __iter__(self) -> Iterator[Batch]:
        for batches in zip(*self.streams, strict=False):
            yield from batches


def find_sources(folders: Sequence[Path], exclude: Sequence[str]) -> Source:
    """The people in `folders`. Raises InputError where there are none."""
    maps: list[Path] = []
    subjects: list[Subject] = []
    for folder in folders:
        found, loose = look(folder)
        if not found and not loose:
            raise InputError(
                f"{folder} holds no label maps and no subjects whose scans are named after their sequence "
                "(T1.nii.gz, FLAIR.nii.gz, ...); name another folder."
            )
        maps, subjects = maps + loose, subjects + found
    source = Source(tuple(maps), tuple(subjects))
    _check_known(exclude, source.names)
    kept = source._where(exclude, False)
    if not kept:
        raise InputError("Everybody is excluded; exclude fewer.")
    return kept


def stem(path: Path) -> str:
    return path.name.partition(".")[0]


def _last_sixth(names: Sequence[str]) -> Sequence[str]:
    """At least one, but never all."""
    count = min(max(1, len(names) // 6), len(names) - 1)
    return names[len(names) - count :] if count > 0 else ()


def _once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _listed(names: Iterable[str]) -> str:
    all_names = list(names)
    more = len(all_names) - LISTED
    return ", ".join(all_names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _check_known(wanted: Sequence[str], names: Sequence[str]) -> None:
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise InputError(f"There is no '{unknown[0]}' in the data; there are {_listed(names)}.")
