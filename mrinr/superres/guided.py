"""Guided reconstruction: one contrast's thick axis is another's fine one.

For each contrast, a small network learns *from that contrast's own in-plane data* what a thick axis hides:
slices are degraded along an in-plane axis the way the slice profile degrades the through-plane axis, and the
network learns to undo it from a 7 x 7 patch of the contrast and of its guides (contrasts that are fine along
both axes). Applied in the plane of the thick axis, it predicts the missing detail; joint total variation
with data consistency (`tv`) then gives the measured slices the last word. Two rounds: in the second the
guides are the first round's results.

This is the guided ridge regression of the project's notes with the clustered linear maps replaced by one
small network that knows the voxel's phase between the slices; nothing is learned from other patients, unless
there is a `guess` (`prior`): then the network sees what that makes of the degraded slices and learns the rest
of the error, so that it corrects the guess where this patient differs.

Needs a guide that is fine where the contrast is thick (a contrast with another slice axis, or one with stacks
in several planes) and a grid with equal spacing along the thick axis and one fine axis of both; contrasts for
which that fails are reconstructed by joint total variation alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mrinr.acquisition import axis_matrix, axis_points
from mrinr.context import Context
from mrinr.superres import cubic, hidden, tv
from mrinr.superres.guess import BACKGROUND, Guess
from mrinr.superres.patches import Patches, PatchNetwork, train
from mrinr.superres.prior_network import CUT, facts
from mrinr.superres.problem import Observation, Problem, Solution, missing_slices, thick_axes

WEIGHT = 2e-3
ANCHOR = 0.04
SAMPLES = 300_000
STEPS = 900
GUESSED = 10  # planes a shift in which a prior's guess is learned from
AT_ONCE = 100_000


@dataclass(frozen=True)
class Plan:
    """How one contrast is predicted: along `thick`, trained along `fine`, patches reach along `across`."""

    contrast: str
    guides: tuple[str, ...]
    thick: int
    fine: int
    across: int


def plan(problem: Problem) -> list[Plan]:
    """One plan for each contrast that can be guided."""
    coarse = thick_axes(problem)
    spacing = problem.grid.spacing
    plans = []
    for contrast, axes in coarse.items():
        if not axes:
            continue
        axis = next(iter(axes))
        best: Plan | None = None
        for fine in range(3):
            if fine == axis or abs(spacing[fine] / spacing[axis] - 1) > 0.05:
                continue
            guides = tuple(c for c in coarse if c != contrast and not coarse[c] & {axis, fine})
            if guides and (best is None or len(guides) > len(best.guides)):
                best = Plan(contrast, guides, axis, fine, 3 - axis - fine)
        if best is not None:
            plans.append(best)
    return plans


def solve(
    problem: Problem,
    context: Context,
    weight: float = WEIGHT,
    anchor: float = ANCHOR,
    rounds: int = 2,
    steps: int = STEPS,
    guides: dict[str, Tensor] | None = None,
    guess: Guess | None = None,
) -> Solution:
    """Predict each contrast from its guides, then joint TV; repeat with the better guides.

    guides : volumes by contrast to begin with; interpolated and reconstructed stacks when None
    guess : what a learned prior makes of the slices, to be corrected
    """
    plans = plan(problem)
    base = filled(problem, cubic.solve(problem, context).volumes, context)
    guessed = {}
    if guess is not None:
        guessed = guess.volumes(base, base, context.stage(0.0, 0.2))
        context = context.stage(0.2, 1.0)
    if not plans and guessed:
        return tv.solve(
            problem, context, weight=weight, start={**base, **guessed},
            prediction=guessed, anchor=anchor, outer=3, inner=6,
        )  # fmt: skip
    if not plans:
        solution = tv.solve(problem, context, weight=weight, start=base)
        solution.notes["guided"] = "no two contrasts with different slice axes: joint total variation alone"
        return solution
    start = base
    if len(plans) < len(base):
        start = tv.solve(problem, context.quiet(), weight=weight, start=base, outer=3, inner=6).volumes
    generator = torch.Generator().manual_seed(problem.seed)
    learners = [
        Learner(problem, p, base[p.contrast], generator, steps, guess, guessed.get(p.contrast)) for p in plans
    ]
    guides = guides or {c: (start[c] if all(c != p.contrast for p in plans) else base[c]) for c in base}
    solution = Solution(guides)
    uncorrected = {c: x for c, x in guessed.items() if all(c != p.contrast for p in plans)}
    for n in range(rounds):
        part = context.stage(n / rounds, (n + 1) / rounds)
        predicted = dict(uncorrected)
        for m, learner in enumerate(learners):
            low, high = 0.8 * m / len(learners), 0.8 * (m + 1) / len(learners)
            predicted[learner.plan.contrast] = learner.predict(guides, part.stage(low, high))
        solution = tv.solve(
            problem, part.stage(0.8, 1.0), weight=weight, start={**guides, **predicted},
            prediction=predicted, anchor=anchor, outer=3, inner=6,
        )  # fmt: skip
        guides = solution.volumes
        problem.show(guides)
    solution.notes["guided"] = {p.contrast: list(p.guides) for p in plans}
    return solution


def filled(problem: Problem, base: dict[str, Tensor], context: Context) -> dict[str, Tensor]:
    """`base`, and a little joint TV where no stack of a contrast saw the voxel: darkness would mislead."""
    unseen = {c: torch.stack([_field_of_view(problem, o) for o in problem.of(c)]).sum(0) == 0 for c in base}
    if not any(each.any() for each in unseen.values()):
        return base
    smooth = tv.solve(problem, context.quiet(), start=base, outer=2, inner=6).volumes
    return {c: torch.where(unseen[c], smooth[c], x) for c, x in base.items()}


def _field_of_view(problem: Problem, observation: Observation) -> Tensor:
    """1 where a voxel lies in the stack's field of view, in a gap between its slices, too."""
    return cubic.interpolate(observation.values, observation.stack.volume.grid, problem.grid)[1]


