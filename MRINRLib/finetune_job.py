"""Fine-tuning: cases from the scene to the worker, a new model folder back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from mrinr.errors import InputError
from MRINRLib import inputs, nodes
from MRINRLib.engine import Engine, workerThreads
from MRINRLib.job import WorkerJob

TASK = "finetune"


@dataclass(frozen=True, eq=False)
class FineTuneRequest:
    """cases : for each subject its volume nodes by sequence, the target's among them; out : a new folder."""

    cases: Sequence[Mapping[str, Any]]
    target: str
    model: str
    out: str
    device: str = "auto"

    def check(self) -> None:
        """Raise InputError, one sentence, for what can be seen without the model."""
        if not self.cases:
            raise InputError(_("Add a case first: inputs, and the measured volume of the target."))
        for number, case in enumerate(self.cases, start=1):
            inputs.checkAll(case)
            if self.target not in case:
                raise InputError(
                    _("Case {number} has no {target}, which is what the model would learn.").format(
                        number=number, target=self.target
                    )
                )
            if len(case) < 2:
                raise InputError(_("Case {number} has no input.").format(number=number))
        if not self.out.strip():
            raise InputError(_("Choose a folder for the new model."))
        folder = Path(self.out).expanduser()
        if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise InputError(_("{folder} is not empty; choose a new folder.").format(folder=folder))


class FineTuneJob(WorkerJob):
    """Fine-tuning that was started.

    folder : the new model; empty unless finished
    report : {target, before, after, linear: {psnr, ssim}, cases, seconds, text}; what `wait` returns
    """

    def __init__(
        self,
        engine: Engine,
        request: FineTuneRequest,
        onProgress: Callable[[float, float | None, str], None] | None = None,
        onFinished: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        super().__init__(onProgress, None, onFinished)
        request.check()
        self.request = request
        self.folder = ""
        volumes = {
            f"case{number}_{name}": nodes.volumeFromNode(node)
            for number, case in enumerate(request.cases)
            for name, node in case.items()
        }
        parameters = {
            "model": request.model,
            "target": request.target,
            "out": str(Path(request.out).expanduser().absolute()),
            "device": request.device,
            "threads": workerThreads(),
        }
        self._out = parameters["out"]
        self._submit(engine, TASK, volumes, parameters)

    @property
    def value(self) -> dict[str, Any]:
        return self.report

    def _receive(self, volumes: dict[str, Any]) -> None:
        self.folder = str(self._out)
