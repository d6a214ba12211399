"""What all panels owe to those who use them: tooltips, the keyboard, any theme, no label cut off or empty."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from phantoms import head_stack
from PIL import Image
from random_user import nothing_goes_wrong
from slicer_session import ROOT, screenshot, slicer

pytest.importorskip("torch")

import qt
import shiboken6
from PySide6 import QtGui, QtWidgets

MODULES = ("MRINRSuperRes", "MRINRSynthesis", "ContrastCRL")
WIDTH, HEIGHT = 420, 800  # of the panel in Slicer's window of 1280 x 800
USED = (
    QtWidgets.QAbstractButton, QtWidgets.QComboBox, QtWidgets.QAbstractSpinBox, QtWidgets.QAbstractSlider,
    QtWidgets.QLineEdit, QtWidgets.QAbstractItemView,
)  # fmt: skip
# Parts that Qt, CTK and the stand-in make inside of a widget, which has its own tooltip.
INSIDE = ("_header", "qt_", "ScrollLeftButton", "ScrollRightButton")


@pytest.fixture(params=MODULES)
def panel(request):
    slicer.mrmlScene.Clear()
    module = slicer.loadModule(ROOT / request.param / f"{request.param}.py")
    parent = module.widgetRepresentation()
    parent.resize(WIDTH, HEIGHT)
    parent.show()
    parent.enter()
    yield slicer.util.getModuleWidget(request.param)
    parent.exit()
    slicer.mrmlScene.Clear()
    from MRINRLib import engine

    engine.closeShared()


def fill(panel: Any) -> None:
    """Two scans in the scene and in the panel, all sections open."""
    for contrast, plane in (("T1", "axial"), ("T2", "coronal")):
        volume = head_stack(contrast, plane, shape=(32, 32, 32)).volume
        voxels = np.ascontiguousarray(volume.voxels.transpose(2, 1, 0))
        node = slicer.util.addVolumeFromArray(voxels, volume.affine, f"{contrast} {plane}")
        node.CreateDefaultDisplayNodes()
        panel.ui.addSelector.setCurrentNode(node)
        panel.ui.addButton.click()
    for name, widget in vars(panel.ui).items():
        if name.endswith("Section") and hasattr(widget, "collapsed"):
            widget.collapsed = False
    settle(panel)


def settle(panel: Any) -> None:
    """As tall as it wants to be: Slicer scrolls; wrapped text settles its height while it is drawn."""
    for _ in range(4):
        slicer.app.processEvents()
        panel.parent.resize(WIDTH, max(HEIGHT, panel.parent.layout().totalSizeHint().height()))
        panel.parent.grab()


def widgets(panel: Any, kinds: tuple | type) -> Iterator[Any]:
    """Those that a person sees or may come to see, without the parts inside of others."""
    for widget in panel.parent.findChildren(QtWidgets.QWidget):
        if not isinstance(widget, kinds) or widget.objectName.startswith(INSIDE):
            continue
        owner = widget.parent()
        if type(owner).__name__ == "qMRMLNodeComboBox" or isinstance(owner.parent(), QtWidgets.QComboBox):
            continue
        if isinstance(owner, (QtWidgets.QComboBox, QtWidgets.QAbstractSpinBox, QtWidgets.QHeaderView)):
            continue
        if isinstance(widget, (QtWidgets.QScrollBar, QtWidgets.QHeaderView)):
            continue
        if isinstance(widget, QtWidgets.QAbstractButton) and isinstance(owner, QtWidgets.QTableView):
            continue  # the corner of a table
        yield widget


def wanted(widget: Any) -> Any:
    """Its size hint, which the stand-in shows as a property that calls itself."""
    return QtWidgets.QWidgetItem(widget).sizeHint()


def called(widget: Any) -> str:
    return widget.objectName or f"{type(widget).__name__} {getattr(widget, 'text', '')}"


def test_a_panel_hears_nothing_more_once_its_module_goes_away(panel):
    name = panel.moduleName
    panel.parent.exit()
    assert len(panel.Observations) > 0
    slicer.loadModule(ROOT / name / f"{name}.py")
    assert len(panel.Observations) == 0
    for selector in panel.parent.findChildren(slicer.qMRMLNodeComboBox):
        shiboken6.delete(selector)
    with nothing_goes_wrong():
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
        slicer.mrmlScene.Clear()


@pytest.mark.parametrize("meanwhile", ["nothing", "the module is left", "the scene is closed", "rows come"])
def test_a_row_can_be_removed_whatever_happens_at_the_same_time(panel, meanwhile):
    fill(panel)
    settle(panel)
    table = panel._table
    first, second = table.rows
    with nothing_goes_wrong():
        next(button for button in widgets(panel, QtWidgets.QToolButton) if button.text == "✕").click()
        if meanwhile == "the module is left":
            panel.parent.exit()
        elif meanwhile == "the scene is closed":
            slicer.mrmlScene.Clear()
        elif meanwhile == "rows come":
            fill(panel)
        settle(panel)
        panel.parent.enter()
        settle(panel)
    names = {"nothing": ["T2 coronal"], "the scene is closed": []}
    if meanwhile in names:
        assert [row.node.GetName() for row in table.rows] == names[meanwhile]
    elif meanwhile == "the module is left":  # which shows nothing any more, so nothing was removed
        assert [row.node for row in table.rows] == [first.node, second.node]
    elif meanwhile == "rows come":
        nodes = [row.node for row in table.rows]
        assert len(nodes) == 3 and nodes[0] is second.node and first.node not in nodes


def test_everything_that_can_be_used_says_what_it_does(panel):
    fill(panel)
    found = list(widgets(panel, USED))
    assert len(found) > 15
    assert [called(widget) for widget in found if not (widget.toolTip or "").strip()] == []


def test_everything_can_be_reached_with_the_keyboard_from_top_to_bottom(panel):
    fill(panel)
    usable = [
        widget for widget in widgets(panel, USED) if widget.isVisibleTo(panel.parent) and widget.enabled
    ]
    to_read = (QtWidgets.QTableWidget,)  # some tables are only there to be read
    passed = [w for w in usable if not w.focusPolicy & qt.Qt.TabFocus and not isinstance(w, to_read)]
    assert [called(w) for w in passed] == []
    order, widget = [], panel.parent
    while (widget := widget.nextInFocusChain()) is not panel.parent and len(order) < 2000:
        if widget in usable and not isinstance(widget.parent().parent(), QtWidgets.QTableView):
            order.append(widget)
    tops = [widget.mapTo(panel.parent, qt.QPoint(0, 0)).y() for widget in order]
    back = [
        (called(a), called(b))
        for a, b, y, z in zip(order, order[1:], tops, tops[1:], strict=False)
        if z < y - 12
    ]
    assert len(order) >= 10 and back == []


@pytest.mark.parametrize("filled", [False, True])
def test_no_label_is_empty_or_cut_off(panel, filled, tmp_path):
    if filled:
        fill(panel)
    settle(panel)
    assert panel.parent.layout().totalMinimumSize().width() <= WIDTH
    seen = [w for w in widgets(panel, QtWidgets.QLabel) if w.isVisibleTo(panel.parent)]
    # Hovering over a view must not make the panel jump: the line that says what lies there keeps its place.
    assert {called(label) for label in seen if not label.text.strip()} <= {"cursorLabel"}
    cut = [
        called(label)
        for label in seen
        if (
            label.heightForWidth(label.width) > label.height + 1
            if label.wordWrap
            else wanted(label).width() > label.width + 1
        )
    ]
    buttons = widgets(panel, (QtWidgets.QPushButton, QtWidgets.QCheckBox, QtWidgets.QRadioButton))
    cut += [called(b) for b in buttons if b.isVisibleTo(panel.parent) and wanted(b).width() > b.width + 1]
    assert panel.parent.grab().save(
        screenshot(f"{panel.moduleName}_{'filled' if filled else 'empty'}", tmp_path)
    )
    assert cut == []


# Themes ----------------------------------------------------------------------------------------------------


def test_nothing_sets_colours_or_styles():
    """Slicer's theme, dark or of high contrast, comes through the palette; what is important is bold."""
    forbidden = {"styleSheet", "setStyleSheet", "QColor", "QPalette", "palette", "setPalette",
                 "setForeground", "setBackground", "QBrush"}  # fmt: skip
    for folder in ("MRINRLib", *MODULES):
        for path in (ROOT / folder).rglob("*.py"):
            nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
            names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
            assert not names & forbidden, (path.name, names & forbidden)
            texts = [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
            assert not any("color:" in text or "<font" in text for text in texts), path.name
    for name in MODULES:
        form = ElementTree.parse(ROOT / name / "Resources" / "UI" / f"{name}.ui").getroot()
        assert {node.get("name") for node in form.iter("property")} & {"styleSheet", "palette"} == set()
        assert not any("color" in (text.text or "") for text in form.iter("string"))


def dark() -> QtGui.QPalette:
    palette = QtGui.QPalette()
    role = QtGui.QPalette.ColorRole
    for names, value in (
        ((role.Window, role.Base, role.AlternateBase, role.ToolTipBase), 40),
        ((role.Button,), 60),
        ((role.WindowText, role.Text, role.ButtonText, role.ToolTipText, role.BrightText), 230),
    ):
        for name in names:
            palette.setColor(name, QtGui.QColor(value, value, value))
    return palette


def test_a_dark_theme_is_dark_everywhere_and_readable(panel, tmp_path):
    fill(panel)
    app = QtWidgets.QApplication.instance()
    style, palette = app.style().objectName, QtGui.QPalette(app.palette())
    try:
        app.setStyle("Fusion")
        app.setPalette(dark())
        panel._controls.say("Something went wrong.", error=True)
        settle(panel)
        path = screenshot(f"{panel.moduleName}_dark", tmp_path)
        assert panel.parent.grab().save(path)
        for widget in widgets(panel, QtWidgets.QWidget):
            text, ground = (
                widget.palette.color(role).lightness()
                for role in (widget.foregroundRole(), widget.backgroundRole())
            )
            assert abs(text - ground) > 100, called(widget)
        grey = np.asarray(Image.open(path).convert("L"))
        assert np.median(grey) < 70 and (grey > 160).mean() < 0.15 and (grey > 160).mean() > 0.005
    finally:
        app.setPalette(palette)
        app.setStyle(style)
