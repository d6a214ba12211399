import contextlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import slicer
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)

if importlib.util.find_spec("MRINRLib") is None:
    # Installed, the shared packages lie beside this file; in a checkout one folder up, which Slicer does not
    # search.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mrinr.errors import InputError
from MRINRLib import engine, frames, inputs, install, sample_data, views
from MRINRLib.device_line import DeviceLine
from MRINRLib.evaluation_job import EvaluationJob
from MRINRLib.finetune_job import FineTuneJob, FineTuneRequest
from MRINRLib.finetune_section import FineTuneSection
from MRINRLib.frames import FramesJob
from MRINRLib.inputs_table import InputsTable
from MRINRLib.job_controls import JobControls
from MRINRLib.model_section import ModelSection
from MRINRLib.models import AUTO, Models, notice
from MRINRLib.nodes import inScene
from MRINRLib.panel import Panel
from MRINRLib.patients_job import PatientsJob
from MRINRLib.synthesis_choices import casesOf, requestFrom, rowsOf, setCases, setRows
from MRINRLib.synthesis_estimate import expectation
from MRINRLib.synthesis_job import Request, SynthesisJob, showPreview
from MRINRLib.synthesis_results import SynthesisResults
from MRINRLib.synthetic_mark import SyntheticMark

PACKAGES = {"safetensors": "safetensors>=0.4"}  # besides PyTorch and what comes with Slicer


