"""What a synthesis returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mrinr.volume import Volume


@dataclass(frozen=True, eq=False)
class Synthesis:
    """A synthetic volume and what is known about it; all on the grid of the chosen input.

    volume : the sequence asked for. Its scale is that of the inputs: what the target would have been, had it
        been acquired with the same gain
    uncertainty : half the width of the 90 % interval, in units of `volume`
    brain : 1 in the brain, found by the model's brain mask, else 0
    disagreement : how far the predictions from each input alone lie apart (standard deviation), where there
        are several inputs. It is no uncertainty: all of them can agree to be wrong
    checks : self-check, by input: |predicted from the other inputs - measured|, in the input's units
    report : model, settings, self-check, warnings
    """

    volume: Volume
    uncertainty: Volume
    brain: Volume
    disagreement: Volume | None = None
    checks: dict[str, Volume] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
