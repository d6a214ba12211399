"""What the panels of all modules do alike: parameter node, scenes that come and go, one job at a time."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from mrinr.errors import InputError
from MRINRLib import engine, install
from MRINRLib.device_line import DeviceLine
from MRINRLib.job import WorkerJob
from MRINRLib.job_controls import JobControls
from MRINRLib.views import Preview


class Panel(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Base of the modules' widgets.

    A module's `setup` calls this one's, fills `logic`, `_results`, `_device` and `_controls`, and ends with
    `begin()`; `_update` shows what follows from the parameters.

    packages : what Apply installs beside PyTorch, see `MRINRLib.install.ensure`
    """

    packages: Mapping[str, str] = {}
    ui: Any
    logic: Any
    _results: Any
    _device: DeviceLine
    _controls: JobControls

    def __init__(self, parent=None) -> None:
        """Called when the user opens the module the first time and the widget is initialized."""
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self._parameterNode: Any = None
        self._parameterNodeGuiTag: Any = None
        self._job: WorkerJob | None = None
        self._preview: Preview | None = None

    def setup(self) -> None:
        """Load the module's .ui into `ui`."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath(f"UI/{self.moduleName}.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)

    def begin(self) -> None:
        """Called at the end of a module's `setup`."""
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(scene, scene.NodeRemovedEvent, self._onNodeRemoved)
        self.ui.addSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onAddSelection)
        self.initializeParameterNode()
        self._controls.showRunning(False)

    def cleanup(self) -> None:
        """Called when the application closes, when the widgets may be gone already, and before a reload."""
        self._stopJob()
        self.removeObservers()

    def enter(self) -> None:
        """Called each time the user opens this module."""
        self.initializeParameterNode()
        self._device.ask(self._parameterNode.device)

    def exit(self) -> None:
        """Called each time the user opens a different module; a running job goes on."""
        self.setParameterNode(None)

    def onReload(self) -> None:
        """Called by the developer's Reload button: the shared packages are loaded anew, too."""
        self._stopJob()
        self.setParameterNode(None)
        engine.closeShared()
        for name in [name for name in sys.modules if name.split(".")[0] in ("mrinr", "MRINRLib")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller=None, event=None) -> None:
        """Called just before the scene is closed."""
        self._stopJob()
        self._controls.showRunning(False)
        self._results.closeComparison()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller=None, event=None) -> None:
        """Called just after the scene is closed."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller=None, event=None) -> None:
        """Called after a scene was loaded: it may have brought another parameter node."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Ensure parameter node exists and is observed."""
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode: Any) -> None:
        """Show and observe a parameter node instead of the one before; None shows none."""
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._update)
        self._parameterNode = parameterNode
        if self._parameterNode:
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._update)
            self._update()

    def _update(self, caller=None, event=None) -> None:
        """Called whenever the parameters change: everything in the panel that follows from them."""
        raise NotImplementedError

    def _onNodeRemoved(self, caller=None, event=None) -> None:
        self._update()

    def _onAddSelection(self, node=None) -> None:
        self.ui.addButton.enabled = node is not None

    # Jobs ---------------------------------------------------------------------------------------------

    def _cancelled(self) -> bool:
        """Cancel the running job: Apply was pressed again. False when none runs."""
        if self._job is None:
            return False
        self._job.cancel()
        self._controls.showCancelling()
        return True

    def _run(self, start: Callable[..., WorkerJob], show: Callable[[Any], None]) -> None:
        """Start a job; `show` is called with it when it has succeeded."""
        self._controls.say("")
        try:
            install.ensure(self.moduleName, self.packages)
            job: WorkerJob = start(
                onProgress=self._controls.progress, onFinished=lambda value: self._onFinished(job, show)
            )
        except InputError as error:
            self._controls.say(str(error), error=True)
            return
        self._job = job
        self._results.closeComparison()
        self._controls.showRunning(True)

    def _onFinished(self, job: WorkerJob, show: Callable[[Any], None]) -> None:
        """Called once for each job, however it ended."""
        if job is not self._job:  # stopped by us, when the scene closed or the module went
            return
        self._job = None
        self._endPreview()
        self._controls.showRunning(False)
        if job.error is not None:
            if not isinstance(
                job.error, InputError
            ):  # which names volumes, and they may be named after people
                logging.error("%s: %s\n%s", self.moduleName, job.error, getattr(job.error, "details", ""))
            self._controls.say(str(job.error), error=True)
        elif job.state == "cancelled":
            self._controls.say(_("Cancelled; nothing was changed."))
        else:
            self._controls.say("\n".join(job.warnings))
            show(job)
        self._update()

    def _stopJob(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            job.cancel()
        self._endPreview()

    def _endPreview(self) -> None:
        if self._preview is not None:
            self._preview.end()
            self._preview = None