class MRINRSynthesis(ScriptedLoadableModule):
    """Registers the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("MRI Missing Sequence (MRINR)")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Image Synthesis")]
        self.parent.dependencies = []
        self.parent.contributors = ["The MRINR authors"]
        self.parent.helpText = _(
            "Makes a missing MR sequence of a head from those that there are (T1, T2, FLAIR, PD, DWI, T1 "
            "with contrast agent), with a map of its uncertainty. Load the scans, press Fill from study, "
            "choose the sequence and press Apply. Each input is also predicted from the others, and the "
            "error is shown."
        )
        self.parent.acknowledgementText = _(
            "Implements the modality-invariant model of Chartsias et al. (2017) and the local implicit "
            "neural representation of Chen et al. (2022). Results are computed, not acquired: they are not "
            "for diagnosis."
        )
        slicer.app.connect("startupCompleted()", self.onStartupCompleted)

    def onStartupCompleted(self) -> None:
        """Called when Slicer has started."""
        sample_data.register(sample_data.THREE_SEQUENCES, self.resourcePath("Icons/MRINRSynthesis.png"))
        self.mark = SyntheticMark()


@parameterNodeWrapper
class MRINRSynthesisParameterNode:
    """
    What the person chose; saved with the scene.

    inputs, roles - One entry a volume, both of the same length: the volume and its sequence, "" for not used.
    target - The sequence to make; while it cannot be made, the first that can is taken.
    model, modelFolders - A key of MRINRLib.models, and the folders that the person added to the list.
    like - The sequence of the input whose grid the result gets; "" for the first.
    reference - The measured volume of the target, where there is one.
    register, device, preview, everyFrame, showUncertainty - See their tooltips.
    results - Synthetic volumes made in this scene.
    caseVolumes, caseRoles, caseNumbers - What to learn from: one entry a volume, of the case of that number.
    outputFolder - Where the fine-tuned model goes.
    """

    inputs: list[vtkMRMLScalarVolumeNode]
    roles: list[str]
    target: str
    model: str = AUTO
    modelFolders: list[str]
    like: str
    reference: vtkMRMLScalarVolumeNode
    register: bool = True
    device: Annotated[str, Choice(["auto", "cpu", "cuda", "mps"])] = "auto"
    preview: bool = True
    everyFrame: bool = True
    showUncertainty: bool = False
    results: list[vtkMRMLScalarVolumeNode]
    caseVolumes: list[vtkMRMLScalarVolumeNode]
    caseRoles: list[str]
    caseNumbers: list[int]
    outputFolder: str


class MRINRSynthesisWidget(Panel):
    """The panel: shows the parameter node, starts and cancels one job, shows what comes of it."""

    packages = PACKAGES

    def setup(self) -> None:
        """Called when the user opens the module the first time and the widget is initialized."""
        super().setup()
        ui = self.ui
        self.logic = MRINRSynthesisLogic()
        self._table = InputsTable(ui.inputsTable, self._onInputsEdited)
        self._models = ModelSection(ui, self.logic.models, self._onTarget, self._onModel, self._onModelFolder)
        self._results = SynthesisResults(ui)
        self._fineTuning = FineTuneSection(ui, self._onRemoveCase)
        self._device = DeviceLine(ui.deviceLabel)
        self._controls = JobControls(
            ui,
            (
                ui.inputsSection,
                ui.synthesisSection,
                ui.advancedSection,
                ui.resultsSection,
                ui.fineTuneSection,
            ),
        )

        ui.fillButton.connect("clicked(bool)", self.onFillButton)
        ui.addButton.connect("clicked(bool)", self.onAddButton)
        ui.likeBox.connect("activated(int)", self._onLike)
        ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        ui.evaluateButton.connect("clicked(bool)", self.onEvaluateButton)
        ui.addCaseButton.connect("clicked(bool)", self.onAddCaseButton)
        ui.fineTuneButton.connect("clicked(bool)", self.onFineTuneButton)
        self.begin()

    # Choosing -----------------------------------------------------------------------------------------

    def onFillButton(self, checked: bool = False) -> None:
        """Called when the user presses Fill from study."""
        rows = inputs.fillFromStudy()
        if not rows:
            self._controls.say(_("No MR volume is loaded; load the scans first."), error=True)
            return
        setRows(self._parameterNode, rows)
        self._controls.say(
            _("Volumes found: {count}. Check which sequence each of them is.").format(count=len(rows))
        )

    def onAddButton(self, checked: bool = False) -> None:
        """Called when the user presses Add beside the volume selector."""
        try:
            row = inputs.inputFor(self.ui.addSelector.currentNode())
            setRows(self._parameterNode, inputs.withInput(rowsOf(self._parameterNode), row))
        except InputError as error:
            self._controls.say(str(error), error=True)
            return
        self._controls.say("")
        self.ui.addSelector.setCurrentNode(None)

    def _onInputsEdited(self, rows: list[inputs.Input]) -> None:
        setRows(self._parameterNode, rows)

    def _onTarget(self, target: str) -> None:
        self._parameterNode.target = target

    def _onModel(self, key: str) -> None:
        self._parameterNode.model = key

    def _onModelFolder(self, folder: str) -> None:
        """Called when the user has chosen a folder, and with the folder of a fine-tuned model."""
        try:
            self.logic.models.bundle(folder)
        except InputError as error:
            self._controls.say(str(error), error=True)
            return
        parameters = self._parameterNode or self.logic.getParameterNode()
        with slicer.util.NodeModify(parameters):
            parameters.modelFolders = list(dict.fromkeys([*parameters.modelFolders, folder]))
            parameters.model = folder

    def _onLike(self, index: int) -> None:
        self._parameterNode.like = list(inputs.used(rowsOf(self._parameterNode)))[index]

    def _update(self, caller=None, event=None) -> None:
        """Called whenever the parameters change: everything in the panel that follows from them."""
        if not self._parameterNode or slicer.mrmlScene.IsClosing():
            return
        parameters, ui = self._parameterNode, self.ui
        rows = rowsOf(parameters)
        used = inputs.used(rows)
        self._table.show(rows)
        why, request = "", None
        try:
            request = requestFrom(parameters, self.logic.models)
        except InputError as error:
            why = str(error)
        target = request.target if request else parameters.target
        self._models.show(parameters.model, parameters.modelFolders, list(used), target)
        ui.noticeLabel.text = notice(target)
        ui.noticeLabel.visible = bool(ui.noticeLabel.text)
        self._showLike(used, request)
        self._showFrames(used.values())
        ui.estimateLabel.text = (
            (why if rows else "") if request is None else expectation(request, self.logic.models)
        )
        ui.estimateLabel.visible = bool(ui.estimateLabel.text)
        self._results.setReference(parameters.reference)
        self._results.show(parameters.results)
        self._fineTuning.show(casesOf(parameters))
        self._showButtons(request, why)
        if self.parent.isEntered:
            self._device.ask(parameters.device)

    def _showLike(self, used: Mapping[str, Any], request: Request | None) -> None:
        box = self.ui.likeBox
        texts = [f"{role}: {node.GetName()}" for role, node in used.items()]
        if texts != [box.itemText(index) for index in range(box.count)]:
            box.clear()
            box.addItems(texts)
        box.currentIndex = list(used).index(request.like) if request else -1

    def _showButtons(self, request: Request | None, why: str) -> None:
        """Which buttons can work; their tooltips say why not."""
        ui, parameters = self.ui, self._parameterNode
        if self._job is None:
            ui.applyButton.enabled = request is not None
            ui.applyButton.toolTip = why or _("Make the missing sequence.")
        measured = inScene(parameters.reference)
        ui.evaluateButton.enabled = measured
        ui.evaluateButton.toolTip = (
            _("PSNR and SSIM in the brain, and a map of the difference.")
            if measured
            else _("Choose the measured volume above first.")
        )
        ui.addCaseButton.enabled = measured and request is not None
        ui.addCaseButton.toolTip = (
            _("The inputs above and the measured {target} become a case.").format(target=request.target)
            if ui.addCaseButton.enabled
            else why or _("Choose the measured volume above first.")
        )
        try:
            self._fineTuneRequest().check()
            ui.fineTuneButton.enabled, ui.fineTuneButton.toolTip = (
                True,
                _("Write a model that knows your scans."),
            )
        except InputError as error:
            ui.fineTuneButton.enabled, ui.fineTuneButton.toolTip = False, str(error)

    # Working ------------------------------------------------------------------------------------------

    def onApplyButton(self, checked: bool = False) -> None:
        """Called when the user presses Apply, or Cancel, which is the same button."""
        if not self._cancelled():
            self._run(self._startSynthesis, self._showResults)

    def _startSynthesis(self, **callbacks: Callable) -> Any:
        request = requestFrom(self._parameterNode, self.logic.models)
        more = self._previewing(request.nodes, lambda: views.Preview(request.likeNode, showPreview))
        return self.logic.startRequest(request, **callbacks, **more)

    def _startAll(self, **callbacks: Callable) -> PatientsJob:
        parameters = self._parameterNode
        request = requestFrom(parameters, self.logic.models)
        return self.logic.startAllRequests(request, everyFrame=parameters.everyFrame, **callbacks)

    def onEvaluateButton(self, checked: bool = False) -> None:
        """Called when the user presses Compare with the measured volume."""
        result, reference = self._results.shown, self._parameterNode.reference
        self._run(
            lambda **callbacks: self.logic.startEvaluation(result, reference, **callbacks),
            self._showEvaluation,
        )

    def onAddCaseButton(self, checked: bool = False) -> None:
        """Called when the user makes a case of the inputs and the measured volume."""
        parameters = self._parameterNode
        request = requestFrom(parameters, self.logic.models)
        case = {**request.inputs, request.target: parameters.reference}
        try:
            inputs.checkAll(case)
        except InputError as error:
            self._controls.say(str(error), error=True)
            return
        setCases(parameters, [*casesOf(parameters), case])

    def _onRemoveCase(self, number: int) -> None:
        cases = casesOf(self._parameterNode)
        setCases(self._parameterNode, [case for n, case in enumerate(cases) if n != number])

    def _fineTuneRequest(self) -> FineTuneRequest:
        """What Fine-tune would run. Raises InputError where a choice is missing."""
        parameters = self._parameterNode
        target = parameters.target
        with contextlib.suppress(InputError):  # the cases may be complete without inputs
            target = requestFrom(parameters, self.logic.models).target
        return self.logic.fineTuneRequest(
            casesOf(parameters), target, parameters.outputFolder, parameters.model, parameters.device
        )

    def onFineTuneButton(self, checked: bool = False) -> None:
        """Called when the user presses Fine-tune."""
        self._fineTuning.showReport({})
        self._run(
            lambda **callbacks: self.logic.startFineTuning(self._fineTuneRequest(), **callbacks),
            self._showFineTuning,
        )

    def _showResults(self, job: Any) -> None:
        if not job.results:  # of all patients
            return
        parameters = self._parameterNode or self.logic.getParameterNode()
        parameters.results = [*(node for node in parameters.results if inScene(node)), *job.results]
        self._controls.say("")  # warnings stay with the result
        self._results.show(parameters.results)
        self._results.showNew(job.results[0])

    def _showEvaluation(self, job: EvaluationJob) -> None:
        views.showInSliceViews(job.difference)

    def _showFineTuning(self, job: FineTuneJob) -> None:
        self._fineTuning.showReport(job.report)
        self._onModelFolder(job.folder)


class MRINRSynthesisLogic(ScriptedLoadableModuleLogic):
    """Synthesis of missing sequences for scripts and the widget."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.models = Models()

    def getParameterNode(self) -> MRINRSynthesisParameterNode:
        return MRINRSynthesisParameterNode(super().getParameterNode())

    def synthesize(self, inputs: Mapping[str, Any], target: str, **options: Any) -> Any:
        """Make a missing sequence and wait, with a live window; returns its volume node.

        :param inputs: volume nodes by sequence: T1, T2, FLAIR, PD, DWI, T1ce
        :param target: the sequence to make
        :param options: see `start`, whose job also knows uncertainty, brain, self-checks and report
        :raises ValueError: one sentence about what is wrong with which volume or option
        :raises RuntimeError: one sentence about what went wrong in the worker
        """
        return self.start(inputs, target, **options).wait()

    def start(
        self,
        inputs: Mapping[str, Any],
        target: str,
        onProgress: Callable[[float, float | None, str], None] | None = None,
        onPreview: Callable[[Any], None] | None = None,
        onFinished: Callable[[Any], None] | None = None,
        everyFrame: bool = False,
        **options: Any,
    ) -> SynthesisJob | FramesJob:
        """Start and return at once; `job.cancel()` stops it, `job.wait()` waits for it.

        :param onProgress: called with fraction, seconds left (or None) and a line of text
        :param onPreview: called with a partial mrinr.volume.Volume now and then
        :param onFinished: called once with the result node; None after Cancel and after a failure, whose
            reason is `job.error`
        :param everyFrame: where an input is the volume that a sequence browser shows, work on all frames and
            make a sequence of the same browser; else only of the frame that is shown
        :param options: model ("auto", a model's name or folder), like (the input, by its sequence, whose grid
            the result gets; default the first), register ("auto" or "off"), device ("auto")
        :raises ValueError: one sentence about what is wrong with which volume or option
        """
        request = Request(inputs, target, **options)
        return self.startRequest(request, onProgress, onPreview, onFinished, everyFrame)

    def startRequest(
        self, request: Request, onProgress=None, onPreview=None, onFinished=None, everyFrame=False
    ) -> SynthesisJob | FramesJob:
        """`start` with everything in a `Request`."""
        request.check()
        install.require(PACKAGES)
        return frames.begin(
            request.nodes,
            everyFrame,
            lambda **callbacks: SynthesisJob(engine.shared(), request, **callbacks),
            onProgress=onProgress,
            onPreview=onPreview,
            onFinished=onFinished,
        )

    def synthesizeAll(self, target: str, inputs: Sequence[str] = (), **options: Any) -> Any:
        """Make a sequence for every patient of the subject hierarchy and wait; returns the table node that
        says what came of each. See `startAll`, whose job also knows the result nodes.
        """
        return self.startAll(target, inputs, **options).wait()

    def startAll(
        self,
        target: str,
        inputs: Sequence[str] = (),
        onProgress=None,
        onFinished=None,
        everyFrame=False,
        **options: Any,
    ) -> PatientsJob:
        """Start for every patient; what fails is said in the job's table and stops nobody else.

        :param inputs: use these sequences only; default all but the target
        :param options: see `start`
        :raises ValueError: one sentence where there is no patient
        """
        request = Request(dict.fromkeys(inputs), target, **options)
        return self.startAllRequests(request, onProgress, onFinished, everyFrame)

    def startAllRequests(
        self, request: Request, onProgress=None, onFinished=None, everyFrame=False
    ) -> PatientsJob:
        """`startAll` with everything in a `Request`, whose inputs say which sequences to use."""
        install.require(PACKAGES)

        def prepare(images: Sequence[Any]) -> tuple[Sequence[Any], Callable[..., Any]]:
            own = request.forPatient(images, self.models)
            return own.nodes, lambda **callbacks: self.startRequest(own, everyFrame=everyFrame, **callbacks)

        title = _("{target} of all patients").format(target=request.target)
        return PatientsJob(prepare, title, onProgress, onFinished)

    def evaluate(self, result: Any, reference: Any) -> dict[str, Any]:
        """Compare a synthetic volume with the measured one and wait; returns metrics with their floors.

        See `mrinr.metrics.evaluate`; brightness and contrast are matched first. A node with the difference is
        added to the scene.
        """
        return self.startEvaluation(result, reference).wait()

    def startEvaluation(self, result: Any, reference: Any, onProgress=None, onFinished=None) -> EvaluationJob:
        """`evaluate` without waiting; `job.difference` is the node."""
        install.require(PACKAGES)
        return EvaluationJob(engine.shared(), result, reference, onProgress, onFinished)

    def fineTune(
        self,
        cases: Sequence[Mapping[str, Any]],
        target: str,
        out: Any,
        model: str = AUTO,
        device: str = "auto",
    ) -> dict[str, Any]:
        """Teach a model one to three subjects and wait; returns PSNR and SSIM before and after.

        :param cases: for each subject its volume nodes by sequence, the target's among them
        :param out: a new folder; `synthesize(..., model=out)` uses the model in it
        :raises ValueError: one sentence about what is wrong with which case or option
        """
        return self.startFineTuning(self.fineTuneRequest(cases, target, out, model, device)).wait()

    def fineTuneRequest(
        self,
        cases: Sequence[Mapping[str, Any]],
        target: str,
        out: Any,
        model: str = AUTO,
        device: str = "auto",
    ) -> FineTuneRequest:
        """Which model 'auto' stands for follows from the first case. Raises ValueError where none fits."""
        if model == AUTO and cases:
            model = self.models.forFineTuning([name for name in cases[0] if name != target], target).name
        return FineTuneRequest(cases, target, model, str(out), device)

    def startFineTuning(self, request: FineTuneRequest, onProgress=None, onFinished=None) -> FineTuneJob:
        install.require(PACKAGES)
        return FineTuneJob(engine.shared(), request, onProgress, onFinished)


