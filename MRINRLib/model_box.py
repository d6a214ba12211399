"""The combo box that offers models by name, and a folder of one's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _


class ModelBox:
    """Drives a QComboBox; keys are names of models that ship, paths of folders, or words such as "auto".

    onModel : called with the key that a person has chosen; onFolder : with the path of another folder
    """

    def __init__(self, box: Any, onModel: Callable[[str], None], onFolder: Callable[[str], None]) -> None:
        self._box = box
        self._onModel, self._onFolder = onModel, onFolder
        self._keys: list[str] = []
        self._shownIndex = -1
        box.connect("activated(int)", self._onActivated)

    def show(self, key: str, keys: Sequence[str]) -> None:
        """Offer `keys`, and `key` where it is none of them."""
        self._keys = list(dict.fromkeys([*keys, key]))
        titles = [_title(key) for key in self._keys]
        fill(self._box, [*titles, _("Choose folder…")], titles[self._keys.index(key)])
        for index, each in enumerate(self._keys):
            self._box.setItemData(index, each, qt.Qt.ToolTipRole)
        self._shownIndex = self._keys.index(key)
        self._box.currentIndex = self._shownIndex

    def _onActivated(self, index: int) -> None:
        if index < len(self._keys):
            self._onModel(self._keys[index])
            return
        self._box.currentIndex = self._shownIndex
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of a model"))
        if folder:
            self._onFolder(folder)


def _title(key: str) -> str:
    return key.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def fill(box: Any, texts: Sequence[str], current: str) -> None:
    """Offer texts in a combo box, which is left alone where it shows them already."""
    if list(texts) != [box.itemText(index) for index in range(box.count)]:
        box.clear()
        box.addItems(list(texts))
    box.currentIndex = list(texts).index(current) if current in texts else -1
