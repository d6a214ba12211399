"""The part of a panel that shows results: which one, its self-check, and the comparison with its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from MRINRLib import provenance, views


class ResultsSection:
    """Drives resultsSection, resultBox, selfCheckLabel, reasonLabel, compareButton and scannerButton."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._results: list[Any] = []
        self._rescans: list[Any] = []
        self._comparison = views.Comparison()
        self.preferredStack: Any = None  # whose scanner is asked what it saw, where the result has several
        ui.resultBox.connect("activated(int)", self._onChosen)
        ui.compareButton.connect("clicked(bool)", self._onCompare)
        ui.scannerButton.connect("clicked(bool)", self._onScanner)

    def show(self, results: Sequence[Any], rescans: Sequence[Any]) -> None:
        """Offer these result nodes and the stacks re-sliced from them, without those that were removed."""
        self._results = [node for node in results if inScene(node)]
        self._rescans = [node for node in rescans if inScene(node)]
        self._ui.resultsSection.visible = bool(self._results)
        names = [node.GetName() for node in self._results]
        if names != [self._ui.resultBox.itemText(index) for index in range(self._ui.resultBox.count)]:
            self._ui.resultBox.clear()
            self._ui.resultBox.addItems(names)
        if not self._results:
            self.closeComparison()
        self._describe()

    def closeComparison(self) -> None:
        """Bring the layout from before the comparison back."""
        self._comparison.close()
        self._ui.compareButton.checked = self._ui.scannerButton.checked = False

    def _shown(self) -> Any:
        index = min(max(self._ui.resultBox.currentIndex, 0), len(self._results) - 1)
        return self._results[index] if self._results else None

    def _describe(self) -> None:
        result = self._shown()
        if result is None:
            return
        self._ui.selfCheckLabel.text = result.GetAttribute(provenance.PREFIX + "selfCheck") or ""
        method = result.GetAttribute(provenance.PREFIX + "method") or ""
        chosen = provenance.parameters(result).get("method") == "auto"
        text = _("Method: {method}, chosen by predicting hidden slices") if chosen else _("Method: {method}")
        self._ui.reasonLabel.text = text.format(method=method)
        self._ui.reasonLabel.toolTip = result.GetAttribute(provenance.PREFIX + "reason") or ""
        self._ui.compareButton.enabled = self._ui.scannerButton.enabled = self._pair() is not None

    def _pair(self) -> tuple[Any, Any] | None:
        """(stack, its re-sliced result) of the shown contrast: of the preferred stack where it is one."""
        key = provenance.PREFIX + "contrast"
        contrast = self._shown().GetAttribute(key)
        found = [
            (node.GetNodeReference(provenance.PREFIX + "stack"), node)
            for node in self._rescans
            if node.GetAttribute(key) == contrast
        ]
        found = [pair for pair in found if inScene(pair[0])]
        preferred = next((pair for pair in found if pair[0] is self.preferredStack), None)
        return preferred or (found[0] if found else None)

    def _onChosen(self, index: int = 0) -> None:
        self._describe()
        if self._comparison.isOpen:
            self._compare()
        elif self._shown() is not None:
            views.showInSliceViews(self._shown())

    def _onCompare(self, checked: bool = False) -> None:
        if checked:
            self._compare()
        else:
            self.closeComparison()
            views.showInSliceViews(self._shown())

    def _onScanner(self, checked: bool = False) -> None:
        self._ui.compareButton.checked = True
        self._compare()

    def _compare(self) -> None:
        pair = self._pair()
        if pair is None:
            self.closeComparison()
            return
        stack, rescan = pair
        self._comparison.show(stack, self._shown(), rescan if self._ui.scannerButton.checked else None)


def inScene(node: Any) -> bool:
    """Whether a node that was found earlier is still there."""
    return node is not None and node.GetScene() is slicer.mrmlScene
