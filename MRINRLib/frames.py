"""Volume sequences, frame by frame: the volume that a sequence browser shows stands for all of its frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import slicer
from slicer.i18n import tr as _

from mrinr.engine import EngineError
from mrinr.errors import InputError
from MRINRLib import fitted_node, nodes, provenance
from MRINRLib.job import WorkerJob
from MRINRLib.series_job import SeriesJob, Start


def browserOf(volumes: Iterable[Any]) -> Any:
    """The sequence browser that shows one of these volumes, where it has several frames; else None."""
    module = getattr(slicer.modules, "sequences", None)
    if module is None:  # disabled in the settings
        return None
    for node in volumes:
        browser = module.logic().GetFirstBrowserNodeForProxyNode(node)
        if browser is not None and browser.GetNumberOfItems() > 1:
            return browser
    return None


def _requireOne(browser: Any, volumes: Iterable[Any]) -> None:
    """Raise InputError where a volume moves in another browser, so that it would stand still in this one."""
    for node in volumes:
        other = browserOf([node])
        if other is not None and browser.GetSequenceNode(node) is None:
            raise InputError(
                _(
                    "{volume} is in the sequence browser {other}, another input in {browser}; put both into "
                    "one sequence browser, or untick Every frame of the sequence."
                ).format(volume=node.GetName(), other=other.GetName(), browser=browser.GetName())
            )


@contextmanager
def shown(browser: Any, frame: int) -> Iterator[None]:
    """The browser's volumes hold that frame in the block; then what they held before."""
    before = browser.GetSelectedItemNumber()
    _select(browser, frame)
    try:
        yield
    finally:
        _select(browser, before)


def _select(browser: Any, frame: int) -> None:
    browser.SetSelectedItemNumber(frame)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)


def begin(
    inputs: Iterable[Any], every: bool, start: Start, onPreview: Any = None, **callbacks: Any
) -> WorkerJob | FramesJob:
    """Start a job; one for every frame where that is wanted and an input is the volume of a sequence.

    Raises InputError where inputs are volumes of different browsers.
    """
    inputs = list(inputs)
    browser = browserOf(inputs) if every else None
    if browser is None:
        return start(onPreview=onPreview, **callbacks)
    _requireOne(browser, inputs)
    return FramesJob(browser, start, **callbacks)


class FramesJob(SeriesJob):
    """A job for every frame; the results become sequences in the same browser, at the same index values.

    Volumes of the browser move together, others are the same for every frame. The frame that the window shows
    does not change. The first frame that fails ends it: then, and after Cancel, nothing is left.

    results, others : the volumes that the browser shows of each new sequence
    """

    def __init__(
        self,
        browser: Any,
        start: Start,
        onProgress: Callable[[float, float | None, str], None] | None = None,
        onFinished: Callable[[Any], None] | None = None,
    ) -> None:
        self._browser = browser
        self._indices = _indices(browser)
        self._made: list[_Made] = []
        self._resultCount = 0
        self._isList = True
        starts = [self._starter(frame, start) for frame in range(len(self._indices))]
        super().__init__(starts, onProgress, onFinished)

    @property
    def value(self) -> Any:
        """What one of the jobs would give: the list of the results, or the only one."""
        return self.results if self._isList else self.results[0] if self.results else None

    def _starter(self, frame: int, start: Start) -> Start:
        def startFrame(**callbacks: Callable) -> WorkerJob:
            self._require()
            with shown(self._browser, frame):  # voxels are copied when a job starts
                return start(**callbacks)

        return startFrame

    def _require(self) -> None:
        if not nodes.inScene(self._browser) or _indices(self._browser) != self._indices:
            raise InputError(_("The sequence was changed meanwhile, so its result is not shown."))

    def _where(self) -> str:
        return _("Frame {n} of {count}").format(n=self.number + 1, count=len(self._indices))

    def _succeeded(self, job: WorkerJob) -> None:
        try:
            self._collect(job)
        finally:
            job.discard()

    def _collect(self, job: WorkerJob) -> None:
        made = [*job.results, *job.others]
        if not self._made:
            beside = nodes.itemAbove(job.results[0])  # details have a folder, which goes with the frame
            self._made = [_Made(node, self._browser.GetMasterSequenceNode(), beside) for node in made]
            self._resultCount = len(job.results)
            self._isList = isinstance(job.value, list)
            self.report = job.report
        for each, node in zip(self._made, made, strict=True):
            each.add(node, self._indices[self.number])
        self.warnings += [text for text in job.warnings if text not in self.warnings]

    def _failed(self, error: InputError | EngineError) -> None:
        text = _("{frame}: {error}").format(frame=self._where(), error=str(error))
        self.error = InputError(text) if isinstance(error, InputError) else EngineError(text, "")

    def _end(self) -> None:
        made, self._made = self._made, []
        if self.state != "finished":
            return
        self._require()
        added = nodes.Added()
        try:
            with added:
                proxies = {each.first: each.appear(self._browser) for each in made}
                for each in made:
                    each.refer(proxies)
        except Exception:  # half of it would be worse than none
            for each in made:
                each.disappear(self._browser)
            added.remove()
            raise
        found = list(proxies.values())
        self.results, self.others = found[: self._resultCount], found[self._resultCount :]


