"""The part of a panel that shows results: which one, what is said of it, and the comparison with an input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from mrinr.errors import InputError
from MRINRLib import dicom_export, provenance, views
from MRINRLib.nodes import inScene


class ResultsSection:
    """Drives resultsSection, resultBox, selfCheckLabel and compareButton; subclasses know what to compare."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._results: list[Any] = []
        self._comparison = views.Comparison()
        ui.resultBox.connect("activated(int)", self._onChosen)
        ui.compareButton.connect("clicked(bool)", self._onCompare)
        button = qt.QPushButton(_("Export to DICOM…"))
        button.objectName = "exportButton"
        button.toolTip = _(
            "Write the shown result as a new DICOM series, marked as derived, in its source's study."
        )
        button.connect("clicked(bool)", self._onExport)
        ui.resultsSection.layout().addWidget(button)
        self.exportButton = button

    def show(self, results: Sequence[Any]) -> None:
        """Offer these result nodes, without those that were removed."""
        self._results = [node for node in results if inScene(node)]
        self._ui.resultsSection.visible = bool(self._results)
        names = [node.GetName() for node in self._results]
        if names != [self._ui.resultBox.itemText(index) for index in range(self._ui.resultBox.count)]:
            self._ui.resultBox.clear()
            self._ui.resultBox.addItems(names)
        if not self._results:
            self.closeComparison()
        else:
            self._describe()

    def closeComparison(self) -> None:
        """Bring the layout from before the comparison back."""
        self._comparison.close()
        self._ui.compareButton.checked = False

    @property
    def shown(self) -> Any:
        """The result that the box names; None where there is none."""
        index = min(max(self._ui.resultBox.currentIndex, 0), len(self._results) - 1)
        return self._results[index] if self._results else None

    def _describe(self) -> None:
        """Say what is known of the shown result."""
        self._ui.selfCheckLabel.text = self.shown.GetAttribute(provenance.PREFIX + "selfCheck") or ""

    def _compare(self) -> None:
        """Show the comparison, or close it where there is nothing to compare with."""
        raise NotImplementedError

    def _present(self) -> None:
        """Show the result alone."""
        views.showInSliceViews(self.shown)

    def _onChosen(self, index: int = 0) -> None:
        if self.shown is None:
            return
        self._describe()
        if self._comparison.isOpen:
            self._compare()
        else:
            self._present()

    def _onExport(self, checked: bool = False) -> None:
        """Ask for a folder; a folder that holds something gets a new one inside."""
        window = slicer.util.mainWindow()
        parent = qt.QFileDialog.getExistingDirectory(window, _("Folder for the DICOM series"))
        if not parent or self.shown is None:
            return
        try:
            files = dicom_export.export(self.shown, dicom_export.newFolder(parent))
        except InputError as error:
            slicer.util.errorDisplay(str(error))
            return
        slicer.util.showStatusMessage(_("{count} DICOM files were written.").format(count=len(files)), 5000)

    def _onCompare(self, checked: bool = False) -> None:
        if checked:
            self._compare()
        else:
            self.closeComparison()
            self._present()
