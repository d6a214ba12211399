"""Whole volumes of another contrast: under their uncertainty, beside the scan that they came from."""

from __future__ import annotations

import json
from typing import Any

from slicer.i18n import tr as _

from MRINRLib import contrast_job, provenance, views
from MRINRLib.results_section import ResultsSection


class ContrastResults(ResultsSection):
    """Drives, besides what all have, reasonLabel, warningsLabel and uncertaintyBox."""

    def __init__(self, ui: Any) -> None:
        super().__init__(ui)
        ui.uncertaintyBox.connect("clicked(bool)", self._onChosen)

    def showNew(self, result: Any) -> None:
        """A result that has just come, in the views."""
        self._ui.resultBox.currentIndex = self._results.index(result)
        self._onChosen()

    def _describe(self) -> None:
        super()._describe()
        result = self.shown
        self._ui.reasonLabel.text = _(
            "SYNTHETIC: {target} predicted from {inputs} by {model}, not acquired by a scanner."
        ).format(
            target=provenance.get(result, "target"),
            inputs=", ".join(json.loads(provenance.get(result, "sourceNames") or "[]")),
            model=provenance.get(result, "model"),
        )
        said = json.loads(provenance.get(result, "warnings") or "[]")
        self._ui.warningsLabel.text = "\n".join(said)
        self._ui.warningsLabel.visible = bool(said)
        self._ui.uncertaintyBox.enabled = self._uncertainty() is not None
        self._ui.compareButton.enabled = bool(contrast_job.sourcesOf(result))

    def _uncertainty(self) -> Any:
        return contrast_job.detail(self.shown, contrast_job.UNCERTAINTY)

    def _overlay(self) -> Any:
        return self._uncertainty() if self._ui.uncertaintyBox.checked else None

    def _present(self) -> None:
        views.showInSliceViews(self.shown, self._overlay())

    def _compare(self) -> None:
        sources = contrast_job.sourcesOf(self.shown)
        if sources:
            self._comparison.show(sources[0], self.shown, overlayNode=self._overlay())
        else:
            self.closeComparison()
