"""The stand-in for Slicer's Qt half does what scripted modules expect, and is loud about the rest."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from slicer_session import screenshot, slicer

MODULE = """
from typing import Annotated
import slicer, vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin
from slicer.parameterNodeWrapper import Choice, Minimum, parameterNodeWrapper
from slicer import vtkMRMLScalarVolumeNode

class Halve(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Halve")
        self.started = False
        slicer.app.connect("startupCompleted()", self.onStartup)

    def onStartup(self):
        self.started = True

@parameterNodeWrapper
class HalveParameterNode:
    inputVolume: vtkMRMLScalarVolumeNode
    stacks: list[vtkMRMLScalarVolumeNode]
    divisor: Annotated[float, Minimum(0.5)] = 2.0
    mode: Annotated[str, Choice(["floor", "round"])] = "round"
    invert: bool = False

class HalveWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        ui = slicer.util.loadUI(self.resourcePath("UI/Halve.ui"))
        self.layout.addWidget(ui)
        self.ui = slicer.util.childWidgetVariables(ui)
        ui.setMRMLScene(slicer.mrmlScene)
        self.logic = HalveLogic()
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onEndClose)
        self.onEndClose()

    def onStartClose(self, caller=None, event=None):
        self.node.disconnectGui(self.gui)

    def onEndClose(self, caller=None, event=None):
        self.node = self.logic.getParameterNode()
        self.gui = self.node.connectGui(self.ui)

    def onApply(self):
        array = slicer.util.arrayFromVolume(self.node.inputVolume)
        array[:] = array / self.node.divisor
        slicer.util.arrayFromVolumeModified(self.node.inputVolume)

class HalveLogic(ScriptedLoadableModuleLogic):
    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)

    def getParameterNode(self):
        return HalveParameterNode(super().getParameterNode())
"""


def widget_xml(kind: str, name: str, properties: str = "") -> str:
    return f'<item><widget class="{kind}" name="{name}">{properties}</widget></item>'


def parameter(name: str) -> str:
    return f'<property name="SlicerParameterName" stdset="0"><string>{name}</string></property>'


UI = f"""<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0"><class>Halve</class><widget class="qMRMLWidget" name="Halve">
<layout class="QVBoxLayout" name="layout">
<item><widget class="ctkCollapsibleButton" name="section">
<property name="text"><string>Inputs</string></property>
<layout class="QVBoxLayout" name="inner">
{widget_xml("qMRMLNodeComboBox", "inputSelector", parameter("inputVolume"))}
{widget_xml("QDoubleSpinBox", "divisorBox", parameter("divisor"))}
{widget_xml("QComboBox", "modeBox", parameter("mode"))}
{widget_xml("QCheckBox", "invertBox", parameter("invert"))}
</layout></widget></item>
{widget_xml("QPushButton", "applyButton", '<property name="text"><string>Apply</string></property>')}
</layout></widget>
<connections><connection><sender>Halve</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
<receiver>inputSelector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections></ui>
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("Halve")
    (folder / "Resources" / "UI").mkdir(parents=True)
    (folder / "Halve.py").write_text(textwrap.dedent(MODULE), encoding="utf-8")
    (folder / "Resources" / "UI" / "Halve.ui").write_text(UI, encoding="utf-8")
    slicer.mrmlScene.Clear()
    return slicer.loadModule(folder / "Halve.py")


@pytest.fixture
def widget(module):
    slicer.mrmlScene.Clear()
    return slicer.util.getModuleWidget("Halve")


def a_volume(name: str = "scan"):
    voxels = np.fromfunction(lambda k, j, i: 100.0 * (i + j + k), (8, 9, 10)).astype(np.float32)
    return slicer.util.addVolumeFromArray(voxels, name=name)


def test_a_module_is_found_by_name_with_its_widget_and_logic(module, widget):
    assert slicer.util.getModuleLogic("Halve") is widget.logic
    assert module.instance.started
    assert Path(slicer.util.modulePath("Halve")).name == "Halve.py"


def test_widgets_and_parameter_node_follow_each_other_both_ways(widget):
    volume = a_volume()
    assert widget.ui.inputSelector.currentNode() is volume
    assert widget.node.inputVolume is volume
    widget.node.divisor = 4.0
    assert widget.ui.divisorBox.value == 4.0
    widget.ui.invertBox.click()
    assert widget.node.invert is True
    widget.ui.modeBox.currentIndex = 0
    assert widget.node.mode == "floor"


def test_a_disconnected_widget_writes_no_more(widget):
    widget.node.divisor = 4.0
    widget.node.disconnectGui(widget.gui)
    widget.ui.divisorBox.value = 8.0
    assert widget.node.divisor == 4.0
    widget.gui = widget.node.connectGui(widget.ui)
    assert widget.ui.divisorBox.value == 4.0


def test_closing_the_scene_brings_the_defaults_back(widget):
    widget.node.divisor = 4.0
    slicer.mrmlScene.Clear()
    assert widget.node.divisor == 2.0 and widget.ui.divisorBox.value == 2.0


def test_lists_of_nodes_survive_in_the_scene(widget, tmp_path):
    first, second = a_volume("first"), a_volume("second")
    widget.node.stacks = [first, second]
    assert list(widget.logic.getParameterNode().stacks) == [first, second]
    widget.node.stacks = [second]
    assert list(widget.logic.getParameterNode().stacks) == [second]


def test_a_value_outside_its_limits_is_refused(widget):
    with pytest.raises(ValueError):
        widget.node.divisor = 0.1


def test_a_click_reaches_the_python_slot(widget):
    volume = a_volume()
    before = slicer.util.arrayFromVolume(volume).copy()
    assert widget.node.inputVolume is volume
    widget.ui.applyButton.click()
    np.testing.assert_allclose(slicer.util.arrayFromVolume(volume), before / 2)


def test_what_it_does_not_know_raises(widget):
    import ctk
    import qt

    with pytest.raises(NotImplementedError):
        ctk.ctkRangeSlider()
    with pytest.raises(AttributeError):
        qt.QNotAClass  # noqa: B018
    with pytest.raises(AttributeError):
        widget.ui.applyButton.textt = "typo"
    with pytest.raises(AttributeError):
        slicer.app.notAnAttribute  # noqa: B018


def test_slice_views_show_the_volume(widget, tmp_path):
    volume = a_volume()
    volume.CreateDefaultDisplayNodes()
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    path = screenshot("host_views", tmp_path)
    slicer.app.layoutManager().save(path)
    assert np.asarray(Image.open(path).convert("L")).std() > 10


def test_displayable_nodes_get_a_subject_hierarchy_item(widget):
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    assert hierarchy.GetItemByDataNode(a_volume()) != 0
