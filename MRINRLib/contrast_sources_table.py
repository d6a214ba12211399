"""The table of sources: for each volume its TR, TE and TI, whether they can be, and a button to remove it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from mrinr.contrast.parameters import Box
from MRINRLib import provenance
from MRINRLib.contrast_sources import Source
from MRINRLib.rows_table import RowsTable

FIRST, STATUS = 1, 4  # columns: the first time, the mark
MOST = 99999.0  # ms


class SourcesTable(RowsTable):
    """Shows sources in a QTableWidget; times that a person types stay on the volume, with the scene."""

    def __init__(self, table: qt.QTableWidget, onChanged: Callable[[list[Source]], None]) -> None:
        columns = [(_("TR, ms"), 62), (_("TE, ms"), 62), (_("TI, ms"), 62), ("", 24)]
        super().__init__(table, columns, onChanged)
        table.horizontalHeaderItem(FIRST + 2).setToolTip(_("Inversion time; 0 where there is no inversion"))

    def show(self, rows: Sequence[Any]) -> None:
        super().show(rows)
        self.showStatus(None)

    def showStatus(self, box: Box | None) -> None:
        """A mark for each row: its tooltip says what is wrong, or what to mind."""
        for index, row in enumerate(self._rows):
            problem = row.problem()
            warnings = row.warnings(box)
            mark = "✗" if problem else "!" if warnings else "✓"
            item = qt.QTableWidgetItem(mark)
            item.setTextAlignment(qt.Qt.AlignCenter)
            item.setToolTip(problem or "\n".join(warnings) or _("These times can be used."))
            self._table.setItem(index, STATUS, item)

    def _fillRow(self, row: int, content: Source) -> None:
        for column, name in enumerate(provenance.TIMES, start=FIRST):
            box = qt.QDoubleSpinBox()
            box.setDecimals(1)
            box.setRange(0.0, MOST)
            box.setSpecialValueText(_("none") if name == "TI" else "?")
            box.setButtonSymbols(qt.QAbstractSpinBox.NoButtons)
            box.setKeyboardTracking(False)
            box.setValue(getattr(content, name))
            box.setToolTip(_("{time} of this scan in milliseconds.").format(time=name))
            box.connect("valueChanged(double)", lambda value, name=name: self._edit(row, **{name: value}))
            self._table.setCellWidget(row, column, box)

    def _edited(self, rows: list[Source], row: int, new: Source) -> list[Source]:
        provenance.writeTimes(new.node, dict(zip(provenance.TIMES, new.times, strict=True)))
        return super()._edited(rows, row, new)
