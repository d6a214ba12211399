import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import qt
import slicer
import vtk
from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode
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

from mrinr.errors import InputError
from mrinr.memory import affordable_bytes
from mrinr.superres import METHODS
from mrinr.superres.estimate import Estimate, estimate
from MRINRLib import engine, frames, install, nodes, roi, sample_data, study, views
from MRINRLib.device_line import DeviceLine
from MRINRLib.frames import FramesJob
from MRINRLib.job_controls import JobControls
from MRINRLib.nodes import inScene
from MRINRLib.panel import Panel
from MRINRLib.patients_job import PatientsJob
from MRINRLib.resample_job import ResampleJob
from MRINRLib.stacks_table import StacksTable
from MRINRLib.superres_job import Request, SuperResJob, uniqueNames
from MRINRLib.superres_results import SuperResResults

SPACING_MODES = ("auto", "custom", "like volume")


class MRINRSuperRes(ScriptedLoadableModule):
    """Registers the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("MRI Super-Resolution (MRINR)")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Image Synthesis")]
        self.parent.dependencies = []
        self.parent.contributors = ["The MRINR authors"]
        self.parent.helpText = _(
            "Makes isotropic volumes from thick-slice MR stacks: several of one contrast, or different "
            "contrasts in different planes. Load the stacks, press Fill from study and Apply. Measured "
            "slices are hidden, predicted and compared, and the error is shown with the result."
        )
        self.parent.acknowledgementText = _(
            "Implements among others IREM (Wu et al. 2021) and the multi-contrast implicit neural "
            "representations of McGinnis et al. (2023). Results are computed, not acquired: they are not for "
            "diagnosis."
        )
        slicer.app.connect("startupCompleted()", self.registerSampleData)

    def registerSampleData(self) -> None:
        """Called when Slicer has started."""
        sample_data.register(sample_data.THICK_SLICES, self.resourcePath("Icons/MRINRSuperRes.png"))


@parameterNodeWrapper
class MRINRSuperResParameterNode:
    """
    What the person chose; saved with the scene.

    stacks, contrasts, sliceAxes, thicknesses - One entry a stack, all of the same length (see `choices`).
    method - How to reconstruct, a key of mrinr.superres.METHODS.
    spacingMode - Which voxels the result gets: "auto", "custom" (spacing, mm) or "like volume" (likeVolume).
    roi - Reconstruct only inside this box.
    profile, register, device, prior, preview, everyFrame - See their tooltips.
    results, rescans - What the last job made: a volume for each contrast, each stack as re-sliced from it.
    """

    stacks: list[vtkMRMLScalarVolumeNode]
    contrasts: list[str]
    sliceAxes: list[int]
    thicknesses: list[float]
    method: Annotated[str, Choice(list(METHODS))] = "auto"
    spacingMode: Annotated[str, Choice(list(SPACING_MODES))] = "auto"
    spacing: Annotated[float, WithinRange(0.05, 20.0)] = 1.0
    likeVolume: vtkMRMLScalarVolumeNode
    roi: vtkMRMLMarkupsROINode
    profile: Annotated[str, Choice(["auto", "box", "gaussian", "point"])] = "auto"
    register: bool = True
    device: Annotated[str, Choice(["auto", "cpu", "cuda", "mps"])] = "auto"
    prior: bool = True
    preview: bool = True
    everyFrame: bool = True
    results: list[vtkMRMLScalarVolumeNode]
    rescans: list[vtkMRMLScalarVolumeNode]


def choices(parameters: MRINRSuperResParameterNode) -> list[study.Choice]:
    """The rows of the table of stacks; those of volumes that were removed from the scene are left out."""
    rows = zip(parameters.stacks, parameters.contrasts, parameters.sliceAxes, parameters.thicknesses)  # noqa: B905
    return [study.Choice(node, *rest) for node, *rest in rows if inScene(node)]


def setChoices(parameters: MRINRSuperResParameterNode, rows: Sequence[study.Choice]) -> None:
    with slicer.util.NodeModify(parameters):
        parameters.stacks = [row.node for row in rows]
        parameters.contrasts = [row.contrast for row in rows]
        parameters.sliceAxes = [row.sliceAxis for row in rows]
        parameters.thicknesses = [float(row.thickness) for row in rows]


def requestFrom(parameters: MRINRSuperResParameterNode) -> Request:
    """What Apply would run. Raises InputError where a choice is missing."""
    mode = parameters.spacingMode
    if mode == "like volume" and not inScene(parameters.likeVolume):
        raise InputError(_("Choose the volume whose voxels the result should get."))
    if parameters.method == "prior" and not parameters.prior:
        raise InputError(
            _("The method prior is learned from other people; allow that, or choose another method.")
        )
    return Request(
        stacks=choices(parameters),
        method=parameters.method,
        spacing=parameters.spacing if mode == "custom" else "auto",
        like=parameters.likeVolume if mode == "like volume" else None,
        roi=parameters.roi,
        profile=parameters.profile,
        register="auto" if parameters.register else "off",
        device=parameters.device,
        prior=parameters.prior,
    )


class MRINRSuperResWidget(Panel):
    """The panel: shows the parameter node, starts and cancels one job, shows what comes of it."""

    _roi = None

    def setup(self) -> None:
        """Called when the user opens the module the first time and the widget is initialized."""
        super().setup()
        self.logic = MRINRSuperResLogic()
        self._table = StacksTable(self.ui.stacksTable, self._onStacksEdited)
        self._results = SuperResResults(self.ui)
        self._device = DeviceLine(self.ui.deviceLabel)
        ui = self.ui
        self._controls = JobControls(
            ui, (ui.stacksSection, ui.settingsSection, ui.advancedSection, ui.resultsSection)
        )

        self.ui.fillButton.connect("clicked(bool)", self.onFillButton)
        self.ui.addButton.connect("clicked(bool)", self.onAddButton)
        self.ui.roiSelector.connect("nodeAddedByUser(vtkMRMLNode*)", self._onRoiAdded)
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.ui.resampleButton.connect("clicked(bool)", self.onResampleButton)
        self.ui.stacksTable.connect("itemSelectionChanged()", self._onStackSelected)
        self.begin()

    def setParameterNode(self, parameterNode: MRINRSuperResParameterNode | None) -> None:
        """Show and observe a parameter node instead of the one before; None shows none."""
        super().setParameterNode(parameterNode)
        if parameterNode:
            for index, text in enumerate(METHODS.values()):  # connectGui has filled the box
                self.ui.methodBox.setItemData(index, text, qt.Qt.ToolTipRole)

    # Choosing -----------------------------------------------------------------------------------------

    def onFillButton(self, checked: bool = False) -> None:
        """Called when the user presses Fill from study."""
        rows = study.fillFromStudy()
        if not rows:
            self._controls.say(
                _("No MR volume with enough slices is loaded; load the stacks first."), error=True
            )
            return
        setChoices(self._parameterNode, rows)
        found = _("Stacks found: {count}. Check contrast, slices and thickness.").format(count=len(rows))
        self._controls.say("\n".join([found, *study.interpolated(rows)]))

    def onAddButton(self, checked: bool = False) -> None:
        """Called when the user presses Add beside the volume selector."""
        node = self.ui.addSelector.currentNode()
        try:
            row = study.choiceFor(node)
        except InputError as error:
            self._controls.say(str(error), error=True)
            return
        setChoices(self._parameterNode, [*choices(self._parameterNode), row])
        self.ui.addSelector.setCurrentNode(None)
        self._controls.say("\n".join(study.interpolated([row])))

    def _onStacksEdited(self, rows: list[study.Choice]) -> None:
        setChoices(self._parameterNode, rows)

    def _onRoiAdded(self, node=None) -> None:
        """Called when the user creates a region of interest here: it starts around the first stack."""
        rows = choices(self._parameterNode)
        if node is not None and rows:
            roi.fitTo(node, rows[0].node)

    def _onStackSelected(self) -> None:
        rows, index = choices(self._parameterNode), self._table.currentRow()
        self._results.preferredStack = rows[index].node if 0 <= index < len(rows) else None

    def _observeRoi(self, node) -> None:
        if node is self._roi:
            return
        for event in (vtk.vtkCommand.ModifiedEvent, slicer.vtkMRMLMarkupsNode.PointModifiedEvent):
            if self._roi is not None:
                self.removeObserver(self._roi, event, self._onRoiMoved)
            if node is not None:
                self.addObserver(node, event, self._onRoiMoved)
        self._roi = node

    def _onRoiMoved(self, caller=None, event=None) -> None:
        if self._parameterNode:
            self._showEstimate()

    def _update(self, caller=None, event=None) -> None:
        """Called whenever the parameters change: everything in the panel that follows from them."""
        if not self._parameterNode or slicer.mrmlScene.IsClosing():
            return
        parameters = self._parameterNode
        self._observeRoi(parameters.roi)
        self._table.show(choices(parameters))
        self.ui.methodText.text = METHODS[parameters.method]
        self.ui.spacingBox.enabled = parameters.spacingMode == "custom"
        self.ui.likeSelector.enabled = parameters.spacingMode == "like volume"
        self._showFrames(row.node for row in choices(parameters))
        self._showEstimate()
        self._results.show(parameters.results, parameters.rescans)
        if self.parent.isEntered:
            self._device.ask(parameters.device)

    def _showEstimate(self) -> None:
        """Time and memory, and whether Apply can work; its tooltip says why not."""
        why, lines = "", []
        try:
            request = requestFrom(self._parameterNode)
            found = self.logic.estimate(request)
            lines.append(_("Expected: {estimate}").format(estimate=found.text))
            advice = self.logic.memoryAdvice(found)
            if advice and request.spacing == "auto" and request.like is None:
                lines.append(_("{advice} Apply chooses a coarser one.").format(advice=advice))
            else:
                why = advice
        except InputError as error:
            why = str(error)
        if why and choices(self._parameterNode):
            lines.append(why)
        self.ui.estimateLabel.text = "\n".join(lines)
        self.ui.estimateLabel.visible = bool(lines)
        if self._job is None:
            self.ui.applyButton.enabled = not why
            self.ui.applyButton.toolTip = why or _("Reconstruct the stacks.")

    # Working ------------------------------------------------------------------------------------------

    def onApplyButton(self, checked: bool = False) -> None:
        """Called when the user presses Apply, or Cancel, which is the same button."""
        if not self._cancelled():
            self._run(self._startReconstruction, self._showResults)

    def _startReconstruction(self, **callbacks: Callable) -> Any:
        request = requestFrom(self._parameterNode)
        more = self._previewing(request.nodes, lambda: views.Preview(request.stacks[0].node))
        return self.logic.startRequest(request, **callbacks, **more)

    def _startAll(self, **callbacks: Callable) -> PatientsJob:
        parameters = self._parameterNode
        return self.logic.startAllRequests(
            requestFrom(parameters), everyFrame=parameters.everyFrame, **callbacks
        )

    def onResampleButton(self, checked: bool = False) -> None:
        """Called when the user wants other voxels of a fitted result."""
        shown, spacing = self._results.shown, self.ui.resampleBox.value
        device = self._parameterNode.device
        self._run(
            lambda **callbacks: self.logic.startResampling(shown, spacing, device, **callbacks),
            self._showResampled,
        )

    def _showResampled(self, job: ResampleJob) -> None:
        parameters = self._parameterNode or self.logic.getParameterNode()
        parameters.results = [*(node for node in parameters.results if inScene(node)), job.result]
        views.showInSliceViews(job.result)

    def _showResults(self, job: Any) -> None:
        if not job.results:  # of all patients
            return
        parameters = self._parameterNode or self.logic.getParameterNode()
        with slicer.util.NodeModify(parameters):
            parameters.results = job.results
            parameters.rescans = job.others
        views.showInSliceViews(job.results[0])


class MRINRSuperResLogic(ScriptedLoadableModuleLogic):
    """Super-resolution for scripts and the widget.

    Volumes are volume nodes, whose contrast, slice axis and thickness come from name, header and DICOM, or
    `MRINRLib.study.Choice` where that should be said.
    """

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)

    def getParameterNode(self) -> MRINRSuperResParameterNode:
        return MRINRSuperResParameterNode(super().getParameterNode())

    def reconstruct(self, stacks: Sequence[Any], **options: Any) -> list:
        """Reconstruct and wait, with a live window; returns a volume node for each contrast.

        :param stacks: volume nodes; those of one contrast are fused, the first gives axes and field of view
        :param options: see `start`
        :raises ValueError: one sentence about what is wrong with which volume or option
        :raises RuntimeError: one sentence about what went wrong in the worker
        """
        return self.start(stacks, **options).wait()

    def start(
        self,
        stacks: Sequence[Any],
        onProgress: Callable[[float, float | None, str], None] | None = None,
        onPreview: Callable[[Any], None] | None = None,
        onFinished: Callable[[list], None] | None = None,
        everyFrame: bool = False,
        **options: Any,
    ) -> SuperResJob | FramesJob:
        """Start and return at once; `job.cancel()` stops it, `job.wait()` waits for it.

        :param onProgress: called with fraction, seconds left (or None) and a line of text
        :param onPreview: called with a partial mrinr.volume.Volume now and then
        :param onFinished: called once with the result nodes; the list is empty after Cancel and after a
            failure, whose reason is `job.error`
        :param everyFrame: where a stack is the volume that a sequence browser shows, reconstruct all frames
            into a sequence of the same browser; else only the frame that is shown
        :param options: method ("auto"), spacing ("auto" or mm), like (volume node), roi (Markups ROI node),
            profile ("auto"), register ("auto" or "off"), device ("auto"), prior (True)
        :raises ValueError: one sentence about what is wrong with which volume or option
        """
        if isinstance(stacks, slicer.vtkMRMLNode):
            raise InputError(_("Give the stacks as a list: [{volume}].").format(volume=stacks.GetName()))
        rows = [stack if isinstance(stack, study.Choice) else study.choiceFor(stack) for stack in stacks]
        return self.startRequest(Request(rows, **options), onProgress, onPreview, onFinished, everyFrame)

    def startRequest(
        self, request: Request, onProgress=None, onPreview=None, onFinished=None, everyFrame=False
    ) -> SuperResJob | FramesJob:
        """`start` with everything in a `Request`."""
        install.require()
        return frames.begin(
            request.nodes,
            everyFrame,
            lambda **callbacks: SuperResJob(engine.shared(), request, **callbacks),
            onProgress=onProgress,
            onPreview=onPreview,
            onFinished=onFinished,
        )

    def resample(self, result: Any, spacing: float, device: str = "auto") -> Any:
        """A result of a fitted representation with other isotropic voxels, without fitting again; its node.

        :param result: a result node of profile-inr, best, irem, single, vanilla or split-head
        :param spacing: in mm
        :raises ValueError: one sentence where the fit is gone ("Refit needed"), or memory is short
        """
        return self.startResampling(result, spacing, device).wait()

    def startResampling(
        self, result: Any, spacing: float, device: str = "auto", onProgress=None, onFinished=None
    ) -> ResampleJob:
        """`resample` without waiting."""
        install.require()
        return ResampleJob(engine.shared(), result, spacing, device, onProgress, onFinished)

    def reconstructAll(self, contrasts: Sequence[str] = (), **options: Any) -> Any:
        """Reconstruct for every patient of the subject hierarchy and wait; returns the table node that says
        what came of each. See `startAll`, whose job also knows the result nodes.
        """
        return self.startAll(contrasts, **options).wait()

    def startAll(
        self,
        contrasts: Sequence[str] = (),
        onProgress=None,
        onFinished=None,
        everyFrame=False,
        **options: Any,
    ) -> PatientsJob:
        """Start for every patient; what fails is said in the job's table and stops nobody else.

        :param contrasts: use the stacks of these only; default all
        :param options: see `start`
        :raises ValueError: one sentence where there is no patient
        """
        return self.startAllRequests(Request([], **options), onProgress, onFinished, everyFrame, contrasts)

    def startAllRequests(
        self, request: Request, onProgress=None, onFinished=None, everyFrame=False, contrasts=()
    ) -> PatientsJob:
        """`startAll` with everything in a `Request`, whose stacks say which contrasts to use."""
        request.checkForAll()
        install.require()

        def prepare(images: Sequence[Any]) -> tuple[Sequence[Any], Callable[..., Any]]:
            own = request.forPatient(images, contrasts)
            return own.nodes, lambda **callbacks: self.startRequest(own, everyFrame=everyFrame, **callbacks)

        return PatientsJob(prepare, _("Super-resolution of all patients"), onProgress, onFinished)

    def estimate(self, request: Request) -> Estimate:
        """Time, memory and grid of a request; voxels are not read. Raises ValueError where it cannot run."""
        if not request.stacks:
            raise InputError(_("Add stacks first: press Fill from study, or choose a volume and press Add."))
        uniqueNames(request.stacks)
        return estimate(
            [choice.stack(voxels=False) for choice in request.stacks],
            request.method,
            request.spacing,
            None if request.like is None else nodes.geometryFromNode(request.like),
            None if request.roi is None else roi.bounds(request.roi),
        )

    def memoryAdvice(self, found: Estimate) -> str:
        """A sentence where an estimated job needs more memory than can be used; else empty."""
        limit = affordable_bytes()
        if found.bytes <= limit:
            return ""
        return _(
            "This needs {needed:.0f} GB of memory and {limit:.0f} GB can be used; choose a coarser spacing "
            "or a region of interest."
        ).format(needed=found.bytes / 1e9, limit=limit / 1e9)


class MRINRSuperResTest(ScriptedLoadableModuleTest):
    """Runs in Slicer (Reload and Test) and in the project's own tests, on a phantom made here."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_ReconstructsTwoStacks()
        self.setUp()
        self.test_FillFromStudy()
        self.setUp()
        self.test_AppliesToAllPatients()

    def phantom(self, sliceAxis: int, name: str):
        """A bright ball in 24 x 24 x 24 mm, cut into 3 mm slices along an axis."""
        import numpy as np

        index = np.indices((24, 24, 24)) - 11.5
        ball = 100.0 * (np.linalg.norm(index, axis=0) < 9) + 20.0
        shape = [24, 24, 24]
        shape[sliceAxis : sliceAxis + 1] = [8, 3]
        voxels = ball.reshape(shape).mean(axis=sliceAxis + 1)
        affine = np.eye(4)
        affine[sliceAxis, sliceAxis] = 3.0
        affine[:3, 3] = -11.5
        affine[sliceAxis, 3] = -10.5
        node = slicer.util.addVolumeFromArray(voxels.transpose(2, 1, 0).astype("float32"), affine, name)
        node.CreateDefaultDisplayNodes()
        return node

    def test_ReconstructsTwoStacks(self):
        if not install.hasTorch():  # no SkipTest: Reload and Test would call it a failure
            self.delayDisplay("Skipped: PyTorch is not installed")
            return
        self.delayDisplay("Reconstruct two stacks of one contrast")
        stacks = [self.phantom(2, "T1 axial"), self.phantom(1, "T1 coronal")]
        results = MRINRSuperResLogic().reconstruct(stacks, method="tv", register="off")
        self.assertEqual(len(results), 1)
        self.assertEqual(results[0].GetImageData().GetDimensions(), (24, 24, 24))
        self.assertEqual(results[0].GetAttribute("MRINR.method"), "tv")
        self.delayDisplay("Test passed")

    def test_FillFromStudy(self):
        self.delayDisplay("Fill from study")
        self.phantom(2, "T1 axial")
        self.phantom(1, "T2 coronal")
        found = {(row.contrast, row.orientation, row.thickness) for row in study.fillFromStudy()}
        self.assertEqual(found, {("T1", "axial", 3.0), ("T2", "coronal", 3.0)})
        self.delayDisplay("Test passed")

    def test_AppliesToAllPatients(self):
        if not install.hasTorch():
            self.delayDisplay("Skipped: PyTorch is not installed")
            return
        self.delayDisplay("Two patients, of whom one cannot be helped")
        hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
        for name, contrast in (("First", "T1"), ("Second", "T2")):
            patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), name)
            node = self.phantom(2, f"{contrast} axial")
            hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), patient)
        table = MRINRSuperResLogic().reconstructAll(["T1"], method="cubic", register="off")
        self.assertEqual([table.GetCellText(row, 2) for row in range(2)], ["made", "failed"])
        self.assertIn("None of the scans is T1", table.GetCellText(1, 4))
        self.delayDisplay("Test passed")
