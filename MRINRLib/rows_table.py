"""A table of volumes with widgets in its cells, that reports every change that a person makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import qt
from slicer.i18n import tr as _

NODE = 0  # the column of the volume's name; the last column holds the button that removes the row


class RowsTable:
    """Shows frozen dataclasses that have a `node` in a QTableWidget; changes arrive as a new list of them.

    columns : title and width in pixels of each column between the volume and the button
    """

    def __init__(
        self,
        table: qt.QTableWidget,
        columns: Sequence[tuple[str, int]],
        onChanged: Callable[[list[Any]], None],
    ) -> None:
        self._table = table
        self._onChanged = onChanged
        self._rows: list[Any] = []
        self._known = True  # whether `_rows` are what the table shows
        self._last = len(columns) + 1
        table.setColumnCount(self._last + 1)
        table.setHorizontalHeaderLabels([_("Volume"), *(title for title, _width in columns), ""])
        header = table.horizontalHeader()
        header.setSectionResizeMode(NODE, qt.QHeaderView.Stretch)
        for column, width in enumerate([*(width for _title, width in columns), 24], start=1):
            header.setSectionResizeMode(column, qt.QHeaderView.Fixed)
            table.setColumnWidth(column, width)
        table.verticalHeader().setVisible(False)
        table.setWordWrap(False)

    @property
    def rows(self) -> list[Any]:
        return list(self._rows)

    def currentRow(self) -> int:
        return self._table.currentRow()

    def show(self, rows: Sequence[Any]) -> None:
        """Fill the table; does nothing when it shows these rows already, so that no editor loses focus."""
        rows = list(rows)
        if self._known and [_values(row) for row in rows] == [_values(row) for row in self._rows]:
            for index, row in enumerate(rows):
                self._table.item(index, NODE).setText(row.node.GetName())
            return
        self.forget()  # an editor that loses focus as it goes reports its text: to no row
        current = self._table.currentRow()
        self._table.setRowCount(0)
        self._rows, self._known = rows, True
        self._table.setRowCount(len(rows))
        for row, content in enumerate(rows):
            item = qt.QTableWidgetItem(content.node.GetName())
            item.setToolTip(content.node.GetName())
            self._table.setItem(row, NODE, item)
            self._fillRow(row, content)
            self._addRemoveButton(row)
        if rows:
            self._table.setCurrentCell(min(max(current, 0), len(rows) - 1), NODE)

    def forget(self) -> None:
        """Report nothing more of these rows, nor of one whose removal is under way, until `show`."""
        self._rows, self._known = [], False

    def _fillRow(self, row: int, content: Any) -> None:
        """Put widgets into the cells between the volume and the button; they report through `_edit`."""
        raise NotImplementedError

    def _addRemoveButton(self, row: int) -> None:
        remove = qt.QToolButton()
        remove.setText("✕")
        remove.setAutoRaise(True)
        remove.setToolTip(_("Remove this row from the list (the volume stays)."))
        remove.connect("clicked()", lambda: self._remove(row))
        self._table.setCellWidget(row, self._last, remove)

    def _edit(self, row: int, **changes: Any) -> None:
        if row >= len(self._rows):
            return
        old = self._rows[row]
        new = replace(old, **changes)
        if _values(old) == _values(new):
            return
        self._rows = self._edited(self._rows, row, new)
        self._onChanged(list(self._rows))

    def _edited(self, rows: list[Any], row: int, new: Any) -> list[Any]:
        """All rows after a person has changed one of them."""
        return [*rows[:row], new, *rows[row + 1 :]]

    def _remove(self, row: int) -> None:
        if row >= len(self._rows):
            return
        removed = _values(self._rows[row])

        def later() -> None:
            present = [_values(content) for content in self._rows]  # others may have come or gone meanwhile
            if removed in present:
                where = present.index(removed)
                self._onChanged([*self._rows[:where], *self._rows[where + 1 :]])

        # The button that was clicked is deleted with its row: let it finish first.
        qt.QTimer.singleShot(0, later)


def _values(row: Any) -> tuple:
    return tuple(getattr(row, field.name) for field in fields(row))
