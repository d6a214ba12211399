"""The contrast search as a plot: the map over TR and TI, its optimum, and the conventional sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from MRINRLib import provenance
from MRINRLib.contrast_search_section import rowsOf

# From little to much contrast, as the map of a contrast is read: dark to bright (the colours of viridis).
COLOURS = (
    (0.27, 0.00, 0.33), (0.28, 0.17, 0.48), (0.23, 0.32, 0.55), (0.17, 0.45, 0.56), (0.13, 0.57, 0.55),
    (0.16, 0.69, 0.50), (0.37, 0.79, 0.38), (0.68, 0.86, 0.19), (0.99, 0.91, 0.14),
)  # fmt: skip
RED, BLACK = (0.85, 0.1, 0.1), (0.0, 0.0, 0.0)
CELL, MARK, OPTIMUM = 20.0, 9.0, 18.0  # size of markers
EDGE = 1.25  # by which the axes go beyond the map, so that nothing is cut
NEAREST = 0.6  # of the lowest TI: where sequences without inversion are drawn, as there is no logarithm of 0


def plot(found: Mapping[str, Any], title: str) -> Any:
    """A chart of the best score over TE at each TR and TI, both in logarithmic steps.

    Each step of the score is a series of squares of one colour; the optimum is a diamond, the conventional
    sequences are circles with their names. Returns the chart node; its tables and series are in the scene.
    """
    scene = slicer.mrmlScene
    TR, TI = np.array(found["map"]["TR"]), np.array(found["map"]["TI"])
    score = np.array([[np.nan if x is None else x for x in row] for row in found["map"]["score"]])
    none = NEAREST * TI[TI > 0].min() if (TI > 0).any() else 100.0
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", scene.GenerateUniqueName(title))
    chart.SetTitle(_("{title}: dark little, yellow most; the diamond is the optimum").format(title=title))
    chart.SetLegendVisibility(False)  # it would hide a part of the map
    chart.SetXAxisTitle(_("TI, ms (left column: no inversion)"))
    chart.SetYAxisTitle(_("TR, ms"))
    chart.SetXAxisLogScale(True)
    chart.SetYAxisLogScale(True)
    chart.SetXAxisRangeAuto(False)
    chart.SetXAxisRange(none / EDGE, max(float(TI.max()), none) * EDGE)
    chart.SetYAxisRangeAuto(False)
    chart.SetYAxisRange(float(TR.min()) / EDGE, float(TR.max()) * EDGE)
    share = score / max(float(found["score"]), 1e-12)
    bins = np.clip((share * len(COLOURS)).astype(float), 0, len(COLOURS) - 1)
    for n, colour in enumerate(COLOURS):
        row, column = np.nonzero(np.floor(bins) == n)  # NaN, what cannot be played, is in none
        if len(row):
            low, high = (round(100 * (n + k) / len(COLOURS)) for k in (0, 1))
            name = _("{low} to {high} % of the best").format(low=low, high=high)
            _series(chart, name, _shown(TI[column], none), TR[row], colour, CELL, "square")
    names, times, *_rest = zip(*rowsOf(found), strict=True)
    x, y = _shown(np.array([each[2] for each in times]), none), np.array([each[0] for each in times])
    _series(chart, _("conventional"), x[1:], y[1:], BLACK, MARK, "circle", list(names[1:]))
    _series(chart, _("optimum"), x[:1], y[:1], RED, OPTIMUM, "diamond")
    return chart


def _shown(TI: np.ndarray, none: float) -> np.ndarray:
    """Where on the axis a TI lies."""
    return np.where(TI > 0, TI, none)


def _series(
    chart: Any,
    name: str,
    x: Sequence[float] | np.ndarray,
    y: Sequence[float] | np.ndarray,
    colour: tuple[float, float, float],
    size: float,
    marker: str,
    labels: Sequence[str] = (),
) -> None:
    """Points of a table as marks."""
    scene = slicer.mrmlScene
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", f"{chart.GetName()} {name}")
    slicer.util.updateTableFromArray(table, [np.asarray(x, float), np.asarray(y, float)], ["TI", "TR"])
    series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", name)
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetXColumnName("TI")
    series.SetYColumnName("TR")
    series.SetPlotType(series.PlotTypeScatter)
    series.SetColor(*colour)
    if labels:
        column = table.AddColumn()
        column.SetName("sequence")
        for row, text in enumerate(labels):
            table.SetCellText(row, 2, text)
        series.SetLabelColumnName("sequence")
    series.SetLineStyle(series.LineStyleNone)
    series.SetMarkerStyle(series.GetMarkerStyleFromString(marker))
    series.SetMarkerSize(size)
    for node in (table, series):
        node.SetAttribute(provenance.PREFIX + "kind", "search")
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
