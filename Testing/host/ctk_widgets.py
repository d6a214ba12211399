# ruff: noqa: N801  (names are Slicer's)
"""The module `ctk`: the few CTK widgets that our .ui files use."""

from __future__ import annotations

from PySide6.QtCore import Property, QEvent, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QMessageBox, QSizePolicy, QToolButton, QWidget

from host.unknown import PartialModule


class ctkCollapsibleButton(QWidget):
    """A titled section: a header button over whatever layout the .ui file puts into it."""

    contentsCollapsed = Signal(bool)
    toggled = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._collapsed = self._forcing = False
        self._hidden: set[QWidget] = set()  # by somebody, not by us
        self._header = QToolButton(self)
        self._header.setObjectName("_header")
        self._header.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        font = self.font
        font.setBold(True)
        self._header.setFont(font)
        self._header.clicked.connect(lambda: self._setCollapsed(not self._collapsed))
        self._headerHeight = 26
        self.setContentsMargins(0, self._headerHeight, 0, 0)
        self._title = ""

    def resizeEvent(self, event) -> None:
        self._header.setGeometry(0, 0, self.width, self._headerHeight - 2)
        super().resizeEvent(event)

    def _label(self) -> None:
        self._header.setText(("▸ " if self._collapsed else "▾ ") + self._title)

    def _setText(self, text: str) -> None:
        self._title = text
        self._label()

    def _setCollapsed(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        self._label()
        self._apply()
        self.contentsCollapsed.emit(collapsed)
        self.toggled.emit(not collapsed)

    def _apply(self) -> None:
        self._forcing = True
        for child in self.children():
            if isinstance(child, QWidget) and child is not self._header:
                child.setVisible(not self._collapsed and child not in self._hidden)
        self._forcing = False
        self.setMaximumHeight(self._headerHeight if self._collapsed else 16777215)

    def childEvent(self, event) -> None:
        if event.added() and isinstance(event.child(), QWidget):
            event.child().installEventFilter(self)
        super().childEvent(event)

    def eventFilter(self, child, event) -> bool:
        """As CTK does: what somebody hid or showed, stays so when the section is opened again."""
        if not self._forcing and event.type() in (QEvent.Type.ShowToParent, QEvent.Type.HideToParent):
            hidden = event.type() == QEvent.Type.HideToParent
            (self._hidden.add if hidden else self._hidden.discard)(child)
            if self._collapsed and not hidden:
                self._apply()
        return False

    def showEvent(self, event) -> None:
        if self._collapsed:  # the loader adds the children after it has set the property
            self._apply()
        super().showEvent(event)

    text = Property(str, lambda self: self._title, lambda self, v: self._setText(v))
    collapsed = Property(bool, lambda self: self._collapsed, lambda self, v: self._setCollapsed(v))
    checked = Property(bool, lambda self: not self._collapsed, lambda self, v: self._setCollapsed(not v))


class ctkDoubleSpinBox(QDoubleSpinBox):
    pass


class ctkMessageBox(QMessageBox):
    pass


class _Ctk(PartialModule):
    prefix = "ctk"


WIDGETS = (ctkCollapsibleButton, ctkDoubleSpinBox)


def module() -> PartialModule:
    ctk = _Ctk("ctk")
    for widget in (*WIDGETS, ctkMessageBox):
        setattr(ctk, widget.__name__, widget)
    return ctk
