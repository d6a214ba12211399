"""One comparison of a synthetic volume with the measured one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from mrinr.errors import InputError
from MRINRLib import displays, evaluation_task, inputs, nodes, provenance, synthesis_job
from MRINRLib.engine import Engine
from MRINRLib.job import WorkerJob

DIFFERENCE = "difference"  # node reference of a result to its last difference


class EvaluationJob(WorkerJob):
    """A comparison that was started.

    difference : node of (result, matched in brightness and contrast) - reference, on the reference's grid
    report : see `mrinr.metrics.evaluate`, with gain and offset of the match; it is also what `wait` returns
    """

    def __init__(
        self,
        engine: Engine,
        result: Any,
        reference: Any,
        onProgress: Callable[[float, float | None, str], None] | None = None,
        onFinished: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        super().__init__(onProgress, None, onFinished)
        nodes.geometryFromNode(result)
        brain = synthesis_job.detail(result, synthesis_job.BRAIN)
        if not provenance.isSynthetic(result) or brain is None:
            raise InputError(
                _("{volume} is no result of synthesis in this scene; choose one.").format(
                    volume=result.GetName()
                )
            )
        inputs.check(reference)
        self.result, self.reference = result, reference
        self.difference: Any = None
        sources, made = synthesis_job.sourceNodes(result), provenance.parameters(result)
        volumes = {"result": result, "brain": brain, "reference": reference}
        for name in sorted(sources, key=lambda name: name != made.get("like")):  # it is what is aligned to
            volumes[f"input_{name}"] = sources[name]
        self._submit(
            engine,
            evaluation_task.TASK,
            {name: nodes.volumeFromNode(node) for name, node in volumes.items()},
            {"register": made.get("register", "off")},
        )

    @property
    def value(self) -> dict[str, Any]:
        return self.report

    def _receive(self, volumes: dict[str, Any]) -> None:
        nodes.requireInScene([self.result, self.reference])
        name = _("{result} minus {reference}").format(
            result=self.result.GetName(), reference=self.reference.GetName()
        )
        node = nodes.nodeFromVolume(volumes["difference"], name, self.result)
        provenance.stamp(
            node,
            "difference",
            "evaluation",
            {"gain": self.report["gain"], "offset": self.report["offset"]},
            [self.result, self.reference],
            scores=json.dumps(self.report),
        )
        displays.signed(node, volumes["difference"].voxels, volumes["difference"].voxels != 0)
        self.result.SetNodeReferenceID(provenance.PREFIX + DIFFERENCE, node.GetID())
        self.difference = node
        self.nodes = [node]


def scores(difference: Any) -> dict[str, Any]:
    """The report of the comparison that a difference node came from."""
    return json.loads(provenance.get(difference, "scores") or "{}")
