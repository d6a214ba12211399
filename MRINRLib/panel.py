"""What the panels of all modules do alike: parameter node, scenes that come and go, one job at a time."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from mrinr.engine import EngineError
from mrinr.errors import InputError
from MRINRLib import engine, frames, install
from MRINRLib.device_line import DeviceLine
from MRINRLib.job import WorkerJob, asJobError
from MRINRLib.job_controls import JobControls
from MRINRLib.patients_job import PatientsJob
from MRINRLib.rows_table import RowsTable
from MRINRLib.series_job import SeriesJob
from MRINRLib.views import Preview


class Panel(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Base of the modules' widgets.

    A module's `setup` calls this one's, fills `logic`, `_table`, `_results`, `_device` and `_controls`, and
    ends with `begin()`; `_update` shows what follows from the parameters.

    packages : what Apply installs beside PyTorch, see `MRINRLib.install.ensure`
    """

    packages: Mapping[str, str] = {}
    ui: Any
    logic: Any
    _table: RowsTable
    _results: Any
    _device: DeviceLine
    _controls: JobControls

    def __init__(self, parent=None) -> None:
        """Called when the user opens the module the first time and the widget is initialized."""
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self._parameterNode: Any = None
        self._parameterNodeGuiTag: Any = None
        self._job: WorkerJob | SeriesJob | None = None
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
        self.ui.allPatientsButton.connect("clicked(bool)", self.onAllPatientsButton)
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
            self._table.forget()
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

    def onAllPatientsButton(self, checked: bool = False) -> None:
        """Called when the user presses Apply to all patients."""
        self._run(self._startAll, self._showResults)

    def _startAll(self, **callbacks: Callable) -> PatientsJob:
        """Start what Apply would run, for every patient. Raises InputError where a choice is missing."""
        raise NotImplementedError

    def _showResults(self, job: WorkerJob | SeriesJob) -> None:
        """Show what came of Apply, for one volume, for every frame or for every patient."""
        raise NotImplementedError

    def _showFrames(self, inputs: Iterable[Any]) -> None:
        """Offer to work on every frame where an input is the volume of a sequence."""
        browser = frames.browserOf(inputs)
        self.ui.everyFrameBox.visible = browser is not None
        if browser is not None:
            self.ui.everyFrameBox.text = _("Every frame of the sequence ({count})").format(
                count=browser.GetNumberOfItems()
            )

    def _previewing(self, inputs: Iterable[Any], make: Callable[[], Preview]) -> dict[str, Any]:
        """What a job's start takes besides: a preview where that is wanted, and not every frame."""
        parameters = self._parameterNode
        if parameters.everyFrame and frames.browserOf(inputs) is not None:
            return {"everyFrame": True}
        if not parameters.preview:
            return {}
        self._preview = make()
        return {"onPreview": self._preview.show}

    def _cancelled(self) -> bool:
        """Cancel the running job: Apply was pressed again. False when none runs."""
        if self._job is None:
            return False
        self._controls.showCancelling()
        self._job.cancel()  # which may end it at once
        return True

    def _run(self, start: Callable[..., WorkerJob | SeriesJob], show: Callable[[Any], None]) -> None:
        """Start a job; `show` is called with it when it has succeeded."""
        self._controls.say("")
        try:
            install.ensure(self.moduleName, self.packages)
            job: WorkerJob | SeriesJob = start(
                onProgress=self._controls.progress, onFinished=lambda value: self._onFinished(job, show)
            )
        except Exception as error:
            known = asJobError(error)
            self._log(known)
            self._controls.say(str(known), error=True)
            return
        self._job = job
        self._results.closeComparison()
        self._controls.showRunning(True, job.cancelTip)

    def _onFinished(self, job: WorkerJob | SeriesJob, show: Callable[[Any], None]) -> None:
        """Called once for each job, however it ended."""
        if job is not self._job:  # stopped by us, when the scene closed or the module went
            return
        self._job = None
        self._endPreview()
        self._controls.showRunning(False)
        if job.error is not None:
            self._log(job.error)
            self._controls.say(str(job.error), error=True)
        elif job.state == "cancelled":
            if job.results:
                show(job)
            self._controls.say(job.summary or _("Cancelled; nothing was changed."))
        else:
            self._controls.say("\n".join(job.warnings))
            show(job)
            if job.summary:
                self._controls.say(job.summary)
        self._update()

    def _log(self, error: InputError | EngineError) -> None:
        if isinstance(error, EngineError):  # the other names volumes, and they may be named after people
            logging.error("%s: %s\n%s", self.moduleName, error, error.details)

    def _stopJob(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            job.cancel()
        self._endPreview()

    def _endPreview(self) -> None:
        if self._preview is not None:
            self._preview.end()
            self._preview = None