def positions(slice_index: Tensor, missing: Tensor) -> Tensor:
    """`PatchNetwork`'s position (n, 4) of fractional slice indices (n,)."""
    own = torch.floor(slice_index + 0.5).long()
    flags = [missing[(own + d).clamp(0, len(missing) - 1)] for d in (-1, 0, 1)]
    return torch.stack([(slice_index + 0.5) % 1.0, *flags], dim=1)


class Learner:
    """The network of one contrast, kept between rounds so that the second starts from the first."""

    def __init__(
        self,
        problem: Problem,
        plan: Plan,
        base: Tensor,
        generator: torch.Generator,
        steps: int,
        guess: Guess | None,
        guessed: Tensor | None,
    ) -> None:
        self.plan, self._base, self._generator, self._steps = plan, base, generator, steps
        self._guess, self._guessed = guess, guessed
        observation = problem.of(plan.contrast)[0]
        self._step = float(problem.grid.spacing[plan.thick])
        self._gap = float(observation.stack.volume.spacing[observation.slice_axis]) / self._step
        self._profile = observation.operator.profile
        self._thickness = float(observation.stack.thickness or 0)
        transform = problem.grid.to(observation.stack.volume.grid)[observation.slice_axis]
        self._row = torch.tensor(transform, dtype=torch.float32, device=base.device)
        self._missing = missing_slices(observation)
        self._foreground = base > BACKGROUND
        self._measured = self._where_measured(observation, problem)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(problem.seed)
            channels = 1 + len(plan.guides) + (guessed is not None)
            self._network = PatchNetwork(channels).to(base.device)

    def _position(self, index: Tensor) -> Tensor:
        """Where voxels (n, 3) lie between the acquired slices: `PatchNetwork`'s position (n, 4)."""
        return positions(index.float() @ self._row[:3] + self._row[3], self._missing)

    def _where_measured(self, observation: Observation, problem: Problem) -> Tensor:
        """(n, 3) foreground voxels within half a voxel of the centre of an acquired slice."""
        seen, _ = cubic.interpolate(observation.weight, observation.stack.volume.grid, problem.grid)
        index = (self._foreground & (seen > 0.99)).nonzero()
        distance = (self._position(index)[:, 0] - 0.5).abs() * self._gap
        return index[distance <= 0.5]

    def _thin_to_thick(self, size: int, shift: float) -> tuple[Tensor, Tensor, Tensor]:
        """(size, size) matrix: slice an axis as the scanner did and interpolate back; positions; `facts`.

        Where the contrast misses slices, every fifth one is left out here too.
        """
        count = max(2, int((size - shift * self._gap) / self._gap))
        centres = (shift + np.arange(count) + 0.5) * self._gap - 0.5
        offsets, weights = axis_points(self._gap, 1.0, self._thickness / self._step, self._profile, 1 / 8)
        slices, inside = axis_matrix(centres, size, offsets, weights)
        slices /= np.maximum(inside, 1e-6)[:, None]
        missing = torch.zeros(count, device=self._base.device)
        if self._missing.any():
            for n in range(2, count - 1, hidden.EVERY):
                slices[n] = (slices[n - 1] + slices[n + 1]) / 2
                missing[n] = 1
        position = (np.arange(size) - centres[0]) / self._gap
        back, _ = axis_matrix(np.clip(position, -0.49, count - 0.51), count, np.zeros(1), np.ones(1))
        device = self._base.device
        where = torch.tensor(position).float().to(device)
        there = torch.tensor(centres).float().to(device)[missing == 0]
        distance = (torch.arange(size, device=device)[:, None] - there).abs().amin(1)
        told = facts(distance[None, :, None], self._gap, self._thickness / self._step)
        return torch.tensor(back @ slices).float().to(device), positions(where, missing), told

    def _blurred_through(self, volume: Tensor) -> Tensor:
        """A guide averaged over the slice profile along the thick axis, as the contrast itself is."""
        size = volume.shape[self.plan.thick]
        offsets, weights = axis_points(self._gap, 1.0, self._thickness / self._step, self._profile, 1 / 8)
        matrix, inside = axis_matrix(np.arange(size), size, offsets, weights)
        matrix /= np.maximum(inside, 1e-6)[:, None]
        return _along(
            torch.tensor(matrix, dtype=torch.float32, device=volume.device), volume, self.plan.thick
        )

    def predict(self, guides: dict[str, Tensor], context: Context) -> Tensor:
        """Train on in-plane data with these guides, then predict along the thick axis."""
        self._fit([guides[g] for g in self.plan.guides], context.stage(0.0, 0.6))
        seen = [self._base] if self._guessed is None else [self._base, self._guessed]
        patches = Patches(seen + [guides[g] for g in self.plan.guides], self.plan.thick, self.plan.across)
        out = seen[-1].clone()
        index = self._foreground.nonzero()
        text = f"Predicting {self.plan.contrast}"
        with torch.no_grad():
            for begin in range(0, len(index), AT_ONCE):
                context.progress(0.6 + 0.4 * begin / len(index), text)
                part = index[begin : begin + AT_ONCE]
                change = self._network(patches(part), self._position(part)) * self._network.target_scale
                out[part[:, 0], part[:, 1], part[:, 2]] += change
        return out

    def _fit(self, guides: list[Tensor], context: Context) -> None:
        fine, across = self.plan.fine, self.plan.across
        blurred = [self._blurred_through(g) for g in guides]
        shifts = max(2, round(self._gap))
        xs, where, targets = [], [], []
        border = int(np.ceil(self._gap))
        along = self._measured[:, fine]
        usable = self._measured[(along >= border) & (along < self._base.shape[fine] - border)]
        for n in range(shifts):
            context.check()
            matrix, position, told = self._thin_to_thick(self._base.shape[fine], n / shifts)
            degraded = _along(matrix, self._base, fine)
            seen, index = [degraded], usable
            if self._guess is not None:
                levels = self._levels(usable)
                seen.append(self._guess_in(levels, degraded, blurred, told, context))
                index = usable[torch.isin(usable[:, self.plan.thick], levels)]
            pick = torch.randperm(len(index), generator=self._generator)[: SAMPLES // shifts]
            index = index[pick.to(index.device)]
            i, j, k = index.T
            xs.append(Patches([*seen, *blurred], fine, across)(index))
            where.append(position[index[:, fine]])
            targets.append(self._base[i, j, k] - seen[-1][i, j, k])
        text = f"Learning {self.plan.contrast} from its own slices"
        train(
            self._network, torch.cat(xs), torch.cat(where), torch.cat(targets), self._steps,
            lambda fraction: context.progress(fraction, text), self._generator,
        )  # fmt: skip

    def _levels(self, usable: Tensor) -> Tensor:
        """Some of the planes that hold the measured voxels, others each time."""
        levels = torch.unique(usable[:, self.plan.thick])
        pick = torch.randperm(len(levels), generator=self._generator)[:GUESSED]
        return levels[pick.to(levels.device)]

    def _guess_in(
        self, levels: Tensor, degraded: Tensor, guides: list[Tensor], told: Tensor, context: Context
    ) -> Tensor:
        """`degraded` with the prior's guess in those planes; its rows are where it was degraded."""
        assert self._guess is not None
        order = (self.plan.thick, self.plan.fine, self.plan.across)
        back = [order.index(axis) for axis in range(3)]
        out = degraded.permute(order).clone()
        _, h, w = out.shape
        turned = {g: x.permute(order) for g, x in zip(self.plan.guides, guides, strict=True)}
        for level in levels.tolist():
            context.check()
            part = slice(level, level + 1), slice(0, h), slice(0, w)
            shown = {g: x[part] for g, x in turned.items()}
            out[part] = self._guess.planes(out[part], told.expand(1, CUT, h, w), shown, order, part)
        return out.permute(back).contiguous()


def _along(matrix: Tensor, volume: Tensor, axis: int) -> Tensor:
    """Multiply `matrix` along one axis of `volume`."""
    return torch.tensordot(matrix, volume, dims=([1], [axis])).movedim(0, axis).contiguous()
