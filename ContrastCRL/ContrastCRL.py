import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import slicer
from slicer import vtkMRMLNode, vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)

if importlib.util.find_spec("MRINRLib") is None:
    # Installed, the shared packages lie beside this file; in a checkout one folder up, which Slicer does not
    # search.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mrinr.contrast import MODEL
from mrinr.contrast.parameters import of_times, outside, times, with_null
from mrinr.errors import InputError
from MRINRLib import contrast_sources, frames, install, sample_data, views
from MRINRLib.contrast_choices import (
    limitsOf,
    regionsOf,
    requestFrom,
    rowsOf,
    setRows,
    setTimes,
    sweepOf,
    targetOf,
    timesOf,
)
from MRINRLib.contrast_cursor import CursorLine
from MRINRLib.contrast_job import ContrastJob, Request, SearchJob, Sweep, SweepJob, checkTarget, ownEngine
from MRINRLib.contrast_live import LiveView
from MRINRLib.contrast_models import ContrastModels, ContrastModelSection
from MRINRLib.contrast_reference import ReferenceLine
from MRINRLib.contrast_results import ContrastResults
from MRINRLib.contrast_search_plot import plot
from MRINRLib.contrast_search_section import SearchSection
from MRINRLib.contrast_sliders import ContrastSliders
from MRINRLib.contrast_sources import Source, Times
from MRINRLib.contrast_sources_table import SourcesTable
from MRINRLib.device_line import DeviceLine
from MRINRLib.frames import FramesJob
from MRINRLib.job_controls import JobControls
from MRINRLib.nodes import inScene
from MRINRLib.panel import Panel
from MRINRLib.patients_job import PatientsJob
from MRINRLib.synthesis_job import showPreview
from MRINRLib.synthetic_mark import SyntheticMark

PACKAGES = {"safetensors": "safetensors>=0.4"}  # besides PyTorch and what comes with Slicer
Milliseconds = Annotated[float, WithinRange(0.0, 99999.0)]