class _Made:
    """A sequence in the making, outside the scene; what was said of its first frame and how it was shown."""

    def __init__(self, first: Any, master: Any, parent: int) -> None:
        self.first = first
        self._name = first.GetName()
        self._parent = parent
        self._attributes = _attributes(first)
        roles = [first.GetNthNodeReferenceRole(n) for n in range(first.GetNumberOfNodeReferenceRoles())]
        self._references = [
            (role, first.GetNthNodeReference(role, n))
            for role in roles
            if role.startswith(provenance.PREFIX)
            for n in range(first.GetNumberOfNodeReferences(role))
        ]
        self._display = slicer.vtkMRMLScalarVolumeDisplayNode()
        self._display.CopyContent(first.GetDisplayNode())
        self._colours = first.GetDisplayNode().GetColorNodeID()
        self._sequence = slicer.vtkMRMLSequenceNode()
        self._sequence.SetIndexName(master.GetIndexName())
        self._sequence.SetIndexUnit(master.GetIndexUnit())
        self._sequence.SetIndexType(master.GetIndexType())

    def add(self, node: Any, index: str) -> None:
        """A copy of a frame's volume."""
        _describe(self._sequence.SetDataNodeAtValue(node, index), _attributes(node))

    def appear(self, browser: Any) -> Any:
        """Put the sequence into the scene and the browser; the volume that this shows of it."""
        logic, scene = slicer.modules.sequences.logic(), slicer.mrmlScene
        taken = scene.GetFirstNodeByName(self._name) is not None
        name = scene.GenerateUniqueName(self._name) if taken else self._name
        self._sequence.SetName(scene.GenerateUniqueName(_("{name} sequence").format(name=name)))
        scene.AddNode(self._sequence)
        logic.AddSynchronizedNode(self._sequence, None, browser)
        browser.SetOverwriteProxyName(self._sequence, False)
        logic.UpdateProxyNodesFromSequences(browser)
        self._proxy = proxy = browser.GetProxyNode(self._sequence)
        proxy.SetName(name)
        _describe(proxy, self._attributes)
        _describe(self._sequence, self._attributes)
        proxy.CreateDefaultDisplayNodes()
        proxy.GetDisplayNode().CopyContent(self._display)
        proxy.GetDisplayNode().SetAndObserveColorNodeID(self._colours)
        hierarchy = scene.GetSubjectHierarchyNode()
        if self._parent and hierarchy.GetItemByDataNode(proxy):
            hierarchy.SetItemParent(hierarchy.GetItemByDataNode(proxy), self._parent)
        return proxy

    def disappear(self, browser: Any) -> None:
        """Take the sequence, and what the browser shows of it, out again."""
        if nodes.inScene(self._sequence):
            browser.RemoveSynchronizedSequenceNode(self._sequence.GetID())
            slicer.mrmlScene.RemoveNode(self._sequence)

    def refer(self, proxies: Mapping[Any, Any]) -> None:
        """Refer to what the first frame's volume referred to; to the browser's volumes instead of frames."""
        for role, node in self._references:
            node = proxies.get(node, node)
            if nodes.inScene(node):
                self._proxy.AddNodeReferenceID(role, node.GetID())


def _indices(browser: Any) -> list[str]:
    master = browser.GetMasterSequenceNode()
    return (
        [] if master is None else [master.GetNthIndexValue(n) for n in range(master.GetNumberOfDataNodes())]
    )


def _attributes(node: Any) -> dict[str, str]:
    """Those of MRINR; each frame has a fit of its own, which is not kept."""
    names = [
        name
        for name in node.GetAttributeNames()
        if name.startswith(provenance.PREFIX) and name != fitted_node.CONTINUOUS
    ]
    return {name: node.GetAttribute(name) for name in names}


def _describe(node: Any, attributes: Mapping[str, str]) -> None:
    """Write `_attributes`; a copied node has the one that is not among them, too."""
    node.RemoveAttribute(fitted_node.CONTINUOUS)
    for name, text in attributes.items():
        node.SetAttribute(name, text)
