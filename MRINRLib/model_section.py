"""The part of a panel that offers models and targets, and says what each model was trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from mrinr.errors import InputError
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
        self._onModelKey, self._onFolder = onModel, onFolder
        self._keys: list[str] = []
        self._card: str | None = None
        ui.targetBox.connect("activated(int)", lambda index: onTarget(ui.targetBox.itemText(index)))
        ui.modelBox.connect("activated(int)", self._onModel)

    def show(self, key: str, folders: Sequence[str], inputs: Sequence[str], target: str) -> None:
        """Offer models, and the targets that the model `key` makes of these inputs."""
        self._offerModels(key, folders)
        try:
            targets = self._models.targets(key, inputs)
            one = self._models.chosen(key, inputs, target)
            candidates = [one] if one is not None else self._models.candidates(key)
        except InputError:
            targets, candidates = [], []  # Apply's tooltip says why
        _fill(self._ui.targetBox, targets, target)
        self._ui.targetBox.enabled = bool(targets)
        text = trainedOn(candidates)
        if key == AUTO and len(candidates) == 1:
            text = _("Model: {name}. ").format(name=candidates[0].name) + text
        self._ui.trainedLabel.text = text
        card = "\n\n---\n\n".join(bundle.card for bundle in candidates)
        if card != self._card:  # else the person's scrolling would be lost
            self._card = card
            self._ui.cardBrowser.setMarkdown(card)

    def _offerModels(self, key: str, folders: Sequence[str]) -> None:
        self._keys = [AUTO, *(bundle.name for bundle in self._models.shipped), *folders]
        if key not in self._keys:
            self._keys.append(key)
        titles = [_title(key) for key in self._keys]
        _fill(self._ui.modelBox, [*titles, _("Choose folder…")], titles[self._keys.index(key)])
        for index, each in enumerate(self._keys):
            self._ui.modelBox.setItemData(index, each, qt.Qt.ToolTipRole)
        self._shownIndex = self._keys.index(key)
        self._ui.modelBox.currentIndex = self._shownIndex

    def _onModel(self, index: int) -> None:
        if index < len(self._keys):
            self._onModelKey(self._keys[index])
            return
        self._ui.modelBox.currentIndex = self._shownIndex
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of a model"))
        if folder:
            self._onFolder(folder)


def _title(key: str) -> str:
    return key.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def _fill(box: Any, texts: Sequence[str], current: str) -> None:
    """Offer texts in a combo box, which is left alone where it shows them already."""
    if list(texts) != [box.itemText(index) for index in range(box.count)]:
        box.clear()
        box.addItems(list(texts))
    box.currentIndex = list(texts).index(current) if current in texts else -1
