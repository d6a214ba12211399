"""The live view of ContrastCRL: what the sliders ask for, in the slice views' planes, within a blink."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from mrinr.contrast.parameters import of_times, text_of
from mrinr.engine import Event
from mrinr.geometry import Grid
from MRINRLib import contrast_job, displays, nodes, provenance, views
from MRINRLib.contrast_job import Request
from MRINRLib.contrast_sources import Times

PARALLEL = 0.999  # cosine from which a view's axis counts as one of the scan's
STEP, THICKNESS = 1.0, 1.0  # mm: of a live image whose plane is askew to the scan, and through the plane


class LiveView(VTKObservationMixin):
    """Encodes a request's scans once, then shows any target in the slice views.

    At most one target is being decoded and one waits; a newer one takes the place of the one that waits, so
    that nothing stale is worked on and the views never fall behind by more than one step.

    onState : called with a line of text, whether something is going on, and whether it is an error
    """

    def __init__(self, onState: Callable[[str, bool, bool], None]) -> None:
        super().__init__()
        self._onState = onState
        self._request: Request | None = None
        self._encoding: Any = None
        self._key = ""
        self._grid: Grid | None = None
        self._running: Any = None
        self._waiting: Any = None
        self._target: Times | None = None
        self._planes: dict[str, Any] = {}
        self._images: dict[str, Any] = {}
        self._maps: dict[str, Any] = {}
        self._shown: dict[str, Any] = {}  # the volumes in the views, and their uncertainty
        self._layers: views.Layers | None = None
        self._comparison = views.Comparison()
        self._beside, self._fade, self._uncertain = False, 1.0, False
        self.shown = 0  # targets that have arrived in the views

    @property
    def isOn(self) -> bool:
        return self._request is not None

    @property
    def isReady(self) -> bool:
        """Whether the scans were encoded."""
        return bool(self._key)

    def start(self, request: Request, target: Times) -> None:
        """Encode, then show `target`. Raises InputError for what cannot be encoded."""
        request.check()
        self.stop()
        volumes = request.volumes()
        self._request, self._target = request, target
        self._layers = views.Layers()
        self._watchViews()
        self._encode(volumes)

    def _encode(self, volumes: Mapping[str, Any]) -> None:
        assert self._request is not None
        self._key = ""
        self._onState(_("Encoding…"), True, False)
        self._encoding = contrast_job.ownEngine().submit(
            contrast_job.ENCODE, volumes, self._request.parameters(), self._onEncoding
        )

    def show(self, target: Times) -> None:
        """Show another target as soon as it can be; called for every move of a slider."""
        if target != self._target:
            self._target = target
            self._ask()

    def arrange(self, beside: bool, fade: float, uncertain: bool = False) -> None:
        """Scan above and live image below, or the live image over the scan at this opacity (0 to 1).

        uncertain : a map of the uncertainty over the live image, which then hides the scan
        """
        changed = beside != self._beside
        self._beside, self._fade, self._uncertain = beside, fade, uncertain
        if not self.isOn:
            return
        if changed:
            self._removeImages()
            self._comparison.close()
            self._planes = {}
            self._ask()
        elif self._images:
            if self._uncertain:
                self._fillMaps()
            self._compose()

    def at(self, place: Sequence[float]) -> tuple[float, float] | None:
        """The live image at a place in RAS mm and half its 90 % interval; None where there is none."""
        for name in self._images:
            image = self._shown[name]
            index = np.rint(np.linalg.solve(image.affine, [*place, 1.0])[:3]).astype(int)
            if np.all((index >= 0) & (index < image.voxels.shape)):
                half = self._shown[_uncertainty(name)]
                return float(image.voxels[tuple(index)]), float(half.voxels[tuple(index)])
        return None

    def stop(self) -> None:
        """Remove the live images and show what was shown before."""
        self.removeObservers()
        for job in (self._encoding, self._running, self._waiting):
            if job is not None:
                job.cancel()
        self._encoding = self._running = self._waiting = None
        self._request, self._key, self._planes = None, "", {}
        self._comparison.close()
        self._removeImages()
        if self._layers is not None:
            self._layers.restore()
            self._layers = None

    # Encoding and decoding ----------------------------------------------------------------------------

    def _onEncoding(self, event: Event) -> None:
        if event.job is not self._encoding:
            return
        if event.kind == "progress":
            self._onState(
                _("Encoding: {text}, {percent:.0f} %").format(
                    text=event.data["text"], percent=100 * event.data["fraction"]
                ),
                True,
                False,
            )
        elif event.kind == "result":
            report = event.data["report"]
            self._encoding, self._key = None, report["key"]
            self._grid = Grid(tuple(report["grid"]["shape"]), np.array(report["grid"]["affine"]))
            self._ask()
        elif event.kind in ("failed", "cancelled"):
            self._encoding = None
            self._fail(event.data.get("text", _("Cancelled.")))

    def _ask(self) -> None:
        """Ask for the planes of the views at the current target, in the place of what is still waiting."""
        if self._request is None or self._target is None or not self.isReady:
            return
        if not self._planes:
            self._planes = self._viewPlanes()
        planes = {
            name: {"shape": list(grid.shape), "affine": grid.affine.tolist()}
            for name, grid in self._planes.items()
        }
        self._onState(_("Computing…"), True, False)
        parameters = {"key": self._key, "target": list(self._target), "planes": planes}
        job = contrast_job.ownEngine().submit(
            contrast_job.SLICES, {}, parameters, self._onSlices, replaces=self._waiting
        )
        if self._running is None:
            self._running = job
        else:
            self._waiting = job

    def _onSlices(self, event: Event) -> None:
        if event.kind not in ("result", "failed", "cancelled"):
            return
        if event.job is self._running:
            self._running, self._waiting = self._waiting, None
        elif event.job is not self._waiting:
            return  # replaced, or from before a stop
        else:
            self._waiting = None
        if event.kind == "failed":
            self._fail(event.data["text"])
        elif event.kind == "result" and self._request is not None:
            if event.data["report"]["encoded"]:
                self._receive(event.volumes)
            else:  # the worker was ended meanwhile, and its cache with it
                self._encode(self._request.volumes())

    def _fail(self, text: str) -> None:
        self.stop()
        self._onState(text, False, True)

    # Views --------------------------------------------------------------------------------------------

    def _watchViews(self) -> None:
        """Follow the slice views that there are; a layout may bring more."""
        scene = slicer.mrmlScene
        for n in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")):
            node = scene.GetNthNodeByClass(n, "vtkMRMLSliceNode")
            if not self.hasObserver(node, vtk.vtkCommand.ModifiedEvent, self._onViewChanged):
                self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._onViewChanged)

    def _views(self) -> list[Any]:
        """The slice nodes of the views that show the live image."""
        manager = slicer.app.layoutManager()
        if self._beside:
            return [manager.sliceWidget(name).mrmlSliceNode() for name in views.RESULT_VIEWS]
        found = [manager.sliceWidget(name).mrmlSliceNode() for name in manager.sliceViewNames()]
        return [node for node in found if node.IsMappedInLayout()]

    def _planeOf(self, sliceNode: Any) -> Grid:
        assert self._grid is not None
        return planeOf(sliceNode, self._grid)

    def _viewPlanes(self) -> dict[str, Grid]:
        assert self._request is not None
        if self._beside and not self._comparison.isOpen:
            self._comparison.show(self._request.first, None)
            self._watchViews()
        return {node.GetLayoutName(): self._planeOf(node) for node in self._views()}

    def _onViewChanged(self, node: Any, event: Any = None) -> None:
        name = node.GetLayoutName()
        if not self.isReady or name not in self._planes:
            if self.isReady and not self._beside and node.IsMappedInLayout():
                self._planes = {}  # another layout shows another view
                self._ask()
            return
        if not self._planeOf(node).same_as(self._planes[name]):
            self._planes[name] = self._planeOf(node)
            self._ask()

    def _receive(self, volumes: Mapping[str, Any]) -> None:
        there = [name for name in self._planes if name in volumes]
        if there:  # none where the views were left meanwhile
            self._shown = dict(volumes)
            self._fill({name: volumes[name] for name in there})
        self.shown += 1
        if self._running is None and self._target is not None:
            self._onState(text_of(of_times(self._target)), False, False)

    def _fill(self, volumes: Mapping[str, Any]) -> None:
        new = set(self._images) != set(volumes)
        bright = np.concatenate([volume.voxels.ravel() for volume in volumes.values()])
        for name, volume in volumes.items():
            displays.image(self._updated(self._images, name, volume), bright, bright > 0)
        if self._uncertain:
            self._fillMaps()
        if new:
            self._compose()

    def _fillMaps(self) -> None:
        halves = {name: self._shown[_uncertainty(name)] for name in self._images}
        unsure = np.concatenate([volume.voxels.ravel() for volume in halves.values()])
        for name, volume in halves.items():
            displays.heat(self._updated(self._maps, name, volume), unsure, unsure > 0)

    def _updated(self, made: dict[str, Any], view: str, volume: Any) -> Any:
        """The node of `made` for a view, with the voxels of `volume`."""
        node = made.get(view)
        if node is None or not nodes.inScene(node):
            isImage = made is self._images
            called = _("live contrast, {view} (synthetic)") if isImage else _("live uncertainty, {view}")
            node = made[view] = self._newImage(called.format(view=view))
        nodes.updateNode(node, volume)
        if node.GetDisplayNode() is None:
            node.CreateDefaultDisplayNodes()
        return node

    def _newImage(self, name: str) -> Any:
        node = slicer.vtkMRMLScalarVolumeNode()
        node.SetName(name)
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        node.SetAttribute(nodes.PREVIEW_ATTRIBUTE, "1")
        node.SetAttribute(provenance.PREFIX + "kind", provenance.SYNTHESIS)
        return slicer.mrmlScene.AddNode(node)

    def _compose(self) -> None:
        """Put each live image over the scan in its view."""
        assert self._request is not None
        for name, image in self._images.items():
            widget = slicer.app.layoutManager().sliceWidget(name)
            if widget is None or not nodes.inScene(image):
                continue
            composite = widget.mrmlSliceCompositeNode()
            below, over, opacity = self._request.first, image, 1.0 if self._beside else self._fade
            if self._uncertain:
                below, over, opacity = image, self._maps[name], views.OVERLAY
            if nodes.inScene(below):
                composite.SetBackgroundVolumeID(below.GetID())
            composite.SetForegroundVolumeID(over.GetID())
            composite.SetForegroundOpacity(opacity)

    def _removeImages(self) -> None:
        for image in (*self._images.values(), *self._maps.values()):
            if nodes.inScene(image):
                display = image.GetDisplayNode()
                slicer.mrmlScene.RemoveNode(image)
                if display is not None and nodes.inScene(display):
                    slicer.mrmlScene.RemoveNode(display)
        self._images, self._maps = {}, {}


def _uncertainty(view: str) -> str:
    """What the worker calls the uncertainty of a view's image."""
    return f"{view} {contrast_job.UNCERTAINTY}"


def planeOf(sliceNode: Any, scan: Grid) -> Grid:
    """What a slice view shows of the scan's field of view: one layer, its pixels on the scan's own lattice.

    Where the view's axes are the scan's, each pixel is a voxel; else pixels are STEP mm apart.
    """
    matrix = slicer.util.arrayFromVTKMatrix(sliceNode.GetSliceToRAS())
    axes = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    affine, shape = np.eye(4), [1, 1, 1]
    affine[:3, 2] = axes[:, 2] * THICKNESS
    place = axes[:, 2] * (axes[:, 2] @ matrix[:3, 3])
    corners, first = scan.corners(), scan.affine[:3, 3]
    for n in range(2):
        axis = axes[:, n]
        cosines = np.abs(scan.directions.T @ axis)
        step = float(scan.spacing[cosines.argmax()]) if cosines.max() > PARALLEL else STEP
        along = (corners - first) @ axis / step
        low, high = int(np.ceil(along.min())), int(np.floor(along.max()))
        shape[n] = max(high - low + 1, 1)
        affine[:3, n] = axis * step
        place = place + axis * (first @ axis + low * step)
    affine[:3, 3] = place
    return Grid((shape[0], shape[1], 1), affine)
