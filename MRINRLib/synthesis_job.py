"""One synthesis: inputs to the worker, events back, and the nodes that come of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from mrinr.errors import InputError
from mrinr.synthesis import INPUTS
from MRINRLib import displays, inputs, nodes, patients, provenance
from MRINRLib.engine import Engine, workerThreads
from MRINRLib.job import WorkerJob
from MRINRLib.models import Models

TASK = "synthesize"
UNCERTAINTY, BRAIN, DISAGREEMENT = "uncertainty", "brain", "disagreement"  # node references of a result


@dataclass(frozen=True, eq=False)
class Request:
    """What to make and from what; the fields are those of `mrinr.synthesis.synthesize`, with nodes."""

    inputs: Mapping[str, Any]
    target: str
    model: str = "auto"
    like: str | None = None
    register: str = "auto"
    device: str = "auto"

    def check(self) -> None:
        """Raise InputError, one sentence, for what can be seen without the model."""
        inputs.checkAll(self.inputs)
        if self.target not in INPUTS:
            raise InputError(
                _("'{target}' is not a known sequence; choose {known}.").format(
                    target=self.target, known=", ".join(INPUTS)
                )
            )
        if self.target in self.inputs:
            raise InputError(
                _("{target} is among the inputs; choose another target or leave that input out.").format(
                    target=self.target
                )
            )
        if self.like is not None and self.like not in self.inputs:
            raise InputError(
                _("The result cannot get the grid of {like}, which is not among the inputs.").format(
                    like=self.like
                )
            )

    def forPatient(self, images: Sequence[Any], models: Models) -> Request:
        """The same for another patient's volumes: those of `inputs`' sequences that there are; without any
        inputs here, all but the target.

        Raises InputError where there are none, or the model cannot do with them.
        """
        own = {role: node for role, node in self.inputs.items() if node in images}
        found = own or inputs.used(inputs.fillFromStudy(images))
        wanted = [role for role in (self.inputs or found) if role != self.target]
        given = {role: found[role] for role in wanted if role in found}
        if not given:
            raise patients.noneOf(wanted, images)
        if self.target not in models.targets(self.model, list(given)):
            raise InputError(
                _(
                    "{target} cannot be made from {inputs}; load what is missing, or choose another model."
                ).format(target=self.target, inputs=", ".join(given))
            )
        return replace(self, inputs=given, like=self.like if self.like in given else None)

    @property
    def nodes(self) -> list[Any]:
        return list(self.inputs.values())

    @property
    def likeNode(self) -> Any:
        """The input whose grid the result gets."""
        return self.inputs[self.like or next(iter(self.inputs))]

    def parameters(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "model": self.model,
            "like": self.like,
            "register": self.register,
            "device": self.device,
        }


class SynthesisJob(WorkerJob):
    """A synthesis that was started.

    result : the synthetic volume's node; None unless finished
    uncertainty : half-width of the 90 % interval, in the result's units; brain : the mask that was found
    disagreement : how much the inputs' own answers differ, None where there is one input
    checks : by input, |predicted from the other inputs - measured|
    report : see `mrinr.synthesis.Synthesis.report`; the rest is of every job
    """

    def __init__(
        self,
        engine: Engine,
        request: Request,
        onProgress: Callable[[float, float | None, str], None] | None = None,
        onPreview: Callable[[Any], None] | None = None,
        onFinished: Callable[[Any], None] | None = None,
    ) -> None:
        super().__init__(onProgress, onPreview, onFinished)
        request.check()
        self.request = request
        self.result: Any = None
        self.uncertainty: Any = None
        self.brain: Any = None
        self.disagreement: Any = None
        self.checks: dict[str, Any] = {}
        volumes = {name: nodes.volumeFromNode(node) for name, node in request.inputs.items()}
        self._submit(engine, TASK, volumes, {**request.parameters(), "threads": workerThreads()})

    @property
    def value(self) -> Any:
        return self.result

    @property
    def results(self) -> list[Any]:
        return [] if self.result is None else [self.result]

    @property
    def others(self) -> list[Any]:
        return [] if self.result is None else [self.uncertainty, self.brain]

    def _receive(self, volumes: dict[str, Any]) -> None:
        nodes.requireInScene(self.request.inputs.values())
        name = _("{target} (synthetic)").format(target=self.request.target)
        result = self._node(volumes["result"], name)
        folder = nodes.folderBeside(self.request.likeNode, _("{name} details").format(name=result.GetName()))
        inside = volumes["brain"].voxels > 0
        displays.image(result, volumes["result"].voxels, inside)
        self.brain = self._detail(result, volumes, BRAIN, folder)
        displays.mask(self.brain)
        self.uncertainty = self._heat(result, volumes, UNCERTAINTY, folder, inside)
        if DISAGREEMENT in volumes:
            self.disagreement = self._heat(result, volumes, DISAGREEMENT, folder, inside)
        self.checks = {
            role: self._heat(result, volumes, f"check_{role}", folder, inside)
            for role in self.request.inputs
            if f"check_{role}" in volumes
        }
        for role, node in self.request.inputs.items():
            result.SetNodeReferenceID(provenance.PREFIX + f"input_{role}", node.GetID())
        self.nodes = [result, self.uncertainty, self.brain, *self.checks.values()]
        self.nodes += [] if self.disagreement is None else [self.disagreement]
        self.result = result

    def _heat(self, result: Any, volumes: dict[str, Any], key: str, folder: int, inside: Any) -> Any:
        node = self._detail(result, volumes, key, folder)
        displays.heat(node, volumes[key].voxels, inside)
        return node

    def _detail(self, result: Any, volumes: dict[str, Any], key: str, folder: int) -> Any:
        words = {
            UNCERTAINTY: _("uncertainty"),
            BRAIN: _("brain"),
            DISAGREEMENT: _("disagreement of the inputs"),
        }
        what = words.get(key) or _("self-check of {input}").format(input=key.removeprefix("check_"))
        node = self._node(volumes[key], f"{result.GetName()} {what}", folder)
        result.SetNodeReferenceID(provenance.PREFIX + key, node.GetID())
        return node

    def _node(self, volume: Any, name: str, folder: int | None = None) -> Any:
        node = nodes.nodeFromVolume(volume, name, self.request.likeNode, folder)
        report = self.report
        provenance.stamp(
            node,
            provenance.SYNTHESIS,
            report["method"],
            {**self.request.parameters(), "settings": report.get("settings", {})},
            list(self.request.inputs.values()),
            (report.get("self_check") or {}).get("text", ""),
            target=self.request.target,
            inputs=" ".join(self.request.inputs),
            model=str(report["model"]),
            weightsSHA256=report["weights_sha256"],
            notice=report["notice"],
            warnings=json.dumps(self.sentences, ensure_ascii=False) if self.sentences else "",
        )
        return node

    @property
    def sentences(self) -> list[str]:
        """Everything that a person should be warned of, each once."""
        report = self.report
        return list(dict.fromkeys([*self.warnings, *report.get("warnings", []), *report.get("unlike", [])]))


def showPreview(node: Any, voxels: np.ndarray, mask: np.ndarray) -> None:
    """How a preview of a synthesis is shown: marked as synthetic, over what has not been reached yet."""
    node.SetAttribute(provenance.PREFIX + "kind", provenance.SYNTHESIS)
    displays.partial(node, voxels, mask)


def detail(result: Any, key: str) -> Any:
    """The map of that key (see the constants above) that belongs to a result; None where there is none."""
    return result.GetNodeReference(provenance.PREFIX + key)


def sourceNodes(result: Any) -> dict[str, Any]:
    """The inputs of a result by sequence, without those that are gone."""
    names = provenance.get(result, "inputs").split()
    found = {name: detail(result, f"input_{name}") for name in names}
    return {name: node for name, node in found.items() if node is not None}
