"""The part of ContrastCRL's panel that searches for contrast: two regions, what was found, a plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from MRINRLib import provenance, regions
from MRINRLib.contrast_sources import Times
from MRINRLib.model_box import fill

LINE = 24  # pixels
LINES = 5  # repetition times that the plot shows


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
        table, rows = self._ui.searchTable, _rows(found) if found else []
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


def _rows(found: Mapping[str, Any]) -> list[tuple[str, Times, float, float]]:
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


def plot(found: Mapping[str, Any], title: str) -> Any:
    """A chart of score over TI, a line for some TRs each, the optimum and conventional sequences marked.

    Returns the chart node; its tables and series are in the scene, too.
    """
    scene = slicer.mrmlScene
    TR, TI = np.array(found["map"]["TR"]), np.array(found["map"]["TI"])
    score = np.array([[np.nan if x is None else x for x in row] for row in found["map"]["score"]])
    shown = np.unique(np.linspace(0, len(TR) - 1, LINES).round().astype(int))
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", scene.GenerateUniqueName(title))
    chart.SetTitle(title)
    chart.SetXAxisTitle(_("TI, ms (0: no inversion)"))
    chart.SetYAxisTitle(_("Contrast, best TE"))
    for n in shown:
        there = ~np.isnan(score[n])
        if there.any():
            _series(chart, _("TR {TR:.0f} ms").format(TR=TR[n]), TI[there], score[n][there])
    names, times, *_rest = zip(*_rows(found), strict=True)
    values = [found["score"], *(each["score"] for _name, each in _sorted(found))]
    inversion = [each[2] for each in times]
    _series(chart, _("conventional"), inversion[1:], values[1:], "circle", labels=list(names[1:]))
    _series(chart, _("optimum"), inversion[:1], values[:1], "diamond")
    return chart


def _sorted(found: Mapping[str, Any]) -> list[tuple[str, Mapping[str, float]]]:
    return sorted(found["conventional"].items(), key=lambda item: -item[1]["score"])


def _series(chart: Any, name: str, x: Any, y: Any, marker: str = "", labels: list[str] | None = None) -> None:
    """Points of a table as a line, or as marks alone."""
    scene = slicer.mrmlScene
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", f"{chart.GetName()} {name}")
    slicer.util.updateTableFromArray(table, [np.asarray(x, float), np.asarray(y, float)], ["TI", name])
    series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", name)
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetXColumnName("TI")
    series.SetYColumnName(name)
    series.SetPlotType(series.PlotTypeScatter)
    series.SetUniqueColor()
    if labels is not None:
        column = table.AddColumn()
        column.SetName("sequence")
        for row, text in enumerate(labels):
            table.SetCellText(row, 2, text)
        series.SetLabelColumnName("sequence")
    if marker:
        series.SetLineStyle(series.LineStyleNone)
        series.SetMarkerStyle(series.MarkerStyleDiamond if marker == "diamond" else series.MarkerStyleCircle)
        series.SetMarkerSize(15 if marker == "diamond" else 8)
    else:
        series.SetMarkerStyle(series.MarkerStyleNone)
    for node in (table, series):
        node.SetAttribute(provenance.PREFIX + "kind", "search")
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
