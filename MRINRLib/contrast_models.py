"""Models that change contrast: the one that comes with MRINR and folders that a person chose."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from mrinr import bundles
from mrinr.bundles import Bundle
from mrinr.contrast.parameters import Box
from mrinr.errors import InputError
from MRINRLib.model_box import ModelBox
from MRINRLib.models import trainedOn

ARCHITECTURE = "crl"


class ContrastModels:
    """Model folders by key: a shipped model's name or the path of a folder; each is read and checked once."""

    def __init__(self) -> None:
        self._found: dict[str, Bundle] = {}
        try:
            self.shipped = [each.name for each in bundles.shipped() if each.architecture == ARCHITECTURE]
        except InputError:  # the panel has to open all the same; `bundle` says what is wrong
            self.shipped = []

    def bundle(self, key: str) -> Bundle:
        """Raises InputError when the model is missing, damaged or of another kind."""
        if key not in self._found:
            found = bundles.find(key)
            if found.architecture != ARCHITECTURE:
                raise InputError(
                    _("The model {model} knows no TR, TE and TI; choose another.").format(model=found.name)
                )
            self._found[key] = found
        return self._found[key]

    def box(self, key: str) -> Box | None:
        """What the model was trained on, {"TR": [low, high], ...} in ms; None without a model."""
        try:
            return self.bundle(key).facts["box"]
        except InputError:
            return None


class ContrastModelSection:
    """Drives modelBox, trainedLabel and cardBrowser. See `ModelBox` for the callbacks."""

    def __init__(self, ui: Any, models: ContrastModels, onModel: Any, onFolder: Any) -> None:
        self._ui, self._models = ui, models
        self._box = ModelBox(ui.modelBox, onModel, onFolder)
        self._card: str | None = None

    def show(self, key: str, folders: list[str]) -> None:
        self._box.show(key, [*self._models.shipped, *folders])
        try:
            bundle = self._models.bundle(key)
            text, card = trainedOn([bundle]), bundle.card
        except InputError as error:
            text, card = str(error), ""
        self._ui.trainedLabel.text = text
        if card != self._card:  # else the person's scrolling would be lost
            self._card = card
            self._ui.cardBrowser.setMarkdown(card)