class ContrastCRL(ScriptedLoadableModule):
    """Registers the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("MRI Contrast Sliders (MRINR)")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Image Synthesis")]
        self.parent.dependencies = []
        self.parent.contributors = ["The MRINR authors"]
        self.parent.helpText = _(
            "Shows a head as a spin echo with any TR, TE and TI would, from one scan or several whose times "
            "are known. Load the scans, press Fill from study, press Live view and move the sliders; Make "
            "volume makes the whole, with a map of its uncertainty. Also: a sweep over one time, and the "
            "times at which two regions differ most."
        )
        self.parent.acknowledgementText = _(
            "Implements and extends the contrast representation model of Xiong et al. (MICCAI 2024). Results "
            "are computed, not acquired: they are not for diagnosis."
        )
        slicer.app.connect("startupCompleted()", self.onStartupCompleted)

    def onStartupCompleted(self) -> None:
        """Called when Slicer has started."""
        sample_data.register(sample_data.THREE_SEQUENCES, self.resourcePath("Icons/ContrastCRL.png"))
        self.mark = SyntheticMark()


@parameterNodeWrapper
class ContrastCRLParameterNode:
    """
    What the person chose; saved with the scene. Times are in ms.

    sources, TRs, TEs, TIs - One entry a scan, all of the same length.
    TR, TE, TI - What the sliders say; TI 0 is no inversion.
    model, modelFolders - A model's name or folder, and the folders that the person added to the list.
    beside, fade, liveUncertainty - How the live view is shown: side by side, else over the scan at this
        opacity; with a map of its uncertainty.
    register, device, preview, everyFrame, showUncertainty - See their tooltips.
    results - Synthetic volumes made in this scene.
    regions, firstRegion, secondRegion - A segmentation or a label map, and two of its regions.
    lowTR, ..., inversion, timeWeight - What the contrast search may play, and what scan time costs.
    sweepName, sweepFrom, sweepTo, sweepSteps - What changes in a sweep.
    """

    sources: list[vtkMRMLScalarVolumeNode]
    TRs: list[float]
    TEs: list[float]
    TIs: list[float]
    TR: Milliseconds = 2000.0
    TE: Milliseconds = 10.0
    TI: Milliseconds = 869.0
    model: str = MODEL
    modelFolders: list[str]
    beside: bool = False
    fade: Annotated[float, WithinRange(0.0, 1.0)] = 1.0
    liveUncertainty: bool = False
    register: bool = True
    device: Annotated[str, Choice(["auto", "cpu", "cuda", "mps"])] = "auto"
    preview: bool = True
    everyFrame: bool = True
    showUncertainty: bool = False
    results: list[vtkMRMLScalarVolumeNode]
    regions: vtkMRMLNode
    firstRegion: str
    secondRegion: str
    lowTR: Milliseconds = 400.0
    highTR: Milliseconds = 10000.0
    lowTE: Milliseconds = 8.0
    highTE: Milliseconds = 200.0
    lowTI: Milliseconds = 150.0
    highTI: Milliseconds = 3000.0
    inversion: bool = True
    timeWeight: Annotated[float, WithinRange(0.0, 1.0)] = 0.0
    sweepName: Annotated[str, Choice(["TR", "TE", "TI"])] = "TI"
    sweepFrom: Milliseconds = 500.0
    sweepTo: Milliseconds = 3000.0
    sweepSteps: Annotated[int, WithinRange(2, 25)] = 8


class ContrastCRLWidget(Panel):
    """The panel: shows the parameter node, drives the live view, starts and cancels one job."""

    packages = PACKAGES

    def setup(self) -> None:
        """Called when the user opens the module the first time and the widget is initialized."""
        super().setup()
        ui = self.ui
        self.logic = ContrastCRLLogic()
        self._table = SourcesTable(ui.sourcesTable, self._onSourcesEdited)
        self._sliders = ContrastSliders(ui, self._onTimes, self._onNull)
        self._models = ContrastModelSection(ui, self.logic.models, self._onModel, self._onModelFolder)
        self._results = ContrastResults(ui)
        self._search = SearchSection(ui, self._onRegions, self._onTimes)
        self._device = DeviceLine(ui.deviceLabel, ownEngine)
        self._live = LiveView(self._onLiveState)
        self._cursor = CursorLine(ui.cursorLabel, self._live.at)
        self._reference = ReferenceLine(ui.referenceLabel)
        self._encoded: Any = None  # what the live view was started with
        self._controls = JobControls(
            ui,
            (
                ui.sourcesSection,
                ui.contrastSection,
                ui.resultsSection,
                ui.searchSection,
                ui.sweepSection,
                ui.advancedSection,
            ),
            verb=_("Make volume"),
        )
        ui.fadeSlider.setRange(0, 100)
        ui.fillButton.connect("clicked(bool)", self.onFillButton)
        ui.addButton.connect("clicked(bool)", self.onAddButton)
        ui.liveButton.connect("clicked(bool)", self.onLiveButton)
        ui.referenceButton.connect("clicked(bool)", self.onReferenceButton)
        ui.fadeSlider.connect("valueChanged(int)", self._onFade)
        ui.regionsSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onRegionsNode)
        ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        ui.sweepButton.connect("clicked(bool)", self.onSweepButton)
        ui.searchButton.connect("clicked(bool)", self.onSearchButton)
        self.begin()

    def cleanup(self) -> None:
        """Called when the application closes and before a reload."""
        self._live.stop()
        self._cursor.follow(False)
        super().cleanup()

    def exit(self) -> None:
        """Called each time the user opens a different module: the views show again what they showed."""
        self._stopLive()
        super().exit()

    def onSceneStartClose(self, caller=None, event=None) -> None:
        """Called just before the scene is closed."""
        self._stopLive()
        self._search.showFound({})
        super().onSceneStartClose(caller, event)

    # Choosing -----------------------------------------------------------------------------------------

    def onFillButton(self, checked: bool = False) -> None:
        """Called when the user presses Fill from study."""
        rows = contrast_sources.fillFromStudy()
        if not rows:
            self._controls.say(_("No MR volume is loaded; load the scans first."), error=True)
            return
        setRows(self._parameterNode, rows)
        self._controls.say(
            _("Scans found: {count}. Check their times, and remove what should not be used.").format(
                count=len(rows)
            )
        )

    def onAddButton(self, checked: bool = False) -> None:
        """Called when the user presses Add beside the volume selector."""
        try:
            row = contrast_sources.sourceFor(self.ui.addSelector.currentNode())
            setRows(self._parameterNode, contrast_sources.withSource(rowsOf(self._parameterNode), row))
        except InputError as error:
            self._controls.say(str(error), error=True)
            return
        self._controls.say("")
        self.ui.addSelector.setCurrentNode(None)

    def _onSourcesEdited(self, rows: list[Source]) -> None:
        setRows(self._parameterNode, rows)

    def _onTimes(self, now: Times) -> None:
        """Called for every move of a slider, for a preset, and for a row of the search's table."""
        setTimes(self._parameterNode, now)

    def _onNull(self, tissue: str) -> None:
        self.ui.nullBox.currentIndex = 0
        TR, TE, _TI = timesOf(self._parameterNode)
        try:
            setTimes(self._parameterNode, times(with_null(of_times((TR, TE)), tissue)))
        except InputError as error:
            self._controls.say(str(error), error=True)

    def _onModel(self, key: str) -> None:
        self._parameterNode.model = key

    def _onModelFolder(self, folder: str) -> None:
        """Called when the user has chosen a folder."""
        try:
            self.logic.models.bundle(folder)
        except InputError as error:
            self._controls.say(str(error), error=True)
            return
        parameters = self._parameterNode
        with slicer.util.NodeModify(parameters):
            parameters.modelFolders = list(dict.fromkeys([*parameters.modelFolders, folder]))
            parameters.model = folder

    def _onFade(self, percent: int) -> None:
        if self._parameterNode:
            self._parameterNode.fade = percent / 100

    def _onRegionsNode(self, node=None) -> None:
        if self._parameterNode and node is not self._parameterNode.regions:
            self._parameterNode.regions = node

    def _onRegions(self, first: str, second: str) -> None:
        with slicer.util.NodeModify(self._parameterNode):
            self._parameterNode.firstRegion, self._parameterNode.secondRegion = first, second

    def _update(self, caller=None, event=None) -> None:
        """Called whenever the parameters change: everything in the panel that follows from them."""
        if not self._parameterNode or slicer.mrmlScene.IsClosing():
            return
        parameters, ui = self._parameterNode, self.ui
        box = self.logic.models.box(parameters.model)
        self._sliders.show(timesOf(parameters), box)
        ui.fadeSlider.value = round(100 * parameters.fade)
        ui.fadeSlider.enabled = not (parameters.beside or parameters.liveUncertainty)
        self._table.show(rowsOf(parameters))
        self._showFrames(row.node for row in rowsOf(parameters))
        self._table.showStatus(box)
        self._models.show(parameters.model, list(parameters.modelFolders))
        ui.regionsSelector.setCurrentNode(parameters.regions if inScene(parameters.regions) else None)
        self._search.show(ui.regionsSelector.currentNode(), parameters.firstRegion, parameters.secondRegion)
        self._results.show(parameters.results)
        request, why = self._possible(lambda: requestFrom(parameters, self.logic.models))
        target, unplayable = self._possible(lambda: targetOf(parameters))
        self._showWarnings(request, why, target, unplayable, box)
        self._showButtons(request, why, target, unplayable)
        self._followLive(request, target)
        self._reference.follow([row.times for row in rowsOf(parameters)], target)
        if self.parent.isEntered:
            self._device.ask(parameters.device)

    @staticmethod
    def _possible(what: Callable[[], Any]) -> tuple[Any, str]:
        """What comes of it, or None and the sentence that says why nothing does."""
        try:
            return what(), ""
        except InputError as error:
            return None, str(error)

    def _showWarnings(self, request: Any, why: str, target: Any, unplayable: str, box: Any) -> None:
        rows = rowsOf(self._parameterNode)
        said = [row.problem() for row in rows] + [text for row in rows for text in row.warnings(box)]
        said = [text for text in said if text] or ([why] if rows and why else [])
        self.ui.sourcesLabel.text = "\n".join(dict.fromkeys(said))
        self.ui.sourcesLabel.visible = bool(said)
        text = unplayable
        if target is not None and box is not None:
            text = "\n".join(outside(of_times(target), box))
        self.ui.boxLabel.text = text
        self.ui.boxLabel.visible = bool(text)

    def _showButtons(self, request: Any, why: str, target: Any, unplayable: str) -> None:
        """Which buttons can work; their tooltips say why not."""
        ui, parameters = self.ui, self._parameterNode
        ui.referenceButton.enabled = request is not None and target is not None
        ui.liveButton.enabled = request is not None or self._live.isOn
        ui.liveButton.toolTip = why or _(
            "Encode the scans once, then show in the slice views what the sliders say."
        )
        if self._job is None:
            ui.applyButton.enabled = request is not None and target is not None
            ui.applyButton.toolTip = why or unplayable or _("The whole volume, with its uncertainty.")
        _sweep, whyNot = self._possible(lambda: sweepOf(parameters))
        ui.sweepButton.enabled = request is not None and not whyNot
        ui.sweepButton.toolTip = why or whyNot or _("A Slicer sequence to play in the sequence browser.")
        chosen = {parameters.firstRegion, parameters.secondRegion} - {""}
        ready = inScene(parameters.regions) and len(chosen) == 2
        ui.searchButton.enabled = request is not None and ready
        ui.searchButton.toolTip = (
            why or _("Find the times.") if ready else _("Choose a segmentation or label map and two regions.")
        )

    # The live view ------------------------------------------------------------------------------------

    def onLiveButton(self, checked: bool = False) -> None:
        """Called when the user switches the live view on or off."""
        if not checked:
            self._stopLive()
            return
        self._controls.say("")
        try:
            install.ensure(self.moduleName, self.packages)
            request = requestFrom(self._parameterNode, self.logic.models)
            target = targetOf(self._parameterNode)
            self._results.closeComparison()
            self._startLive(request, target)
        except InputError as error:
            self.ui.liveButton.checked = False
            self._controls.say(str(error), error=True)

    def onReferenceButton(self, checked: bool = False) -> None:
        """Called when the user asks what another scan would add."""
        try:
            install.ensure(self.moduleName, self.packages)
            request = requestFrom(self._parameterNode, self.logic.models)
            self._reference.ask(request, targetOf(self._parameterNode))
        except InputError as error:
            self._controls.say(str(error), error=True)

    def _startLive(self, request: Request, target: Times) -> None:
        self._encoded = _signature(request)
        self._live.start(request, target)
        self._arrangeLive()
        self._cursor.follow(True)

    def _arrangeLive(self) -> None:
        parameters = self._parameterNode
        self._live.arrange(parameters.beside, parameters.fade, parameters.liveUncertainty)

    def _followLive(self, request: Request | None, target: Times | None) -> None:
        """Show what the parameters say now; other scans or another model are encoded first."""
        if not self._live.isOn:
            return
        if request is None:
            self._stopLive()
        elif _signature(request) != self._encoded:
            if target is not None:
                self._startLive(request, target)
        else:
            self._arrangeLive()
            if target is not None:
                self._live.show(target)

    def _stopLive(self) -> None:
        self._live.stop()
        self._cursor.follow(False)
        self.ui.liveButton.checked = False
        self._onLiveState("", False, False)

    def _onLiveState(self, text: str, busy: bool, error: bool) -> None:
        """Called by the live view with what it shows or does."""
        label = self.ui.liveLabel
        label.text = text
        label.visible = bool(text)
        font = label.font
        font.setItalic(busy)
        label.font = font
        if error:
            self.ui.liveButton.checked = False
            self._onLiveState("", False, False)
            self._controls.say(text, error=True)

    # Working ------------------------------------------------------------------------------------------

    def onApplyButton(self, checked: bool = False) -> None:
        """Called when the user presses Make volume, or Cancel, which is the same button."""
        if not self._cancelled():
            self._work(self._startVolume, self._showResults)

    def onSweepButton(self, checked: bool = False) -> None:
        """Called when the user presses Make the sweep."""
        self._work(
            lambda request, **callbacks: SweepJob(request, sweepOf(self._parameterNode), **callbacks),
            self._showSweep,
        )

    def onSearchButton(self, checked: bool = False) -> None:
        """Called when the user presses Search."""
        self._work(
            lambda request, **callbacks: SearchJob(
                request,
                regionsOf(self._parameterNode, request.first),
                limitsOf(self._parameterNode),
                **callbacks,
            ),
            self._showSearch,
        )

    def _work(self, start: Callable[..., Any], show: Callable[[Any], None]) -> None:
        """Run a job on the request. The live view waits meanwhile: one worker does one thing at a time."""
        self._run(
            lambda **callbacks: start(requestFrom(self._parameterNode, self.logic.models), **callbacks), show
        )

    def _startVolume(self, request: Request, **callbacks: Callable) -> Any:
        more = self._previewing(request.nodes, lambda: views.Preview(request.first, showPreview))
        return self.logic.startRequest(request, targetOf(self._parameterNode), **callbacks, **more)

    def _previewing(self, inputs: Any, make: Callable[[], views.Preview]) -> dict[str, Any]:
        more = super()._previewing(inputs, make)
        if self._live.isOn:  # which shows more than a preview
            more.pop("onPreview", None)
        return more

    def _startAll(self, **callbacks: Callable) -> PatientsJob:
        parameters = self._parameterNode
        request = requestFrom(parameters, self.logic.models)
        return self.logic.startAllRequests(
            request, targetOf(parameters), everyFrame=parameters.everyFrame, **callbacks
        )

    def _showResults(self, job: Any) -> None:
        if not job.results:  # of all patients
            return
        self._stopLive()
        parameters = self._parameterNode or self.logic.getParameterNode()
        parameters.results = [*(node for node in parameters.results if inScene(node)), *job.results]
        self._controls.say("")  # warnings stay with the result
        self._results.show(parameters.results)
        self._results.showNew(job.results[0])

    def _showSweep(self, job: SweepJob) -> None:
        self._stopLive()
        views.showInSliceViews(job.result)
        slicer.modules.sequences.setToolBarActiveBrowserNode(job.browser)
        slicer.modules.sequences.showSequenceBrowser(job.browser)

    def _showSearch(self, job: SearchJob) -> None:
        self._controls.say("")  # the section says it
        self._search.showFound(job.report)
        self.ui.searchSection.collapsed = False
        chart = plot(job.report, _("Contrast of the regions"))
        slicer.modules.plots.logic().ShowChartInLayout(chart)


