"""Grids: where voxels are, whatever way the axes run; geometry that cannot be trusted is refused."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import grid, random_directions
from scipy.integrate import quad

from mrinr.errors import InputError
from mrinr.geometry import Grid, check_affine, profile_points
from mrinr.superres.grid import crop_to_roi, target_grid
from mrinr.volume import Stack, Volume


def oblique(seed: int = 0, shape=(20, 30, 12), spacing=(0.8, 1.1, 4.0)) -> Grid:
    """Odd seeds are left-handed."""
    rng = np.random.default_rng(seed)
    directions = random_directions(rng)
    if (np.linalg.det(directions) < 0) != bool(seed % 2):
        directions[:, 0] *= -1
    return grid(shape, spacing, directions, rng.normal(size=3) * 40)


GRIDS = [oblique(seed) for seed in range(6)]


def edges_of(g: Grid) -> np.ndarray:
    """(3, 2) mm: where the field of view begins and ends along each axis's own direction."""
    along = g.corners() @ g.directions
    return np.stack([along.min(axis=0), along.max(axis=0)], axis=1)


# where voxels are ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("g", GRIDS)
def test_world_is_the_affine_applied_point_by_point(g):
    for index in [(0, 0, 0), (3, 0, 0), (1, 2, 3), (-0.5, 7.25, 11)]:
        expected = (g.affine @ [*index, 1.0])[:3]
        np.testing.assert_allclose(g.world(np.array(index)), expected, atol=1e-9)


@pytest.mark.parametrize("g", GRIDS)
def test_spacing_and_directions_make_up_the_affine(g):
    np.testing.assert_allclose(g.directions * g.spacing, g.affine[:3, :3], atol=1e-12)
    np.testing.assert_allclose(g.directions.T @ g.directions, np.eye(3), atol=1e-9)


@pytest.mark.parametrize("g", GRIDS)
def test_corners_are_voxel_edges_and_not_centres(g):
    np.testing.assert_allclose(np.diff(edges_of(g), axis=1)[:, 0], np.array(g.shape) * g.spacing)
    middle = g.world((np.array(g.shape) - 1) / 2)
    np.testing.assert_allclose(g.corners().mean(axis=0), middle, atol=1e-9)


def test_corners_of_one_voxel_in_plain_numbers():
    g = Grid((1, 1, 1), np.diag([2.0, 2.0, 6.0, 1.0]))
    assert sorted(map(tuple, g.corners())) == [(r, a, s) for r in (-1, 1) for a in (-1, 1) for s in (-3, 3)]


def test_an_index_goes_to_the_same_point_of_another_grid():
    a, b = GRIDS[0], GRIDS[3]
    index = np.array([4.0, 5.5, 6.0])
    in_b = (a.to(b) @ np.r_[index, 1])[:3]
    np.testing.assert_allclose(b.world(in_b), a.world(index), atol=1e-9)


def test_a_grid_contains_what_lies_between_its_corners():
    for g in GRIDS:
        middle = g.corners().mean(axis=0)
        assert g.contains(middle + 0.999 * (g.corners() - middle)).all()
        assert not g.contains(middle + 1.001 * (g.corners() - middle)).any()


def test_grids_are_the_same_when_shape_and_corners_are():
    g = GRIDS[0]
    nudged, moved = g.affine.copy(), g.affine.copy()
    nudged[0, 3] += 5e-4
    moved[0, 3] += 5e-3
    assert g.same_as(Grid(g.shape, nudged))
    assert not g.same_as(Grid(g.shape, moved))
    assert not g.same_as(Grid((20, 30, 13), g.affine))


# other grids from one -----------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.9, 1.3), (5.0, 5.0, 5.0), (0.33, 2.0, 4.0)])
@pytest.mark.parametrize("g", GRIDS)
def test_another_spacing_keeps_axes_and_centre_and_covers_the_field_of_view(g, spacing):
    new = g.with_spacing(spacing)
    np.testing.assert_allclose(new.spacing, spacing)
    np.testing.assert_allclose(new.directions, g.directions, atol=1e-9)
    np.testing.assert_allclose(new.corners().mean(axis=0), g.corners().mean(axis=0), atol=1e-9)
    grown = np.diff(edges_of(new), axis=1)[:, 0] - np.diff(edges_of(g), axis=1)[:, 0]
    assert (grown > -0.0501 * np.array(spacing)).all(), "a twentieth of a voxel may be missing"
    assert (grown < np.array(spacing)).all(), "no voxel more than needed"


def test_its_own_spacing_gives_the_grid_itself():
    for g in GRIDS:
        assert g.with_spacing(tuple(g.spacing)).same_as(g, 1e-9)


def test_voxels_stay_where_they_are_in_a_crop():
    g = GRIDS[1]
    part = g.crop((2, 5, 1), (9, 25, 8))
    assert part.shape == (7, 20, 7)
    np.testing.assert_allclose(part.world(np.array([1, 2, 3])), g.world(np.array([3, 7, 4])), atol=1e-9)


@pytest.mark.parametrize("g", GRIDS)
def test_a_region_of_interest_is_held_by_its_crop_and_hardly_exceeded(g):
    g = g.with_spacing((1.0, 1.0, 1.0))
    middle = g.corners().mean(axis=0)
    box = np.stack([middle - 6, middle + 6], axis=1)
    part = crop_to_roi(g, box.ravel())
    corners = np.array([(r, a, s) for r in box[0] for a in box[1] for s in box[2]])
    seen = g.contains(corners)
    assert part.contains(corners[seen]).all()
    reach = np.abs((corners - middle) @ g.directions).max(axis=0)
    assert (np.array(part.shape) <= 2 * reach + 2).all()
    assert np.allclose(np.linalg.inv(g.affine) @ part.affine, np.rint(np.linalg.inv(g.affine) @ part.affine))


