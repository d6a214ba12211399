"""Synthetic volumes: with their uncertainty over them, beside an input, compared with the measured truth."""

from __future__ import annotations

import json
from typing import Any

from slicer.i18n import tr as _

from MRINRLib import evaluation_job, provenance, synthesis_job, views
from MRINRLib.models import notice
from MRINRLib.nodes import inScene
from MRINRLib.results_section import ResultsSection
from MRINRLib.scores_table import ScoresTable


class SynthesisResults(ResultsSection):
    """Drives, besides what all have, reasonLabel, warningsLabel, uncertaintyBox, compareBox, scores."""

    def __init__(self, ui: Any) -> None:
        super().__init__(ui)
        self._scores = ScoresTable(ui.scoresTable)
        self._beside: list[Any] = []
        self._reference: Any = None
        ui.uncertaintyBox.connect("clicked(bool)", self._onUncertaintyClicked)
        ui.compareBox.connect("activated(int)", self._onCompareChosen)

    def showNew(self, result: Any) -> None:
        """A result that has just come: in the views; under its uncertainty where it cannot be trusted."""
        self._ui.resultBox.currentIndex = self._results.index(result)
        if notice(provenance.get(result, "target")):
            self._ui.uncertaintyBox.checked = True
        self._onChosen()

    def setReference(self, reference: Any) -> None:
        """The measured volume, which can be compared with, too; or None."""
        self._reference = reference if inScene(reference) else None

    def _describe(self) -> None:
        super()._describe()
        result = self.shown
        model, target = provenance.get(result, "model"), provenance.get(result, "target")
        self._ui.reasonLabel.text = _(
            "SYNTHETIC: {target} predicted from {inputs} by {model}, not acquired by a scanner."
        ).format(target=target, inputs=", ".join(provenance.get(result, "inputs").split()), model=model)
        said = json.loads(provenance.get(result, "warnings") or "[]")
        self._ui.warningsLabel.text = "\n".join([*filter(None, [notice(target)]), *said])
        self._ui.warningsLabel.visible = bool(self._ui.warningsLabel.text)
        self._ui.uncertaintyBox.enabled = self._uncertainty() is not None
        difference = synthesis_job.detail(result, evaluation_job.DIFFERENCE)
        self._showScores(difference)
        self._offerVolumes(result, difference)

    def _showScores(self, difference: Any) -> None:
        """What the last comparison of the shown result with a measured volume has found."""
        found = evaluation_job.scores(difference) if difference is not None else {}
        floors = {name: score and score["brain"] for name, score in found.get("floors", {}).items()}
        self._scores.show(
            {
                _("this result"): found.get("brain"),
                _("a constant brain"): floors.get("constant"),
                _("the best input, scaled"): floors.get("identity"),
                _("linear fit of the inputs"): floors.get("linear"),
            }
        )
        self._ui.scoresLabel.visible = bool(found)
        self._ui.scoresLabel.text = _(
            "In the brain, after matching brightness and contrast: {difference}. The lines below the first "
            "need no model; they were fitted to the measured volume itself."
        ).format(difference=difference.GetName() if found else "")

    def _offerVolumes(self, result: Any, difference: Any) -> None:
        beside = list(synthesis_job.sourceNodes(result).items())
        if self._reference is not None:
            beside.append((_("measured"), self._reference))
        if difference is not None:
            beside.append((_("difference"), difference))
        texts = [f"{name}: {node.GetName()}" for name, node in beside]
        box = self._ui.compareBox
        if texts != [box.itemText(index) for index in range(box.count)]:
            box.clear()
            box.addItems(texts)
        self._beside = [node for _name, node in beside]
        self._ui.compareButton.enabled = bool(beside)

    def _uncertainty(self) -> Any:
        return synthesis_job.detail(self.shown, synthesis_job.UNCERTAINTY)

    def _overlay(self) -> Any:
        return self._uncertainty() if self._ui.uncertaintyBox.checked else None

    def _present(self) -> None:
        views.showInSliceViews(self.shown, self._overlay())

    def _compare(self) -> None:
        index = max(self._ui.compareBox.currentIndex, 0)
        if index >= len(self._beside):
            self.closeComparison()
            return
        self._comparison.show(self._beside[index], self.shown, overlayNode=self._overlay())

    def _onUncertaintyClicked(self, checked: bool = False) -> None:
        self._onChosen()

    def _onCompareChosen(self, index: int = 0) -> None:
        if self._comparison.isOpen:
            self._compare()
