"""Results of super-resolution: each beside its stack, and re-sliced as the stack's scanner would see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _

from MRINRLib import fitted_node, provenance, resample_job
from MRINRLib.nodes import inScene
from MRINRLib.results_section import ResultsSection


class SuperResResults(ResultsSection):
    """Drives, besides what every panel has, reasonLabel, scannerButton and resampleButton with its box."""

    def __init__(self, ui: Any) -> None:
        super().__init__(ui)
        self._rescans: list[Any] = []
        self.preferredStack: Any = None  # whose scanner is asked what it saw, where the result has several
        ui.scannerButton.connect("clicked(bool)", self._onScanner)

    def show(self, results: Sequence[Any], rescans: Sequence[Any] = ()) -> None:
        """Offer these result nodes and the stacks re-sliced from them, without those that were removed."""
        self._rescans = [node for node in rescans if inScene(node)]
        super().show(results)

    def closeComparison(self) -> None:
        super().closeComparison()
        self._ui.scannerButton.checked = False

    def _describe(self) -> None:
        super()._describe()
        method = self.shown.GetAttribute(provenance.PREFIX + "method") or ""
        chosen = provenance.parameters(self.shown).get("method") == "auto"
        text = _("Method: {method}, chosen by predicting hidden slices") if chosen else _("Method: {method}")
        self._ui.reasonLabel.text = text.format(method=method)
        self._ui.reasonLabel.toolTip = self.shown.GetAttribute(provenance.PREFIX + "reason") or ""
        self._showFit()
        self._ui.compareButton.enabled = self._ui.scannerButton.enabled = self._pair() is not None

    def _showFit(self) -> None:
        """Whether the result can be had at another spacing without fitting again."""
        continuous, kept = fitted_node.isContinuous(self.shown), bool(fitted_node.find(self.shown))
        for widget in (self._ui.resampleLabel, self._ui.resampleBox, self._ui.resampleButton):
            widget.visible = continuous
        self._ui.resampleButton.enabled = self._ui.resampleBox.enabled = kept
        self._ui.resampleButton.text = _("Resample") if kept else _("Refit needed")
        self._ui.resampleButton.toolTip = (
            _("Evaluate the fitted representation with these voxels; nothing is fitted again.")
            if kept
            else str(resample_job.refitNeeded(self.shown))
        )

    def _pair(self) -> tuple[Any, Any] | None:
        """(stack, its re-sliced result) of the shown contrast: of the preferred stack where it is one."""
        key = provenance.PREFIX + "contrast"
        contrast = self.shown.GetAttribute(key)
        found = [
            (node.GetNodeReference(provenance.PREFIX + "stack"), node)
            for node in self._rescans
            if node.GetAttribute(key) == contrast
        ]
        found = [pair for pair in found if inScene(pair[0])]
        preferred = next((pair for pair in found if pair[0] is self.preferredStack), None)
        return preferred or (found[0] if found else None)

    def _onScanner(self, checked: bool = False) -> None:
        self._ui.compareButton.checked = True
        self._compare()

    def _compare(self) -> None:
        pair = self._pair()
        if pair is None:
            self.closeComparison()
            return
        stack, rescan = pair
        self._comparison.show(stack, self.shown, rescan if self._ui.scannerButton.checked else None)
