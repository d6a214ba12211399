"""What a learned prior makes of interpolated slices, before the patient's own data have their say.

The network (`prior_network`) works in planes that hold the thick axis. With guides that are fine where the
contrast is thick these are the planes in which the guides may be thick themselves; without, the two kinds of
plane that cut the slices, averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mrinr.context import Context
from mrinr.superres.prior_network import CUT, PlanePrior, facts
from mrinr.superres.problem import Observation, Problem, missing_slices, slice_axis_on_grid, thick_axes

BACKGROUND = 0.04  # of the robust scale
AROUND = 16  # voxels of context around the foreground
VOXELS_AT_ONCE = 2**16

Part = tuple[slice, slice, slice]


@dataclass(frozen=True)
class View:
    """Planes in which a contrast is seen: rows along `rows`, which is thick, columns along `columns`."""

    contrast: str
    guides: tuple[str, ...]
    rows: int
    columns: int

    @property
    def order(self) -> tuple[int, int, int]:
        """The grid's axes as planes, rows, columns."""
        return 3 - self.rows - self.columns, self.rows, self.columns


def views(problem: Problem) -> list[View]:
    """How each contrast with one thick axis is seen: with guides wherever there are some."""
    coarse = thick_axes(problem)
    found = []
    for contrast, axes in coarse.items():
        for rows in axes:
            own = []
            for columns in sorted({0, 1, 2} - {rows}):
                guides = tuple(c for c in coarse if c != contrast and coarse[c] <= {columns})
                own.append(View(contrast, guides, rows, columns))
            found += [view for view in own if view.guides] or own
    return found


class Sampling:
    """Where voxels of the grid lie between the slices of a contrast's stacks, which share a slice axis."""

    def __init__(self, problem: Problem, contrast: str) -> None:
        self._combs = [Comb(problem, o) for o in problem.of(contrast)]

    def told(self, order: Sequence[int], part: Part) -> Tensor:
        """(planes, CUT, rows, columns) of a part of the grid, its axes in that order; see `facts`."""
        first, *others = self._combs
        distance = first.distance(order, part)
        for other in others:
            distance = torch.minimum(distance, other.distance(order, part))
        return facts(distance, first.gap, first.thickness)


class Comb:
    """The slices of one stack that were measured; gap and thickness in voxels of the grid."""

    def __init__(self, problem: Problem, observation: Observation) -> None:
        axis, volume = observation.slice_axis, observation.stack.volume
        step = float(problem.grid.spacing[slice_axis_on_grid(problem, observation)])
        self.gap = float(volume.spacing[axis]) / step
        self.thickness = float(observation.stack.thickness or 0) / step
        self._row = [float(x) for x in problem.grid.to(volume.grid)[axis]]
        there = (missing_slices(observation) == 0).nonzero()[:, 0].float()
        self._there, self._middles = there, (there[1:] + there[:-1]) / 2

    def distance(self, order: Sequence[int], part: Part) -> Tensor:
        """(planes, rows, columns) voxels to the nearest slice's middle."""
        device = self._there.device
        index = torch.full((1, 1, 1), self._row[3], device=device)
        for n, axis in enumerate(order):
            along = torch.arange(part[n].start, part[n].stop, device=device) * self._row[axis]
            index = index + along.reshape([-1 if m == n else 1 for m in range(3)])
        nearest = self._there[torch.bucketize(index.contiguous(), self._middles)]
        return (index - nearest).abs() * self.gap


class Guess:
    """A prior at work on one problem."""

    def __init__(self, problem: Problem, network: PlanePrior) -> None:
        self.problem, self._network = problem, network
        self._coarse = thick_axes(problem)

    def volumes(
        self, base: dict[str, Tensor], guides: dict[str, Tensor], context: Context
    ) -> dict[str, Tensor]:
        """Each contrast that has a thick axis as the network predicts it, on the problem's grid.

        base : the interpolated contrasts; guides : those to be guided by, as coarse as they were acquired
        """
        found: dict[str, list[Tensor]] = {}
        todo = views(self.problem)
        for n, view in enumerate(todo):
            part = context.stage(n / len(todo), (n + 1) / len(todo))
            found.setdefault(view.contrast, []).append(self._seen(view, base, guides, part))
        return {c: torch.stack(each).mean(0) if len(each) > 1 else each[0] for c, each in found.items()}

    def planes(
        self,
        target: Tensor,
        told: Tensor,
        guides: dict[str, Tensor],
        order: Sequence[int],
        part: Part,
    ) -> Tensor:
        """(n, h, w): `target` (n, h, w) without the blur along its rows.

        told : (n, CUT, h, w) of the rows, see `facts`
        guides : (n, h, w) each, that part of the grid with its axes in that order
        """
        n, h, w = target.shape
        cuts = [self._told_of(name, order, part).expand(n, CUT, h, w) for name in guides]
        with torch.inference_mode():
            return self._network(
                target[:, None],
                told,
                torch.stack(list(guides.values()), 1) if guides else target.new_zeros(n, 0, h, w),
                torch.stack(cuts, 1) if cuts else target.new_zeros(n, 0, CUT, h, w),
            )[:, 0]

    def _told_of(self, contrast: str, order: Sequence[int], part: Part) -> Tensor:
        if self._coarse[contrast]:
            return Sampling(self.problem, contrast).told(order, part)
        return facts(torch.zeros(1, 1, 1, device=self.problem.device), 1.0, 1.0)

    def _seen(
        self, view: View, base: dict[str, Tensor], guides: dict[str, Tensor], context: Context
    ) -> Tensor:
        target = base[view.contrast].permute(view.order)
        shown = {g: guides[g].permute(view.order) for g in view.guides}
        box = _box(target > BACKGROUND)
        if box is None:
            return base[view.contrast]
        out = target.clone()
        own = Sampling(self.problem, view.contrast)
        planes, rows, columns = box
        at_once = max(1, VOXELS_AT_ONCE // ((rows.stop - rows.start) * (columns.stop - columns.start)))
        for start in range(planes.start, planes.stop, at_once):
            context.progress(
                (start - planes.start) / (planes.stop - planes.start),
                f"Predicting {view.contrast} from what was learned of others",
            )
            part = slice(start, min(start + at_once, planes.stop)), rows, columns
            told = own.told(view.order, part)
            around = {name: x[part] for name, x in shown.items()}
            out[part] = self.planes(target[part], told, around, view.order, part)
        return out.permute([view.order.index(axis) for axis in range(3)]).contiguous()


def _box(foreground: Tensor) -> Part | None:
    """The foreground's box and AROUND voxels beside it; None where there is none."""
    index = foreground.nonzero()
    if not len(index):
        return None
    low, high = index.amin(0) - AROUND, index.amax(0) + 1 + AROUND
    ends = [
        slice(max(int(a), 0), min(int(b), n)) for a, b, n in zip(low, high, foreground.shape, strict=True)
    ]
    return ends[0], ends[1], ends[2]
