"""What ContrastCRL asks its worker for: whole volumes, sweeps, searches; and the nodes that come of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import slicer
from slicer.i18n import tr as _

from mrinr.contrast import MODEL
from mrinr.contrast.parameters import of_times, title_of
from mrinr.errors import InputError
from MRINRLib import contrast_sources, displays, engine, inputs, nodes, patients, provenance
from MRINRLib.contrast_sources import Source, Times
from MRINRLib.job import WorkerJob

CHANGE, ENCODE, SLICES = "contrast", "contrast_encode", "contrast_slices"
SWEEP, SEARCH, REFERENCE = "contrast_sweep", "contrast_search", "contrast_reference"
ENGINE, INTERVAL = "contrast", 10  # the worker's name; ms between two looks at it, as sliders cannot wait
UNCERTAINTY, BRAIN = "uncertainty", "brain"  # node references of a result
MOST_STEPS = 25  # of a sweep


def ownEngine() -> engine.Engine:
    """ContrastCRL's worker: what it has encoded would be lost if another module's job were killed."""
    return engine.shared(ENGINE, INTERVAL)


@dataclass(frozen=True, eq=False)
class Request:
    """From which scans, by which model; the fields are those of `mrinr.contrast.change_contrast`."""

    sources: Sequence[Source]
    model: str = MODEL
    register: str = "auto"
    device: str = "auto"

    def check(self) -> None:
        """Raise InputError, one sentence, for what can be seen without the model."""
        contrast_sources.checkAll(self.sources)

    def forPatient(self, images: Sequence[Any]) -> Request:
        """The same for another patient's volumes: spin echoes with known times, those of the same sequences
        as `sources` where these say what they are.

        Raises InputError where there are none.
        """
        own = [row for row in self.sources if row.node in images]
        wanted = list(dict.fromkeys(inputs.inputFor(row.node).role for row in self.sources))
        if inputs.NOT_USED in wanted:
            wanted = []
        found = own or [
            row
            for row in contrast_sources.fillFromStudy(images)
            if not wanted or inputs.inputFor(row.node).role in wanted
        ]
        if not found:
            raise patients.noneOf(wanted, images)
        request = replace(self, sources=found)
        request.check()
        return request

    @property
    def nodes(self) -> list[Any]:
        return [row.node for row in self.sources]

    @property
    def first(self) -> Any:
        """The node whose grid and units the result gets."""
        return self.sources[0].node

    def volumes(self) -> dict[str, Any]:
        return {str(n): nodes.volumeFromNode(node) for n, node in enumerate(self.nodes)}

    def settings(self) -> dict[str, Any]:
        return {
            "sources": [list(row.times) for row in self.sources],
            "model": self.model,
            "register": self.register,
            "device": self.device,
        }

    def parameters(self) -> dict[str, Any]:
        return {**self.settings(), "threads": engine.workerThreads()}


def checkTarget(times: Sequence[float]) -> Times:
    """TR, TE and TI as numbers. Raises InputError for anything that cannot be played."""
    played = of_times(times)
    return played.TR, played.TE, played.TI


class ContrastWork(WorkerJob):
    """A job on the scans of a request."""

    def __init__(
        self,
        request: Request,
        task: str,
        more: Mapping[str, Any],
        volumes: Mapping[str, Any] | None = None,
        onProgress: Callable[[float, float | None, str], None] | None = None,
        onPreview: Callable[[Any], None] | None = None,
        onFinished: Callable[[Any], None] | None = None,
    ) -> None:
        super().__init__(onProgress, onPreview, onFinished)
        request.check()
        self.request = request
        given = {**request.volumes(), **(volumes or {})}
        self._submit(ownEngine(), task, given, {**request.parameters(), **more})

    def _stamp(self, node: Any, target: Times) -> None:
        report, request = self.report, self.request
        sentences = list(dict.fromkeys([*self.warnings, *report.get("warnings", [])]))
        provenance.stamp(
            node,
            provenance.SYNTHESIS,
            report["method"],
            {**request.settings(), "target": list(target)},
            request.nodes,
            report["self_check"]["text"],
            target=title_of(of_times(target)),
            model=str(report["model"]),
            weightsSHA256=report["weights_sha256"],
            trainedOn=report["trained_on"],
            notice=report["notice"],
            warnings=json.dumps(sentences, ensure_ascii=False) if sentences else "",
        )


class ContrastJob(ContrastWork):
    """One target: a whole volume.

    result : the synthetic volume's node; None unless finished
    uncertainty : half-width of the 90 % interval, in the result's units; brain : the mask that was found
    report : see `mrinr.synthesis.Synthesis.report`; the rest is of every job
    """

    def __init__(self, request: Request, target: Times, **callbacks: Any) -> None:
        self.target = checkTarget(target)
        self.result: Any = None
        self.uncertainty: Any = None
        self.brain: Any = None
        super().__init__(request, CHANGE, {"target": list(self.target)}, **callbacks)

    @property
    def value(self) -> Any:
        return self.result

    @property
    def results(self) -> list[Any]:
        return [] if self.result is None else [self.result]

    @property
    def others(self) -> list[Any]:
        return [] if self.uncertainty is None else [self.uncertainty]

    def _receive(self, volumes: dict[str, Any]) -> None:
        nodes.requireInScene(self.request.nodes)
        name = _("{source} as {target} (synthetic)").format(
            source=self.request.first.GetName(), target=title_of(of_times(self.target))
        )
        result = nodes.nodeFromVolume(volumes["result"], name, self.request.first)
        folder = nodes.folderBeside(self.request.first, _("{name} details").format(name=result.GetName()))
        inside = volumes["brain"].voxels > 0
        displays.image(result, volumes["result"].voxels, inside)
        details = {}
        for key, words in ((UNCERTAINTY, _("uncertainty")), (BRAIN, _("brain"))):
            details[key] = nodes.nodeFromVolume(
                volumes[key], f"{result.GetName()} {words}", self.request.first, folder
            )
            result.SetNodeReferenceID(provenance.PREFIX + key, details[key].GetID())
        displays.heat(details[UNCERTAINTY], volumes[UNCERTAINTY].voxels, inside)
        displays.mask(details[BRAIN])
        self.nodes = [result, *details.values()]
        for node in self.nodes:
            self._stamp(node, self.target)
        self.uncertainty, self.brain = details[UNCERTAINTY], details[BRAIN]
        self.result = result


@dataclass(frozen=True)
class Sweep:
    """One time that changes, in equal steps of its logarithm unless it starts at 0; the others stay."""

    target: Times
    name: str
    first: float
    last: float
    steps: int
    targets: list[Times] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if self.name not in provenance.TIMES:
            raise InputError(_("'{name}' is none of TR, TE and TI.").format(name=self.name))
        if not 2 <= self.steps <= MOST_STEPS:
            raise InputError(_("A sweep has 2 to {most} steps.").format(most=MOST_STEPS))
        if not 0 <= self.first < self.last:
            raise InputError(_("A sweep goes from a shorter to a longer time."))
        for n in range(self.steps):
            share = n / (self.steps - 1)
            value = self.first * (self.last / self.first) ** share if self.first else share * self.last
            at = list(self.target)
            at[provenance.TIMES.index(self.name)] = round(value, 1)
            self.targets.append(checkTarget(at))


class SweepJob(ContrastWork):
    """Several targets as a Slicer sequence.

    sequence, browser, result : the sequence node, its browser node and the volume that the browser shows
    """

    def __init__(self, request: Request, sweep: Sweep, **callbacks: Any) -> None:
        self.sweep = sweep
        self.sequence: Any = None
        self.browser: Any = None
        self.result: Any = None
        super().__init__(request, SWEEP, {"targets": [list(each) for each in sweep.targets]}, **callbacks)

    @property
    def value(self) -> Any:
        return self.browser

    def _receive(self, volumes: dict[str, Any]) -> None:
        nodes.requireInScene(self.request.nodes)
        sweep, scene = self.sweep, slicer.mrmlScene
        name = scene.GenerateUniqueName(
            _("{source} over {time} (synthetic)").format(source=self.request.first.GetName(), time=sweep.name)
        )
        made = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
        made.SetIndexName(sweep.name)
        made.SetIndexUnit("ms")
        made.SetIndexType(made.NumericIndex)
        step = slicer.vtkMRMLScalarVolumeNode()  # a copy of it goes into the sequence's own scene
        step.SetName(name)
        axis = provenance.TIMES.index(sweep.name)
        for n, target in enumerate(sweep.targets):
            nodes.updateNode(step, volumes[str(n)])
            self._stampStep(step, target)
            made.SetDataNodeAtValue(step, f"{target[axis]:g}")
        browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{name} browser")
        browser.SetAndObserveMasterSequenceNodeID(made.GetID())
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        shown = browser.GetProxyNode(made)
        shown.CreateDefaultDisplayNodes()
        brightest = max((volumes[str(n)].voxels for n in range(len(sweep.targets))), key=lambda x: x.max())
        displays.image(shown, brightest, volumes["brain"].voxels > 0)
        self._stamp(made, sweep.targets[0])
        self.sequence, self.browser, self.result = made, browser, shown
        self.nodes = [made, browser, shown]

    def _stampStep(self, node: Any, target: Times) -> None:
        """Attributes only: node references need nodes of one scene."""
        node.SetAttribute(provenance.PREFIX + "kind", provenance.SYNTHESIS)
        node.SetAttribute(provenance.PREFIX + "notice", self.report["notice"])
        node.SetAttribute(provenance.PREFIX + "model", str(self.report["model"]))
        node.SetAttribute(provenance.PREFIX + "target", title_of(of_times(target)))


class SearchJob(ContrastWork):
    """The times that tell two regions apart best; `value` is the report of `mrinr.contrast.search.Found`."""

    def __init__(
        self, request: Request, regions: Sequence[Any], limits: Mapping[str, Any], **callbacks: Any
    ) -> None:
        """regions : two mrinr.volume.Volume, 0 outside; limits : those of `mrinr.contrast.search.Limits`"""
        volumes = dict(zip(("first", "second"), regions, strict=True))
        super().__init__(request, SEARCH, {"limits": dict(limits)}, volumes, **callbacks)

    @property
    def value(self) -> dict[str, Any]:
        return self.report

    def _receive(self, volumes: dict[str, Any]) -> None:
        """The report is all."""


def detail(result: Any, key: str) -> Any:
    """The map of that key that belongs to a result; None where there is none."""
    return result.GetNodeReference(provenance.PREFIX + key)


def sourcesOf(result: Any) -> list[Any]:
    """The scans that a result was made of, without those that are gone."""
    role = provenance.PREFIX + "source"
    found = [result.GetNthNodeReference(role, n) for n in range(result.GetNumberOfNodeReferences(role))]
    return [node for node in found if node is not None]
