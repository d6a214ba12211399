"""What lies in the data folders: label maps to simulate people from, or real subjects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mrinr.errors import InputError
from mrinr.training.simulated import SimulatedSlices, Wanted

SUFFIXES = (".nii.gz", ".nii", ".nrrd")


@dataclass(frozen=True)
class Source:
    """People to train on.

    maps : label maps
    licence : of the data, as far as a file LICENSE or a README beside them says nothing else
    """

    maps: tuple[Path, ...]
    licence: str = "see the data's own licence"

    @property
    def described(self) -> str:
        return f"people simulated from {len(self.maps)} label maps ({', '.join(map(stem, self.maps))})"

    def slices(self, wanted: Wanted, seed: int, **arguments: Any) -> SimulatedSlices:
        return SimulatedSlices(self.maps, wanted, seed=seed, **arguments)

    def split(self, held_out: Sequence[str]) -> tuple[Source, Source]:
        """Those to train on and those held out: the named ones, else the last sixth."""
        names = [stem(path) for path in self.maps]
        _check_known(held_out, names)
        if not held_out:
            held_out = names[-max(1, len(names) // 6) :]
        apart = tuple(path for path in self.maps if stem(path) in held_out)
        kept = tuple(path for path in self.maps if stem(path) not in held_out)
        if not kept:
            raise InputError("Nobody is left to train on; give more subjects, or hold out fewer.")
        return replace(self, maps=kept), replace(self, maps=apart)


def find_sources(folders: Sequence[Path], exclude: Sequence[str]) -> Source:
    """The people in `folders`. Raises InputError where there are none."""
    maps = [path for folder in folders for path in sorted(folder.iterdir()) if path.name.endswith(SUFFIXES)]
    _check_known(exclude, [stem(path) for path in maps])
    maps = [path for path in maps if stem(path) not in exclude]
    if not maps:
        raise InputError(
            f"{folders[0]} holds no label maps and no subjects that can be used; name another folder."
        )
    return Source(tuple(maps))


def stem(path: Path) -> str:
    return path.name.partition(".")[0]


def _check_known(wanted: Sequence[str], names: Sequence[str]) -> None:
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise InputError(f"There is no '{unknown[0]}' in the data; there are {', '.join(names)}.")
