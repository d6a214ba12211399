"""The part of ContrastCRL's panel that searches for contrast: two regions, what was found, a plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qt
from slicer.i18n import tr as _

from MRINRLib import regions
from MRINRLib.contrast_sources import Times
from MRINRLib.model_box import fill

LINE = 24  # pixels


class SearchSection:
    """Drives regionsSelector, firstBox, secondBox, searchTable, goButton and searchLabel.

    onRegions : called with the identifiers of the two chosen regions
    onTimes : called with the times of a row that a person wants to see
    """

    def __init__(
        self, ui: Any, onRegions: Callable[[str, str], None], onTimes: Callable[[Times], None]
    ) -> None:
        self._ui = ui
        self._onRegions, self._onTimes = onRegions, onTimes
        self._names: dict[str, str] = {}
        self._state: Any = None
        self._rows: list[Times] = []
        for box in (ui.firstBox, ui.secondBox):
            box.connect("activated(int)", self._onChosen)
        table = ui.searchTable
        table.setColumnCount(3)
        table.setHorizontalHeaderLabels([_("Times, ms"), _("Contrast"), _("of the best")])
        header = table.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        header.setFixedHeight(LINE)
        table.verticalHeader().setDefaultSectionSize(LINE)
        table.connect("cellDoubleClicked(int,int)", lambda row, column: self._go(row))
        ui.goButton.connect("clicked(bool)", lambda checked=False: self._go(max(table.currentRow(), 0)))
        self.showFound({})

    def show(self, node: Any, first: str, second: str) -> None:
        """Offer the regions of a segmentation or a label map."""
        state = _stateOf(node)
        if state is None or state != self._state:  # looking through the voxels of a label map takes time
            self._state, self._names = state, regions.names(node)
        for box, chosen in ((self._ui.firstBox, first), (self._ui.secondBox, second)):
            fill(box, list(self._names.values()), self._names.get(chosen, ""))
            box.enabled = bool(self._names)

    def showFound(self, found: Mapping[str, Any]) -> None:
        """The report of a search; empty for none."""
        table, rows = self._ui.searchTable, rowsOf(found) if found else []
        self._rows = [times for _name, times, _contrast, _share in rows]
        table.setRowCount(len(rows))
        table.setVerticalHeaderLabels([name for name, *_rest in rows])
        for row, (_name, times, contrast, share) in enumerate(rows):
            cells = (" / ".join(f"{value:g}" for value in times), f"{contrast:.3g}", f"{share:.0f} %")
            for column, text in enumerate(cells):
                item = qt.QTableWidgetItem(text)
                item.setTextAlignment(qt.Qt.AlignCenter)
                table.setItem(row, column, item)
        table.setFixedHeight((len(rows) + 1) * LINE + 4)
        table.visible = self._ui.goButton.visible = bool(rows)
        said = found.get("warnings", []) if found else []
        self._ui.searchLabel.text = "\n".join(said)
        self._ui.searchLabel.visible = bool(said)
        if rows:
            table.setCurrentCell(0, 0)

    def _go(self, row: int) -> None:
        if row < len(self._rows):
            self._onTimes(self._rows[row])

    def _onChosen(self, index: int = 0) -> None:
        ids = list(self._names)
        chosen = [
            ids[box.currentIndex] if 0 <= box.currentIndex < len(ids) else ""
            for box in (self._ui.firstBox, self._ui.secondBox)
        ]
        self._onRegions(*chosen)


def _stateOf(node: Any) -> Any:
    """Which label map, and when its voxels were last changed; None for what costs nothing to look at."""
    if node is None or not node.IsA("vtkMRMLLabelMapVolumeNode") or node.GetImageData() is None:
        return None
    return node.GetID(), node.GetImageData().GetMTime()


def rowsOf(found: Mapping[str, Any]) -> list[tuple[str, Times, float, float]]:
    """Name, times, contrast and percent of the best score: the optimum, then the others, best first."""
    best = {**found["best"], "contrast": found["contrast"], "score": found["score"]}
    others = sorted(found["conventional"].items(), key=lambda item: -item[1]["score"])
    return [
        (
            name,
            (each["TR"], each["TE"], each["TI"]),
            each["contrast"],
            100 * each["score"] / max(found["score"], 1e-12),
        )
        for name, each in [(_("optimum"), best), *others]
    ]
