"""The acquisition operator against integrals known in closed form, and against its own adjoint."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from phantoms import Waves, grid, random_directions

from mrinr.acquisition import Acquisition
from mrinr.geometry import Grid
from mrinr.superres.cubic import interpolate

PROFILES = ("box", "gaussian", "point")
SLOPE = np.array([1.3, -0.8, 2.1])  # intensity per RAS mm


def tilt(degrees: float, axis=(1.0, 2.0, 3.0)) -> np.ndarray:
    """3x3 rotation about `axis` (Rodrigues)."""
    u = np.array(axis) / np.linalg.norm(axis)
    a = np.deg2rad(degrees)
    cross = np.array([[0, -u[2], u[1]], [u[2], 0, -u[0]], [-u[1], u[0], 0]])
    return np.eye(3) + np.sin(a) * cross + (1 - np.cos(a)) * cross @ cross


def random_pair(seed: int) -> tuple[Grid, Grid, int, float]:
    """A target, a stack somewhere across it (left- or right-handed), its slice axis and thickness."""
    rng = np.random.default_rng(seed)
    target = grid(
        rng.integers(16, 24, 3), rng.uniform(0.8, 1.3, 3), random_directions(rng), rng.normal(size=3)
    )
    axis = int(rng.integers(3))
    spacing = rng.uniform(0.8, 2.2, 3)
    spacing[axis] = rng.uniform(3, 5)
    shape = np.ceil(18 / spacing).astype(int)
    stack = grid(shape, spacing, random_directions(rng), rng.normal(size=3) * 3)
    return target, stack, axis, float(rng.uniform(2, 4.5))


def ramp(where: Grid) -> np.ndarray:
    return where.world(np.moveaxis(np.indices(where.shape), 0, -1)) @ SLOPE + 200


def well_inside(target: Grid, stack: Grid, margin: float) -> np.ndarray:
    """(stack shape) bool: voxel centres at least `margin` mm inside the field of view of `target`."""
    world = stack.world(np.moveaxis(np.indices(stack.shape), 0, -1))
    edges = target.corners() @ target.directions
    along = world @ target.directions
    return ((along > edges.min(0) + margin) & (along < edges.max(0) - margin)).all(axis=-1)


def tensor(x: np.ndarray) -> torch.Tensor:
    return torch.tensor(x, dtype=torch.float32)


def dot(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() * b.double()).sum())


# the adjoint --------------------------------------------------------------------------------------------


def check_adjoint(operator: Acquisition, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(operator.target.shape, generator=generator)
    seen = operator.forward(x)
    y = seen + 0.5 * torch.randn(operator.stack.shape, generator=generator)
    forward, backward = dot(seen, y), dot(x, operator.adjoint(y))
    assert seen.abs().max() > 0.1
    assert abs(forward - backward) <= 1e-5 * abs(forward)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("seed", range(10))
def test_the_adjoint_of_oblique_slices_is_exact(seed, profile):
    target, stack, axis, thickness = random_pair(seed)
    operator = Acquisition(target, stack, axis, thickness, profile)
    assert not operator.aligned
    check_adjoint(operator, seed)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_adjoint_of_aligned_slices_is_exact(order, profile):
    stack = grid((18, 14, 6), (1.1, 1.6, 3.7), np.eye(3)[:, order] * [1, -1, 1], (0.3, -0.7, 0.2))
    operator = Acquisition(grid((22, 21, 20)), stack, 2, 3.0, profile)
    assert operator.aligned
    check_adjoint(operator, 0)


def test_hidden_and_outside_voxels_send_nothing_back():
    target = grid((20, 20, 20))
    stack = grid((16, 16, 8), (1.0, 1.0, 4.0))  # 32 mm of slices around 20 mm of target
    operator = Acquisition(target, stack, 2, 4.0)
    outside = operator.weight == 0
    assert outside.any()
    y = torch.zeros(stack.shape)
    y[outside] = 1e6
    assert operator.adjoint(y).abs().max() == 0
    assert operator.forward(torch.ones(target.shape))[outside].abs().max() == 0


# constants, positions, coverage -------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("seed", range(4))
def test_constants_stay_constant_up_to_the_border(seed, profile):
    target, stack, axis, thickness = random_pair(seed)
    aligned = grid(stack.shape, stack.spacing, target.directions, stack.corners().mean(0))
    for where in (stack, aligned):
        operator = Acquisition(target, where, axis, thickness, profile)
        seen = operator.forward(torch.full(target.shape, 7.0))
        np.testing.assert_allclose(seen, 7 * operator.weight, atol=1e-4)
        assert operator.weight.sum() > 0


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("seed", range(6))
def test_slices_lie_where_their_header_says(seed, profile):
    target, stack, axis, thickness = random_pair(seed)
    aligned = grid(stack.shape, stack.spacing, target.directions[:, [2, 0, 1]], stack.corners().mean(0))
    for where in (stack, aligned):
        operator = Acquisition(target, where, axis, thickness, profile)
        inside = well_inside(target, where, (1.1 if profile == "gaussian" else 0.5) * thickness + 1.2)
        seen = operator.forward(tensor(ramp(target))).numpy()
        assert inside.sum() > 3
        assert np.abs(seen - ramp(where))[inside].max() < 0.01


@pytest.mark.parametrize("shift", np.arange(0, 2, 0.25))
@pytest.mark.parametrize("degrees", [0, 20])
def test_a_slice_counts_when_half_of_its_thickness_is_inside(degrees, shift):
    target = grid((20, 20, 20))
    stack = grid((9, 9, 14), (1.0, 1.0, 2.0), tilt(degrees), (0.3, 0.1, shift))
    operator = Acquisition(target, stack, 2, 5.0, "box")
    centres = stack.world(np.moveaxis(np.indices(stack.shape), 0, -1))
    steps = (np.arange(200) + 0.5) / 200 * 5 - 2.5
    inside = np.mean([target.contains(centres + s * stack.directions[:, 2]) for s in steps], axis=0)
    clear = np.abs(inside - 0.5) > 0.11  # the oblique operator looks at five points of the profile
    np.testing.assert_array_equal(operator.weight.numpy()[clear], inside[clear] > 0.5)


# what slices see ----------------------------------------------------------------------------------------


def slanted_waves(length: float = 14.0) -> Waves:
    """Waves of `length` mm and more along each axis and between them, the strongest along S."""
    directions = np.array([[0, 0, 1], [0.3, 0.2, 1], [1, 0, 0.2], [0.2, 1, 0], [1, 1, 1]], dtype=float)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = length * np.array([1.0, 1.5, 1.0, 1.0, 2.0])
    return Waves(directions / lengths[:, None], np.array([30.0, 15, 10, 10, 10]), np.arange(5.0))


def gaussian_mean(waves: Waves, where: Grid, thickness: float) -> np.ndarray:
    """Exact slices of a Gaussian profile: a wave of frequency f is damped by exp(-2 (pi sigma f)^2)."""
    sigma = thickness / (2 * np.sqrt(2 * np.log(2)))
    damping = np.exp(-2 * (np.pi * sigma * (waves.frequencies @ where.directions[:, 2])) ** 2)
    return Waves(waves.frequencies, waves.amplitudes * damping, waves.phases, waves.offset).image(where)


# thickness against spacing: touching, gap, overlap, not whole
@pytest.mark.parametrize(("thickness", "spacing"), [(4.0, 4.0), (3.0, 5.0), (6.0, 3.0), (3.3, 3.3)])
@pytest.mark.parametrize("degrees", [0, 25])
@pytest.mark.parametrize("profile", PROFILES)
def test_slices_of_waves_are_their_integrals(profile, degrees, thickness, spacing):
    waves = slanted_waves()
    target = grid((44, 44, 44))
    stack = grid((20, 20, int(24 / spacing)), (1.0, 1.0, spacing), tilt(degrees), (0.37, -0.21, 0.43))
    operator = Acquisition(target, stack, 2, thickness, profile)
    assert operator.aligned == (degrees == 0)
    seen = operator.forward(torch.from_numpy(waves.image(target))).numpy()
    points = waves.image(stack)
    exact = {
        "box": waves.image(stack, thickness),
        "gaussian": gaussian_mean(waves, stack, thickness),
        "point": points,
    }[profile]
    inside = well_inside(target, stack, 1.2 * thickness + 1)
    error = np.abs(seen - exact)[inside].max()
    of_thickness = np.abs(points - waves.image(stack, thickness))[inside].max()
    assert inside.mean() > 0.5
    # aligned: cubic convolution, and a Gaussian that ends after 2.5 sigma; oblique: trilinear
    assert error < (0.5 if degrees else 0.2 if profile == "gaussian" else 0.1) * of_thickness


@pytest.mark.parametrize("degrees", [0, 25])
def test_voxels_coarser_in_plane_than_the_target_average_in_plane_too(degrees):
    waves = slanted_waves()
    target = grid((44, 44, 44))
    stack = grid((8, 14, 6), (3.5, 1.5, 4.0), tilt(degrees), (0.2, 0.3, -0.4))
    seen = Acquisition(target, stack, 2, 4.0).forward(torch.from_numpy(waves.image(target))).numpy()
    exact = waves.image(stack, thickness=4.0, in_plane=True)
    inside = well_inside(target, stack, 6)
    of_the_plane = np.abs(waves.image(stack, thickness=4.0) - exact)[inside].max()
    assert np.abs(seen - exact)[inside].max() < (0.1 if degrees == 0 else 0.5) * of_the_plane


def signed_permutations() -> list[np.ndarray]:
    signs = [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1)]
    return [np.eye(3)[:, order] * s for order in permutations(range(3)) for s in signs]


@pytest.mark.parametrize("profile", PROFILES)
def test_permuted_and_flipped_headers_store_the_same_slices(profile):
    """Left-handed ones among them. The plain stack has slices along S; the others store it otherwise."""
    target = grid((20, 22, 24), directions=tilt(13))
    plain = grid((14, 15, 5), (1.2, 1.0, 4.0), tilt(13), (0.4, 0.1, -0.3))
    x = torch.rand(target.shape, generator=torch.Generator().manual_seed(1))
    reference = Acquisition(target, plain, 2, 4.0, profile).forward(x)
    for axes in signed_permutations():
        order = np.abs(axes).argmax(axis=0)  # plain axis of each stored axis
        stored = grid(
            np.array(plain.shape)[order], plain.spacing[order], plain.directions @ axes, (0.4, 0.1, -0.3)
        )
        operator = Acquisition(target, stored, int(np.flatnonzero(order == 2)[0]), 4.0, profile)
        assert operator.aligned
        flipped = [n for n in range(3) if axes[:, n].sum() < 0]
        seen = operator.forward(x).flip(flipped).permute(*np.argsort(order).tolist())
        np.testing.assert_allclose(seen, reference, atol=2e-5)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_tenth_of_a_degree_of_tilt_takes_the_slow_path_and_hardly_changes_what_is_seen(profile):
    waves = Waves.random(seed=7, finest=14.0)
    target = grid((36, 36, 36))
    x = torch.from_numpy(waves.image(target))
    aligned, oblique = (
        Acquisition(target, grid((20, 20, 5), (1, 1, 4), tilt(degrees)), 2, 4.0, profile)
        for degrees in (0.0, 0.1)
    )
    assert aligned.aligned and not oblique.aligned
    assert (aligned.forward(x) - oblique.forward(x)).abs().max() < 0.03 * float(x.max() - x.min())


# interpolation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [0, 25])
def test_cubic_interpolation_is_exact_on_a_ramp_and_zero_where_the_source_ends(degrees):
    source = grid((20, 20, 8), (1.0, 1.0, 3.0), tilt(degrees), (1.2, 0.3, -0.6))
    target = grid((30, 30, 30))
    values, mask = interpolate(tensor(ramp(source)), source, target)
    world = target.world(np.moveaxis(np.indices(target.shape), 0, -1))
    np.testing.assert_array_equal(mask.numpy() > 0, source.contains(world))
    inner = well_inside(source, target, 6.0)
    assert inner.sum() > 100
    assert np.abs(values.numpy() - ramp(target))[inner].max() < 0.01
