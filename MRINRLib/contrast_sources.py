"""Volumes with their TR, TE and TI as sources of another contrast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from mrinr.contrast.parameters import Box, of_times, outside, require
from mrinr.errors import InputError
from mrinr.formats import sidecar
from mrinr.simulation.signal import Sequence as MRSequence
from MRINRLib import dicom, inputs, provenance, study

Times = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Source:
    """One row of the table of sources: a volume node and its times in ms; 0 where unknown, TI 0 for none."""

    node: Any
    TR: float = 0.0
    TE: float = 0.0
    TI: float = 0.0

    @property
    def times(self) -> Times:
        return self.TR, self.TE, self.TI

    def played(self) -> MRSequence:
        """Raises InputError, one sentence, for times that are missing or cannot be."""
        name = self.node.GetName()
        known = {"TR": self.TR or None, "TE": self.TE or None}
        require(known, name, _("type them into the table, in milliseconds"))
        return of_times(self.times, name)

    def problem(self) -> str:
        """What is wrong with the times; empty where nothing is."""
        try:
            self.played()
        except InputError as error:
            return str(error)
        return ""

    def warnings(self, box: Box | None) -> list[str]:
        """What a person should know of this row: outside the model's box, no spin echo."""
        said = [] if box is None or self.problem() else outside(self.played(), box, self.node.GetName())
        scanning = dicom.scanningSequence(self.node)
        if "GR" in scanning or "EP" in scanning:
            said.append(
                _(
                    "{volume} is no spin echo; the model knows spin echoes, so the result may mean nothing."
                ).format(volume=self.node.GetName())
            )
        return said


def sourceFor(node: Any) -> Source:
    """A volume with the times that a person typed before, or DICOM or a BIDS sidecar says.

    Raises InputError for what is no volume.
    """
    inputs.check(node)
    return Source(node, **{name: float(value) for name, value in _times(node).items()})


def _times(node: Any) -> dict[str, float]:
    known = {**_sidecar(node), **dicom.metaFromNode(node), **provenance.readTimes(node)}
    return {name: known[name] for name in provenance.TIMES if name in known}


def _sidecar(node: Any) -> dict[str, Any]:
    storage = node.GetStorageNode()
    file = storage.GetFileName() if storage is not None else None
    return sidecar.read(Path(file)) if file else {}


def fillFromStudy(among: Sequence[Any] | None = None) -> list[Source]:
    """The spin echoes whose times are known, of the study that is shown or of `among`; else the first one."""
    found = []
    for node in study.images() if among is None else among:
        try:
            found.append(sourceFor(node))
        except InputError:
            continue  # geometry that nothing takes; adding it by hand says why
    good = [row for row in found if not row.problem() and not row.warnings(None)]
    return good or found[:1]


def withSource(rows: Sequence[Source], new: Source) -> list[Source]:
    """`rows` and a new one. Raises InputError for a volume that is there already."""
    if any(row.node is new.node for row in rows):
        raise InputError(_("{volume} is in the list already.").format(volume=new.node.GetName()))
    return [*rows, new]


def checkAll(rows: Sequence[Source]) -> None:
    """Raise InputError, one sentence, unless these can be the sources of one result."""
    if not rows:
        raise InputError(
            _("Add a scan first: press Fill from study, or choose a volume, press Add and type its times.")
        )
    for n, row in enumerate(rows):
        inputs.check(row.node)
        row.played()
        if any(row.node is other.node for other in rows[:n]):
            raise InputError(_("{volume} was given twice; once is enough.").format(volume=row.node.GetName()))


def given(source: Any) -> Source:
    """What a script gives as a source: (node, (TR, TE, TI)), or a node whose times are known."""
    if not isinstance(source, (tuple, list)):
        return sourceFor(source)
    if len(source) != 2:
        raise InputError(_("Give each source as (node, (TR, TE, TI)), times in milliseconds."))
    node, times = source
    inputs.check(node)
    played = of_times(times, node.GetName())
    return Source(node, played.TR, played.TE, played.TI)
