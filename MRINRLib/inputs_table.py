"""The table of inputs: for each volume its sequence, and a button to remove it."""

from __future__ import annotations

from collections.abc import Callable

import qt
from slicer.i18n import tr as _

from mrinr.synthesis import INPUTS
from MRINRLib.inputs import NOT_USED, Input
from MRINRLib.rows_table import RowsTable

ROLE = 1


class InputsTable(RowsTable):
    """Shows inputs in a QTableWidget; each sequence belongs to one volume, the last that was given it."""

    def __init__(self, table: qt.QTableWidget, onChanged: Callable[[list[Input]], None]) -> None:
        super().__init__(table, [(_("Sequence"), 96)], onChanged)

    def _fillRow(self, row: int, content: Input) -> None:
        roles = (NOT_USED, *INPUTS)
        box = qt.QComboBox()
        box.addItems([role or _("not used") for role in roles])
        box.setCurrentIndex(roles.index(content.role))
        box.setToolTip(_("Which sequence this volume is; one volume for each."))
        box.connect("activated(int)", lambda index: self._edit(row, role=roles[index]))
        self._table.setCellWidget(row, ROLE, box)

    def _edited(self, rows: list[Input], row: int, new: Input) -> list[Input]:
        return [
            new if index == row else Input(old.node) if old.role == new.role else old
            for index, old in enumerate(rows)
        ]