def _signature(request: Request) -> tuple:
    """What has to be encoded again when it changes."""
    rows = tuple((row.node.GetID(), *row.times) for row in request.sources)
    return rows, request.model, request.register, request.device


class ContrastCRLLogic(ScriptedLoadableModuleLogic):
    """Any TR, TE and TI for scripts and the widget."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.models = ContrastModels()

    def getParameterNode(self) -> ContrastCRLParameterNode:
        return ContrastCRLParameterNode(super().getParameterNode())

    def changeContrast(self, sources: Sequence[Any], target: Sequence[float], **options: Any) -> Any:
        """Make a volume as a spin echo of other times shows it, and wait; returns its node.

        :param sources: [(volume node, (TR, TE, TI)), ...] in ms, TI 0 for none; a node alone where DICOM, a
            BIDS sidecar or the table of the panel knows its times
        :param target: (TR, TE, TI)
        :param options: see `start`, whose job also knows uncertainty, brain and report
        :raises ValueError: one sentence about what is wrong with which volume or option
        :raises RuntimeError: one sentence about what went wrong in the worker
        """
        return self.start(sources, target, **options).wait()

    def start(
        self,
        sources: Sequence[Any],
        target: Sequence[float],
        onProgress: Callable[[float, float | None, str], None] | None = None,
        onPreview: Callable[[Any], None] | None = None,
        onFinished: Callable[[Any], None] | None = None,
        everyFrame: bool = False,
        **options: Any,
    ) -> ContrastJob | FramesJob:
        """Start and return at once; `job.cancel()` stops it, `job.wait()` waits for it.

        :param onProgress: called with fraction, seconds left (or None) and a line of text
        :param onPreview: called with a partial mrinr.volume.Volume now and then
        :param onFinished: called once with the result node; None after Cancel and after a failure, whose
            reason is `job.error`
        :param everyFrame: where a source is the volume that a sequence browser shows, work on all frames and
            make a sequence of the same browser; else only of the frame that is shown
        :param options: model (a name or a folder), register ("auto" or "off"), device ("auto")
        :raises ValueError: one sentence about what is wrong with which volume or option
        """
        request = self._request(sources, **options)
        return self.startRequest(request, checkTarget(target), onProgress, onPreview, onFinished, everyFrame)

    def startRequest(
        self,
        request: Request,
        target: Times,
        onProgress=None,
        onPreview=None,
        onFinished=None,
        everyFrame=False,
    ) -> ContrastJob | FramesJob:
        """`start` with everything in a `Request`."""
        install.require(PACKAGES)
        return frames.begin(
            request.nodes,
            everyFrame,
            lambda **callbacks: ContrastJob(request, target, **callbacks),
            onProgress=onProgress,
            onPreview=onPreview,
            onFinished=onFinished,
        )

    def changeContrastAll(self, target: Sequence[float], **options: Any) -> Any:
        """Make a volume for every patient of the subject hierarchy from their spin echoes with known times,
        and wait; returns the table node that says what came of each. See `startAll`, whose job also knows the
        result nodes.
        """
        return self.startAll(target, **options).wait()

    def startAll(
        self, target: Sequence[float], onProgress=None, onFinished=None, everyFrame=False, **options: Any
    ) -> PatientsJob:
        """Start for every patient; what fails is said in the job's table and stops nobody else.

        :param options: see `start`
        :raises ValueError: one sentence where there is no patient
        """
        request = self._request([], **options)
        return self.startAllRequests(request, checkTarget(target), onProgress, onFinished, everyFrame)

    def startAllRequests(
        self, request: Request, target: Times, onProgress=None, onFinished=None, everyFrame=False
    ) -> PatientsJob:
        """`startAll` with everything in a `Request`, whose sources say which sequences to use."""

        def prepare(images: Sequence[Any]) -> tuple[Sequence[Any], Callable[..., Any]]:
            own = request.forPatient(images)

            def start(**callbacks: Callable) -> Any:
                return self.startRequest(own, target, everyFrame=everyFrame, **callbacks)

            return own.nodes, start

        return PatientsJob(prepare, _("New contrast of all patients"), onProgress, onFinished)

    def sweep(
        self,
        sources: Sequence[Any],
        target: Sequence[float],
        time: str,
        first: float,
        last: float,
        steps: int = 8,
        **options: Any,
    ) -> Any:
        """A Slicer sequence in which one of "TR", "TE", "TI" goes from first to last; returns its browser."""
        made = Sweep(checkTarget(target), time, first, last, steps)
        return SweepJob(self._request(sources, **options), made).wait()

    def search(
        self, sources: Sequence[Any], regions: Sequence[Any], limits: Any, **options: Any
    ) -> dict[str, Any]:
        """The times at which two regions differ most; the report of `mrinr.contrast.search.Found`.

        :param regions: two (segmentation or label map node, segment ID or label value)
        :param limits: {"TR": (low, high), "TE": ..., "TI": ... or None, "time_weight": 0 to 1}
        """
        from MRINRLib import regions as masks

        request = self._request(sources, **options)
        found = [masks.mask(node, str(identifier), request.first) for node, identifier in regions]
        return SearchJob(request, found, limits).wait()

    def _request(self, sources: Sequence[Any], model: str = MODEL, **options: Any) -> Request:
        install.require(PACKAGES)
        self.models.bundle(str(model))
        return Request([contrast_sources.given(each) for each in sources], str(model), **options)


class ContrastCRLTest(ScriptedLoadableModuleTest):
    """Runs in Slicer (Reload and Test) and in the project's own tests, on the brain that comes with MRINR."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_ReadsTimes()
        self.setUp()
        self.test_ChangesContrast()

    def averageHead(self):
        """The T1-weighted average brain that comes with MRINR, every second voxel, as if by a spin echo."""
        node = sample_data.averageHead()
        for name, value in (("TR", "600"), ("TE", "10"), ("TI", "0")):
            node.SetAttribute("MRINR." + name, value)
        return node

    def test_ReadsTimes(self):
        self.delayDisplay("Read the times of a scan")
        self.averageHead()
        self.assertEqual([row.times for row in contrast_sources.fillFromStudy()], [(600.0, 10.0, 0.0)])
        self.delayDisplay("Test passed")

    def test_ChangesContrast(self):
        logic = ContrastCRLLogic()
        if not install.hasTorch() or not logic.models.shipped:
            self.delayDisplay("Skipped: PyTorch or the model is missing")  # SkipTest would count as a failure
            return
        self.delayDisplay("Make a T2 from a T1")
        head = self.averageHead()
        job = logic.start([(head, (600, 10, 0))], target=(5000, 100, 0))
        result = job.wait()
        self.assertIn("(synthetic)", result.GetName())
        self.assertEqual(result.GetImageData().GetDimensions(), head.GetImageData().GetDimensions())
        self.assertGreater(slicer.util.arrayFromVolume(job.uncertainty).max(), 0)
        self.delayDisplay("Test passed")
