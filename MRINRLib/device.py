"""Which device the worker would use; runs in the worker, so nothing of Slicer is imported here."""

from __future__ import annotations

from typing import Any

from mrinr.context import Context
from mrinr.volume import Volume

TASK = "MRINRLib.device:run"


def run(
    volumes: dict[str, Volume], parameters: dict[str, Any], context: Context
) -> tuple[dict[str, Volume], dict[str, Any]]:
    """A task of the engine: parameters {"device"}, report {"device", "text"}."""
    from mrinr.engine.device import choose

    device, text = choose(parameters["device"])
    return {}, {"device": str(device), "text": text}
