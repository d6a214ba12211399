"""The part of a panel where a model learns from a person's own cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MRINRLib.scores_table import ScoresTable


class FineTuneSection:
    """Drives casesList, removeCaseButton, browseButton, outputEdit, fineTuneTable and fineTuneLabel.

    onRemove : called with the number of the case that a person wants to be rid of
    """

    def __init__(self, ui: Any, onRemove: Callable[[int], None]) -> None:
        self._ui = ui
        self._texts: list[str] = []
        self._scores = ScoresTable(ui.fineTuneTable)
        ui.removeCaseButton.connect("clicked(bool)", lambda checked=False: onRemove(ui.casesList.currentRow))
        ui.casesList.connect("currentRowChanged(int)", self._onRow)
        ui.browseButton.connect("clicked(bool)", self._onBrowse)
        self.showReport({})

    def show(self, cases: Sequence[Mapping[str, Any]]) -> None:
        """A line for each case: its volumes by sequence."""
        texts = [", ".join(f"{role}: {node.GetName()}" for role, node in case.items()) for case in cases]
        if texts != self._texts:
            row = self._ui.casesList.currentRow
            self._texts = texts
            self._ui.casesList.clear()
            self._ui.casesList.addItems(texts)
            self._ui.casesList.currentRow = min(max(row, 0), len(texts) - 1)
        self._onRow()

    def showReport(self, report: Mapping[str, Any]) -> None:
        """PSNR and SSIM before and after, and of the linear fit."""
        self._scores.show(
            {
                _("before"): report.get("before"),
                _("after"): report.get("after"),
                _("linear fit of the inputs"): report.get("linear"),
            }
        )
        self._ui.fineTuneLabel.text = report.get("text", "")
        self._ui.fineTuneLabel.visible = bool(report.get("text"))

    def _onRow(self, row: int = 0) -> None:
        self._ui.removeCaseButton.enabled = self._ui.casesList.currentRow >= 0

    def _onBrowse(self, checked: bool = False) -> None:
        folder = qt.QFileDialog.getExistingDirectory(
            slicer.util.mainWindow(), _("An empty folder for the new model")
        )
        if folder:
            self._ui.outputEdit.text = folder