class MRINRSynthesisTest(ScriptedLoadableModuleTest):
    """Runs in Slicer (Reload and Test) and in the project's own tests, on the brain that comes with MRINR."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_FillFromStudy()
        self.setUp()
        self.test_MakesAMissingSequence()

    def averageHead(self):
        """The T1-weighted average brain that comes with MRINR, every second voxel."""
        return sample_data.averageHead()

    def test_FillFromStudy(self):
        self.delayDisplay("Fill from study")
        self.averageHead()
        self.assertEqual([row.role for row in inputs.fillFromStudy()], ["T1"])
        self.delayDisplay("Test passed")

    def test_MakesAMissingSequence(self):
        logic = MRINRSynthesisLogic()
        if not install.hasTorch() or "FLAIR" not in logic.models.targets(AUTO, ["T1"]):
            self.delayDisplay("Skipped: PyTorch or a model is missing")  # SkipTest would count as a failure
            return
        self.delayDisplay("Make a FLAIR from a T1")
        t1 = self.averageHead()
        job = logic.start({"T1": t1}, target="FLAIR")
        result = job.wait()
        self.assertEqual(result.GetName(), "FLAIR (synthetic)")
        self.assertEqual(result.GetImageData().GetDimensions(), t1.GetImageData().GetDimensions())
        self.assertGreater(slicer.util.arrayFromVolume(job.uncertainty).max(), 0)
        self.delayDisplay("Test passed")