def test_the_target_takes_the_finest_in_plane_spacing_but_never_a_slice_spacing():
    axial = Stack(Volume(np.zeros((40, 50, 10)), np.diag([0.9, 0.8, 4.0, 1.0]), "axial"), "T1")
    overlapping = Stack(
        Volume(np.zeros((10, 50, 80)), np.diag([0.5, 1.0, 1.0, 1.0]), "sagittal"), "T2", slice_axis=0
    )
    target = target_grid([axial, overlapping])
    np.testing.assert_allclose(target.spacing, 0.8)
    assert target.shape == (45, 50, 50)


@pytest.mark.parametrize("spacing", ["fine", 0, -1, 0.01, 30, float("nan"), None, [1, 1, 1]])
def test_a_spacing_that_is_no_sensible_length_is_refused_in_a_sentence(spacing):
    stack = Stack(Volume(np.zeros((40, 50, 10)), np.diag([0.9, 0.8, 4.0, 1.0])))
    with pytest.raises(InputError, match="spacing must be auto or"):
        target_grid([stack], spacing)


@pytest.mark.parametrize(
    "roi",
    [
        (0, 10, 0, 10),
        (0, 10, 0, 10, 0, float("nan")),
        "everything",
        (500, 520, 0, 20, 0, 20),
        (20, 0, 20, 0, 20, 0),
    ],
)
def test_a_region_that_is_no_box_in_the_field_of_view_is_refused_in_a_sentence(roi):
    with pytest.raises(InputError, match="region of interest"):
        crop_to_roi(grid((60, 60, 60)), roi)


# orientation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [1, -1])
def test_slices_are_named_by_the_direction_they_are_stacked_along(flip):
    names = {0: "sagittal", 1: "coronal", 2: "axial"}
    for along in range(3):
        directions = flip * np.roll(np.eye(3), along - 2, axis=1)[:, [1, 0, 2]]
        g = grid((5, 6, 7), directions=directions)
        stacked = int(np.abs(directions[:, 2]).argmax())
        assert g.orientation(2) == names[stacked]


def test_a_tilted_stack_has_the_name_of_the_nearest_plane():
    for degrees, name in [(0, "axial"), (30, "axial"), (44, "axial"), (46, "coronal"), (90, "coronal")]:
        a = np.deg2rad(degrees)
        directions = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        assert grid((5, 6, 7), directions=directions).orientation(2) == name


# refusals -----------------------------------------------------------------------------------------------


def with_columns(*columns) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.array(columns, dtype=float).T
    return affine


@pytest.mark.parametrize(
    ("affine", "why"),
    [
        (with_columns((1, 0, 0), (0, 1, 0), (0, 0, 0)), "singular"),
        (with_columns((1, 0, 0), (1, 0, 0), (0, 0, 1)), "singular"),
        (with_columns((1, 0, 0), (0, 1, 0), (1, 1, 0)), "singular"),
        (with_columns((1, 0, 0), (0, 1, 0), (0, 0.05, 1)), "sheared"),
        (with_columns((1, 0, 0), (0.5, 1, 0), (0, 0, 4)), "sheared"),
        (np.full((4, 4), np.nan), "no valid geometry"),
        (np.eye(3), "no valid geometry"),
    ],
)
def test_geometry_that_cannot_be_trusted_is_refused_with_the_name_of_the_volume(affine, why):
    with pytest.raises(InputError, match=f"my scan has .*{why}"):
        check_affine(affine, "my scan")
    with pytest.raises(InputError, match=why):
        Volume(np.zeros((4, 4, 4)), affine, "my scan")


def test_rounding_in_a_header_is_no_shear():
    for g in GRIDS:
        rounded = np.round(g.affine, 4)
        np.testing.assert_array_equal(check_affine(rounded, "a rounded header"), rounded)


# slice profiles -----------------------------------------------------------------------------------------


def gaussian(x: float) -> float:
    """Full width at half maximum 5."""
    return 2.0 ** -((2 * x / 5) ** 2)


@pytest.mark.parametrize("length", [6.0, 9.0, 14.0, 40.0])
def test_profiles_average_a_wave_as_their_integrals_do(length):
    step = 0.25
    for profile, shape, half in (("box", lambda x: 1.0, 2.5), ("gaussian", gaussian, 20.0)):
        offsets, weights = profile_points(profile, 5.0, step)
        assert abs(weights.sum() - 1) < 1e-12 and abs(weights @ offsets) < 1e-12
        assert np.diff(offsets).max() <= step + 1e-9

        def wave(x: float, shape=shape) -> float:
            return shape(x) * np.cos(2 * np.pi * x / length)

        expected = quad(wave, -half, half)[0] / quad(shape, -half, half)[0]
        assert abs(weights @ np.cos(2 * np.pi * offsets / length) - expected) < 0.02


def test_a_point_profile_looks_at_the_slice_centre_only():
    offsets, weights = profile_points("point", 5.0, 0.5)
    assert offsets.tolist() == [0.0] and weights.tolist() == [1.0]


def test_an_unknown_profile_is_refused():
    with pytest.raises(InputError, match="'triangle' is not known"):
        profile_points("triangle", 5.0, 0.5)
