"""One super-resolution job: stacks to the worker, events back, and the nodes that come of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from slicer.i18n import tr as _

from mrinr.errors import InputError
from MRINRLib import fitted_node, nodes, patients, provenance, roi, study
from MRINRLib.engine import Engine, workerThreads
from MRINRLib.job import WorkerJob
from MRINRLib.study import Choice


@dataclass(frozen=True, eq=False)
class Request:
    """What to reconstruct and how; the fields are those of `mrinr.superres.reconstruct`, with nodes."""

    stacks: Sequence[Choice]
    method: str = "auto"
    spacing: float | str = "auto"
    like: Any = None
    roi: Any = None
    profile: str = "auto"
    register: str = "auto"
    device: str = "auto"
    prior: bool = True

    def parameters(self) -> dict[str, Any]:
        return {
            "contrasts": [choice.contrast for choice in self.stacks],
            "thickness": [choice.thickness for choice in self.stacks],
            "slice_axis": [choice.sliceAxis for choice in self.stacks],
            "method": self.method,
            "spacing": self.spacing,
            "profile": self.profile,
            "register": self.register,
            "device": self.device,
            "prior": self.prior,
            "roi": None if self.roi is None else roi.bounds(self.roi),
        }

    @property
    def nodes(self) -> list[Any]:
        return [choice.node for choice in self.stacks]

    def checkForAll(self) -> None:
        """Raise InputError for settings that belong to one patient."""
        if self.like is not None or self.roi is not None:
            raise InputError(
                _(
                    "A volume whose voxels the result gets and a region of interest belong to one patient; "
                    "choose neither."
                )
            )

    def forPatient(self, images: Sequence[Any], contrasts: Sequence[str] = ()) -> Request:
        """The same for another patient's volumes: stacks of the same contrasts, those that there are.

        contrasts : instead of those of `stacks`; where both are empty, any. Raises InputError where there is
            none.
        """
        own = [choice for choice in self.stacks if choice.node in images]
        wanted = list(dict.fromkeys(contrasts or [choice.contrast for choice in self.stacks]))
        found = own or [each for each in study.fillFromStudy(images) if not wanted or each.contrast in wanted]
        if not found:
            raise patients.noneOf(wanted, images)
        return replace(self, stacks=found)


def uniqueNames(stacks: Sequence[Choice]) -> list[str]:
    """The nodes' names, numbered where two nodes have the same. Raises InputError for a node given twice."""
    names: list[str] = []
    for index, choice in enumerate(stacks):
        if any(choice.node is other.node for other in stacks[:index]):
            raise InputError(
                _("{volume} was given twice; keep one of its rows.").format(volume=choice.node.GetName())
            )
        name, number = choice.node.GetName(), 2
        while name in names:
            name, number = f"{choice.node.GetName()} ({number})", number + 1
        names.append(name)
    return names


class SuperResJob(WorkerJob):
    """A reconstruction that was started.

    nodes : result volumes, one for each contrast, in the order of the stacks; empty unless finished
    residuals, coverage : nodes by contrast; moved : the same, where a learned prior took part
    rescans : a node for each stack, what its scanner would have seen
    report : see `mrinr.superres.Reconstruction.report`; the rest is of every job
    """

    def __init__(
        self,
        engine: Engine,
        request: Request,
        onProgress: Callable[[float, float | None, str], None] | None = None,
        onPreview: Callable[[Any], None] | None = None,
        onFinished: Callable[[list[Any]], None] | None = None,
    ) -> None:
        super().__init__(onProgress, onPreview, onFinished)
        if not request.stacks:
            raise InputError(_("No stack was given; choose at least one."))
        self.request = request
        self.residuals: dict[str, Any] = {}
        self.coverage: dict[str, Any] = {}
        self.moved: dict[str, Any] = {}
        self.rescans: list[Any] = []
        volumes = {
            f"stack{index}": choice.stack(name).volume
            for index, (choice, name) in enumerate(
                zip(request.stacks, uniqueNames(request.stacks), strict=True)
            )
        }
        if request.like is not None:
            volumes["like"] = nodes.volumeFromNode(request.like)
        self._submit(engine, "superres", volumes, {**request.parameters(), "threads": workerThreads()})

    @property
    def others(self) -> list[Any]:
        return self.rescans

    def _receive(self, volumes: dict[str, Any]) -> None:
        text = self.report.pop("fitted", "")
        nodes.requireInScene(choice.node for choice in self.request.stacks)
        folder = nodes.folderBeside(
            self.request.stacks[0].node,
            _("{name} SR details").format(name=self.request.stacks[0].node.GetName()),
        )
        for contrast in dict.fromkeys(choice.contrast for choice in self.request.stacks):
            first = next(choice.node for choice in self.request.stacks if choice.contrast == contrast)
            result = self._node(volumes[f"{contrast}_sr"], f"{first.GetName()} SR", first, contrast)
            self.nodes.append(result)
            name = first.GetName()
            self.residuals[contrast] = self._node(
                volumes[f"{contrast}_residual"], f"{name} SR residual", first, contrast, folder
            )
            self.coverage[contrast] = self._node(
                volumes[f"{contrast}_coverage"], f"{name} SR coverage", first, contrast, folder
            )
            self.residuals[contrast].GetDisplayNode().SetAutoWindowLevel(True)
            if f"{contrast}_prior" in volumes:
                self.moved[contrast] = self._node(
                    volumes[f"{contrast}_prior"], f"{name} SR moved by the prior", first, contrast, folder
                )
                self.moved[contrast].GetDisplayNode().SetAutoWindowLevel(True)
            most = float(volumes[f"{contrast}_coverage"].voxels.max(initial=1.0))
            shown = self.coverage[contrast].GetDisplayNode()
            shown.SetAutoWindowLevel(False)  # it fails on a constant
            shown.SetWindowLevel(most, most / 2)
        if text:
            fitted_node.keep(text, self.nodes, folder)
        for index, choice in enumerate(self.request.stacks):
            name = f"{choice.node.GetName()} SR re-sliced"
            volume = volumes[f"rescan{index}"]
            node = self._node(volume, name, choice.node, choice.contrast, folder)
            node.SetNodeReferenceID(provenance.PREFIX + "stack", choice.node.GetID())
            self.rescans.append(node)

    def _node(self, volume: Any, name: str, reference: Any, contrast: str, folder: int | None = None) -> Any:
        node = nodes.nodeFromVolume(volume, name, reference, folder)
        provenance.stamp(
            node,
            "super-resolution",
            self.report["method"],
            {**self.request.parameters(), **self._chosen()},
            [choice.node for choice in self.request.stacks],
            self.report["self_check"]["text"],
        )
        node.SetNodeReferenceID(provenance.PREFIX + "reference", reference.GetID())  # of its contrast
        node.SetAttribute(provenance.PREFIX + "contrast", contrast)
        node.SetAttribute(provenance.PREFIX + "reason", self.report["reason"])
        return node

    def _chosen(self) -> dict[str, Any]:
        """What was chosen in place of the person, and the learned prior that took part, if one did."""
        learned = self.report.get("notes", {}).get("prior")
        return {"settings": self.report.get("settings", {}), "prior": learned or "none"}
