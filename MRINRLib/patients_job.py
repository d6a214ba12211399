"""'Apply to all patients': the same settings for everybody in the subject hierarchy, and a table of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import slicer
from slicer.i18n import tr as _

from mrinr.engine import EngineError
from mrinr.errors import InputError
from MRINRLib import patients
from MRINRLib.job import WorkerJob
from MRINRLib.nodes import inScene
from MRINRLib.patients import Patient
from MRINRLib.series_job import SeriesJob, Start

WAITING, MADE, FAILED, CANCELLED = "waiting", "made", "failed", "cancelled"
MOST_SAID = 5  # failures in the summary; the table has all


@dataclass
class Row:
    """A line of the table."""

    patient: str
    scans: str = ""
    status: str = WAITING
    results: str = ""
    text: str = ""


class PatientsJob(SeriesJob):
    """One job for each patient; who fails keeps nobody from theirs.

    table : a table node: patient, scans, status, results, and why not or what the self-check found
    rows : the same; results : of everybody
    error : stays None, failures are in the table
    """

    def __init__(
        self,
        prepare: Callable[[Sequence[Any]], tuple[Sequence[Any], Start]],
        title: str,
        onProgress: Callable[[float, float | None, str], None] | None = None,
        onFinished: Callable[[Any], None] | None = None,
    ) -> None:
        """Raises InputError where there is no patient.

        prepare : takes a patient's volume nodes; gives those that are used and what starts their job; raises
            InputError, one sentence, where they cannot be used
        title : the name of the table
        """
        found = patients.require()
        self.rows: list[Row] = []
        starts = [self._starter(patient, prepare) for patient in found]
        self.table = _table(title, self.rows)
        super().__init__(starts, onProgress, onFinished)

    def _starter(self, patient: Patient, prepare: Callable[..., tuple[Sequence[Any], Start]]) -> Start:
        """Settings are read now, as they may be changed while the others are worked on."""
        row = Row(patient.name)
        self.rows.append(row)
        try:
            scans, start = prepare(patient.images)
        except InputError as error:
            return _raising(error)
        row.scans = ", ".join(node.GetName() for node in scans)

        def checked(**callbacks: Callable) -> WorkerJob:
            for node in scans:
                if not inScene(node):
                    raise InputError(_("A scan was removed from the scene before its turn came."))
            return start(**callbacks)

        return checked

    @property
    def value(self) -> Any:
        """The table node."""
        return self.table

    @property
    def cancelTip(self) -> str:
        return _("Stop; the results that are there stay.")

    def _succeeded(self, job: WorkerJob) -> None:
        super()._succeeded(job)
        text = str((job.report.get("self_check") or {}).get("text", ""))
        self._note(MADE, text, ", ".join(node.GetName() for node in job.results))

    def _failed(self, error: InputError | EngineError) -> None:
        self._note(FAILED, str(error))

    def _where(self) -> str:
        return _("Patient {n} of {count}").format(n=self.number + 1, count=len(self.rows))

    def _note(self, status: str, text: str, results: str = "") -> None:
        row = self.rows[self.number]
        row.status, row.text, row.results = status, text, results
        _write(self.table, self.rows)

    def _end(self) -> None:
        for row in self.rows:
            row.status = CANCELLED if row.status == WAITING else row.status
        _write(self.table, self.rows)
        counts = Counter(row.status for row in self.rows)
        lines = [
            _("{patients} patients: {counts}. The table {table} has them all.").format(
                patients=len(self.rows),
                counts=", ".join(
                    f"{counts[each]} {_named(each)}" for each in (MADE, FAILED, CANCELLED) if counts[each]
                ),
                table=self.table.GetName(),
            )
        ]
        wrong = [row for row in self.rows if row.status == FAILED]
        lines += [f"{row.patient}: {row.text}" for row in wrong[:MOST_SAID]]
        self.summary = "\n".join(lines)
        if inScene(self.table):
            _present(self.table)


def _raising(error: InputError) -> Start:
    def start(**_callbacks: Callable) -> WorkerJob:
        raise error

    return start


def _named(status: str) -> str:
    return {WAITING: _("waiting"), MADE: _("made"), FAILED: _("failed"), CANCELLED: _("cancelled")}[status]


def _table(title: str, rows: Sequence[Row]) -> Any:
    scene = slicer.mrmlScene
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(title))
    for name in (_("patient"), _("scans"), _("status"), _("results"), _("text")):
        node.AddColumn().SetName(name)
    for _row in rows:
        node.AddEmptyRow()
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)
    _write(node, rows)
    return node


def _write(node: Any, rows: Sequence[Row]) -> None:
    if not inScene(node):  # removed, or the scene was closed
        return
    with slicer.util.NodeModify(node):
        for n, row in enumerate(rows):
            for column, text in enumerate(
                (row.patient, row.scans, _named(row.status), row.results, row.text)
            ):
                node.SetCellText(n, column, text)


def _present(table: Any) -> None:
    """The table that table views show, where the layout has one."""
    logic = slicer.app.applicationLogic()
    logic.GetSelectionNode().SetActiveTableID(table.GetID())
    logic.PropagateTableSelection()
