"""The table of stacks: for each volume contrast, orientation, thickness and a button to remove it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import qt
from slicer.i18n import tr as _

from mrinr.errors import InputError
from mrinr.geometry import AXIS_NAMES
from MRINRLib.study import Choice

NODE, CONTRAST, ORIENTATION, THICKNESS, REMOVE = range(5)
KNOWN_CONTRASTS = ("T1", "T2", "FLAIR", "PD", "T1ce", "DWI", "DIR")


class StacksTable:
    """Shows choices in a QTableWidget and reports every change that a person makes as a new list."""

    def __init__(self, table: qt.QTableWidget, onChanged: Callable[[list[Choice]], None]) -> None:
        self._table = table
        self._onChanged = onChanged
        self._choices: list[Choice] = []
        table.setColumnCount(5)
        table.setHorizontalHeaderLabels(
            [_("Volume"), _("Contrast"), _("Slices"), _("Thick"), ""],
        )
        table.horizontalHeaderItem(THICKNESS).setToolTip(_("Slice thickness in millimetres"))
        header = table.horizontalHeader()
        header.setSectionResizeMode(NODE, qt.QHeaderView.Stretch)
        for column, width in ((CONTRAST, 64), (ORIENTATION, 82), (THICKNESS, 62), (REMOVE, 24)):
            header.setSectionResizeMode(column, qt.QHeaderView.Fixed)
            table.setColumnWidth(column, width)
        table.verticalHeader().setVisible(False)
        table.setWordWrap(False)

    def currentRow(self) -> int:
        return self._table.currentRow()

    def show(self, choices: Sequence[Choice]) -> None:
        """Fill the table; does nothing when it shows these choices already, so that no editor loses focus."""
        choices = list(choices)
        if _same(choices, self._choices):
            for row, choice in enumerate(choices):
                self._table.item(row, NODE).setText(choice.node.GetName())
            return
        self._choices = []  # an editor that loses focus as it goes reports its text: to no row
        row = self._table.currentRow()
        self._table.setRowCount(0)
        self._choices = choices
        self._table.setRowCount(len(choices))
        for index, choice in enumerate(choices):
            self._fillRow(index, choice)
        if choices:
            self._table.setCurrentCell(min(max(row, 0), len(choices) - 1), NODE)

    def _fillRow(self, row: int, choice: Choice) -> None:
        item = qt.QTableWidgetItem(choice.node.GetName())
        item.setToolTip(choice.node.GetName())
        self._table.setItem(row, NODE, item)

        contrast = qt.QComboBox()
        contrast.setEditable(True)
        contrast.setInsertPolicy(qt.QComboBox.NoInsert)
        contrast.addItems(list(dict.fromkeys([choice.contrast, *KNOWN_CONTRASTS])))
        contrast.setToolTip(_("Stacks of the same contrast become one volume."))
        contrast.lineEdit().editingFinished.connect(lambda: self._edit(row, contrast=contrast.currentText))
        contrast.connect("activated(int)", lambda index: self._edit(row, contrast=contrast.currentText))
        self._table.setCellWidget(row, CONTRAST, contrast)

        orientation = qt.QComboBox()
        orientation.addItems(axisNames(choice))
        orientation.setCurrentIndex(choice.sliceAxis)
        orientation.setToolTip(_("Plane in which the slices were acquired."))
        orientation.connect("activated(int)", lambda index: self._edit(row, sliceAxis=index))
        self._table.setCellWidget(row, ORIENTATION, orientation)

        thickness = qt.QDoubleSpinBox()
        thickness.setDecimals(2)
        thickness.setRange(0.1, 50.0)
        thickness.setSuffix(_(" mm"))
        thickness.setButtonSymbols(qt.QAbstractSpinBox.NoButtons)
        thickness.setKeyboardTracking(False)
        thickness.setValue(choice.thickness)
        thickness.setToolTip(_("Slice thickness; it may differ from the distance between slices."))
        thickness.connect("valueChanged(double)", lambda value: self._edit(row, thickness=value))
        self._table.setCellWidget(row, THICKNESS, thickness)

        remove = qt.QToolButton()
        remove.setText("✕")
        remove.setAutoRaise(True)
        remove.setToolTip(_("Remove this stack from the list (the volume stays)."))
        remove.connect("clicked()", lambda: self._remove(row))
        self._table.setCellWidget(row, REMOVE, remove)

    def _edit(
        self,
        row: int,
        contrast: str | None = None,
        sliceAxis: int | None = None,
        thickness: float | None = None,
    ) -> None:
        if row >= len(self._choices):
            return
        old = self._choices[row]
        new = Choice(
            old.node,
            old.contrast if contrast is None or not contrast.strip() else contrast.strip(),
            old.sliceAxis if sliceAxis is None else sliceAxis,
            old.thickness if thickness is None else thickness,
        )
        if _same([old], [new]):
            return
        self._choices = [*self._choices[:row], new, *self._choices[row + 1 :]]
        self._onChanged(list(self._choices))

    def _remove(self, row: int) -> None:
        remaining = [choice for index, choice in enumerate(self._choices) if index != row]
        # The button that was clicked is deleted with its row: let it finish first.
        qt.QTimer.singleShot(0, lambda: self._onChanged(remaining))


def axisNames(choice: Choice) -> list[str]:
    """What slices stacked along i, j and k would be: sagittal, coronal, axial."""
    try:
        grid = choice.stack(voxels=False).volume.grid
        return [_orientationText(grid.orientation(axis)) for axis in range(3)]
    except InputError:
        return ["i", "j", "k"]


def _orientationText(name: str) -> str:
    return {AXIS_NAMES[0]: _("sagittal"), AXIS_NAMES[1]: _("coronal"), AXIS_NAMES[2]: _("axial")}[name]


def _same(first: Sequence[Choice], second: Sequence[Choice]) -> bool:
    def key(choice: Choice) -> tuple:
        return choice.node, choice.contrast, choice.sliceAxis, choice.thickness

    return [key(choice) for choice in first] == [key(choice) for choice in second]
