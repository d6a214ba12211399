"""A small table of PSNR and SSIM, a line for each image that was compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import qt
from slicer.i18n import tr as _

LINE = 24  # pixels


class ScoresTable:
    """Drives a QTableWidget that nobody edits; hidden while it is empty."""

    def __init__(self, table: qt.QTableWidget) -> None:
        self._table = table
        table.setColumnCount(2)
        table.setHorizontalHeaderLabels([_("PSNR, dB"), _("SSIM")])
        header = table.horizontalHeader()
        for column in range(2):
            header.setSectionResizeMode(column, qt.QHeaderView.Stretch)
        header.setFixedHeight(LINE)
        table.verticalHeader().setDefaultSectionSize(LINE)
        self.show({})

    def show(self, scores: Mapping[str, Mapping[str, Any] | None]) -> None:
        """scores : {psnr, ssim} by what was compared; lines without scores are left out."""
        lines = {name: score for name, score in scores.items() if score}
        self._table.setRowCount(len(lines))
        self._table.setVerticalHeaderLabels(list(lines))
        for row, score in enumerate(lines.values()):
            for column, text in enumerate((f"{score['psnr']:.1f}", f"{score['ssim']:.3f}")):
                item = qt.QTableWidgetItem(text)
                item.setTextAlignment(qt.Qt.AlignCenter)
                self._table.setItem(row, column, item)
        self._table.setFixedHeight((len(lines) + 1) * LINE + 4)
        self._table.visible = bool(lines)
