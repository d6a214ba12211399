"""What a reconstruction gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mrinr.volume import Volume


@dataclass(eq=False)
class Reconstruction:
    """The result of `reconstruct`.

    volumes : by contrast, on the target grid, in the units of the source
    residuals : by contrast, on the target grid: |acquired - re-sliced result| spread back onto the grid
    coverage : by contrast, on the target grid: how many stacks saw the voxel
    rescanned : for each stack, by its volume's name, on the stack's own grid (its header as given, even where
        alignment moved it): the result as that stack's scanner would see it
    moved : by contrast, where a learned prior took part: the volume less what the patient's stacks alone give
    fields : the networks that were fitted, for `mrinr.superres.fitted`; none for voxel methods
    report : method, parameters, choice and why, self-check, warnings, times
    """

    volumes: dict[str, Volume]
    residuals: dict[str, Volume]
    coverage: dict[str, Volume]
    rescanned: dict[str, Volume]
    report: dict[str, Any]
    resampler: Callable[[float], dict[str, Volume]] = field(repr=False)
    moved: dict[str, Volume] = field(default_factory=dict)
    fields: list[Any] = field(default_factory=list, repr=False)

    def resample(self, spacing: float) -> dict[str, Volume]:
        """The volumes at another isotropic spacing (mm) without fitting again.

        An implicit neural representation is evaluated at the new points; voxel methods are interpolated.
        """
        return self.resampler(spacing)
