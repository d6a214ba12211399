"""The table of stacks: for each volume contrast, orientation, thickness and a button to remove it."""

from __future__ import annotations

from collections.abc import Callable

import qt
from slicer.i18n import tr as _

from mrinr.errors import InputError
from mrinr.geometry import AXIS_NAMES
from MRINRLib.rows_table import RowsTable
from MRINRLib.study import Choice

CONTRAST, ORIENTATION, THICKNESS = range(1, 4)
KNOWN_CONTRASTS = ("T1", "T2", "FLAIR", "PD", "T1ce", "DWI", "DIR")


class StacksTable(RowsTable):
    """Shows choices in a QTableWidget and reports every change that a person makes as a new list."""

    def __init__(self, table: qt.QTableWidget, onChanged: Callable[[list[Choice]], None]) -> None:
        super().__init__(table, [(_("Contrast"), 64), (_("Slices"), 82), (_("Thick"), 62)], onChanged)
        table.horizontalHeaderItem(THICKNESS).setToolTip(_("Slice thickness in millimetres"))

    def _fillRow(self, row: int, choice: Choice) -> None:
        contrast = qt.QComboBox()
        contrast.setEditable(True)
        contrast.setInsertPolicy(qt.QComboBox.NoInsert)
        contrast.addItems(list(dict.fromkeys([choice.contrast, *KNOWN_CONTRASTS])))
        contrast.setToolTip(_("Stacks of the same contrast become one volume."))

        def onContrast(index: int = 0) -> None:
            text = contrast.currentText.strip()
            if text:
                self._edit(row, contrast=text)

        contrast.lineEdit().editingFinished.connect(onContrast)
        contrast.connect("activated(int)", onContrast)
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


def axisNames(choice: Choice) -> list[str]:
    """What slices stacked along i, j and k would be: sagittal, coronal, axial."""
    try:
        grid = choice.stack(voxels=False).volume.grid
        return [_orientationText(grid.orientation(axis)) for axis in range(3)]
    except InputError:
        return ["i", "j", "k"]


def _orientationText(name: str) -> str:
    return {AXIS_NAMES[0]: _("sagittal"), AXIS_NAMES[1]: _("coronal"), AXIS_NAMES[2]: _("axial")}[name]
