"""A fitted result at another spacing, without fitting again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from mrinr.errors import InputError
from MRINRLib import fitted_node, nodes, provenance
from MRINRLib.engine import Engine, workerThreads
from MRINRLib.job import WorkerJob

TASK = "superres_resample"


class ResampleJob(WorkerJob):
    """result : the new volume node; None unless finished."""

    def __init__(
        self,
        engine: Engine,
        source: Any,
        spacing: float,
        device: str = "auto",
        onProgress: Callable[[float, float | None, str], None] | None = None,
        onFinished: Callable[[Any], None] | None = None,
    ) -> None:
        """Raises InputError: `source` is no result of a fitted representation, or that was not saved."""
        super().__init__(onProgress, None, onFinished)
        self.source, self.spacing = source, spacing
        self.result: Any = None
        volume = nodes.volumeFromNode(source)
        text = fitted_node.find(source)
        if not text:
            raise refitNeeded(source)
        parameters = {
            "fitted": text,
            "contrast": source.GetAttribute(provenance.PREFIX + "contrast") or "",
            "spacing": spacing,
            "device": device,
            "threads": workerThreads(),
        }
        self._submit(engine, TASK, {"result": volume}, parameters)

    @property
    def value(self) -> Any:
        return self.result

    def _receive(self, volumes: dict[str, Any]) -> None:
        nodes.requireInScene([self.source])
        source = self.source
        name = _("{name} {spacing:g} mm").format(name=source.GetName(), spacing=self.spacing)
        node = nodes.nodeFromVolume(volumes["result"], name, source)
        for key in ("contrast", "reason"):
            node.SetAttribute(provenance.PREFIX + key, provenance.get(source, key))
        provenance.stamp(
            node,
            provenance.get(source, "kind"),
            provenance.get(source, "method"),
            {**provenance.parameters(source), "resampled": self.spacing},
            [source, *provenance.sources(source)],
            provenance.get(source, "selfCheck"),
        )
        reference = source.GetNodeReferenceID(provenance.PREFIX + "reference")
        if reference:
            node.SetNodeReferenceID(provenance.PREFIX + "reference", reference)
        self.nodes = [node]
        self.result = node


def refitNeeded(source: Any) -> InputError:
    """What to say where the fit is gone, or never was."""
    if not fitted_node.isContinuous(source):
        return InputError(
            _(
                "{volume} is no result of a fitted representation; resample it with Slicer's own modules."
            ).format(volume=source.GetName())
        )
    return InputError(
        _("Refit needed: the fit of {volume} is not in this scene (any more); press Apply again.").format(
            volume=source.GetName()
        )
    )
