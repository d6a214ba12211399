"""The part of a panel that offers models and targets, and says what each model was trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from slicer.i18n import tr as _

from mrinr.errors import InputError
from MRINRLib.model_box import ModelBox, fill
from MRINRLib.models import AUTO, Models, trainedOn


class ModelSection:
    """Drives targetBox, modelBox, trainedLabel and cardBrowser.

    onTarget, onModel : called with the target, or the model's key, that a person has chosen
    onFolder : called with the path of a model folder that a person wants in the list
    """

    def __init__(
        self,
        ui: Any,
        models: Models,
        onTarget: Callable[[str], None],
        onModel: Callable[[str], None],
        onFolder: Callable[[str], None],
    ) -> None:
        self._ui = ui
        self._models = models
        self._box = ModelBox(ui.modelBox, onModel, onFolder)
        self._card: str | None = None
        ui.targetBox.connect("activated(int)", lambda index: onTarget(ui.targetBox.itemText(index)))

    def show(self, key: str, folders: Sequence[str], inputs: Sequence[str], target: str) -> None:
        """Offer models, and the targets that the model `key` makes of these inputs."""
        self._box.show(key, [AUTO, *(bundle.name for bundle in self._models.shipped), *folders])
        try:
            targets = self._models.targets(key, inputs)
            one = self._models.chosen(key, inputs, target)
            candidates = [one] if one is not None else self._models.candidates(key)
        except InputError:
            targets, candidates = [], []  # Apply's tooltip says why
        fill(self._ui.targetBox, targets, target)
        self._ui.targetBox.enabled = bool(targets)
        text = trainedOn(candidates)
        if key == AUTO and len(candidates) == 1:
            text = _("Model: {name}. ").format(name=candidates[0].name) + text
        self._ui.trainedLabel.text = text
        card = "\n\n---\n\n".join(bundle.card for bundle in candidates)
        if card != self._card:  # else the person's scrolling would be lost
            self._card = card
            self._ui.cardBrowser.setMarkdown(card)
