"""Stacks of a simulated head that moved between scans are brought back onto the first one."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
import pytest
from phantoms import random_directions

from mrinr.context import Context
from mrinr.errors import Cancelled
from mrinr.geometry import Grid
from mrinr.interrupts import held_back
from mrinr.registration import align, displacement, rotation_degrees
from mrinr.simulation import Subject, acquire, bounding_grid, icbm, rotation, simulate_subject, slice_grid
from mrinr.volume import Stack, Volume

# how far off an alignment of 4-mm slices may be
MILLIMETRES, DEGREES = 0.6, 0.2


@pytest.fixture(scope="module")
def subject() -> Subject:
    return simulate_subject(icbm(), ["T1", "T2"], seed=3)


def turn_about_the_head(subject: Subject, degrees, shift) -> np.ndarray:
    centre = np.eye(4)
    centre[:3, 3] = bounding_grid(subject.brain).corners().mean(axis=0)
    return centre @ rotation(degrees, shift) @ np.linalg.inv(centre)


def scan(
    subject: Subject, contrast: str, plane: str, moved: np.ndarray | None = None, in_plane=2.0, **where
) -> Stack:
    """4-mm slices of a patient who has `moved` (4x4) since the header was made."""
    grid = slice_grid(bounding_grid(subject.brain), plane, 4.0, in_plane, **where)
    true = grid if moved is None else Grid(grid.shape, np.linalg.inv(moved) @ grid.affine)
    seen = acquire(subject.volumes[contrast], true, 4.0, noise=0.02, seed=len(plane))
    name = f"{contrast} {plane}"
    return Stack(Volume(seen.voxels, grid.affine, name, {"thickness": 4.0, "TR": 500}), contrast, 2)


def check_undone(motion: np.ndarray, moved: np.ndarray, stack: Stack) -> None:
    """`motion` takes the stack's header back to where the patient truly was."""
    left_over = motion @ moved
    assert displacement(left_over, stack.volume) < MILLIMETRES
    assert rotation_degrees(left_over) < DEGREES


MOTIONS = [((2, -1, 2), (2, -1.5, 1.5)), ((-1.5, 2.5, -1), (-2, 2, 1)), ((0, 0, 3), (0, 0, 0))]


@pytest.mark.parametrize(("degrees", "shift"), MOTIONS[:2])
def test_a_motion_of_three_millimetres_and_degrees_between_contrasts_is_undone(subject, degrees, shift):
    moved = turn_about_the_head(subject, degrees, shift)
    stacks = [scan(subject, "T1", "axial"), scan(subject, "T2", "coronal", moved)]
    assert rotation_degrees(moved) > 2.9
    (_, after), motions = align(stacks, Context())
    check_undone(motions[1], moved, stacks[1])
    np.testing.assert_allclose(after.volume.affine, motions[1] @ stacks[1].volume.affine, atol=1e-9)
    # nothing but its place has changed
    assert after.volume.voxels is stacks[1].volume.voxels
    for field in ("contrast", "slice_axis", "thickness", "profile"):
        assert getattr(after, field) == getattr(stacks[1], field)
    assert (after.volume.name, after.volume.meta) == (stacks[1].volume.name, stacks[1].volume.meta)


def test_the_first_stack_stays_and_all_others_come_to_it(subject):
    first, second = (turn_about_the_head(subject, *motion) for motion in MOTIONS[:2])
    stacks = [
        scan(subject, "T2", "sagittal", first),
        scan(subject, "T1", "axial"),
        scan(subject, "T1", "coronal", second),
    ]
    aligned, motions = align(stacks, Context())
    np.testing.assert_array_equal(motions[0], np.eye(4))
    assert aligned[0] is stacks[0]
    # the first stack's space is the patient's moved by `first`
    check_undone(np.linalg.inv(first) @ motions[1], np.eye(4), stacks[1])
    check_undone(np.linalg.inv(first) @ motions[2], second, stacks[2])


def test_headers_that_fit_to_a_small_part_of_a_slice_are_trusted_to_the_last_digit(subject):
    stacks = [
        scan(subject, "T1", "axial", in_plane=1.0),
        scan(subject, "T2", "coronal", degrees=(12, -7, 9)),
        scan(subject, "T1", "sagittal", in_plane=1.0),
        scan(
            subject, "T2", "coronal", turn_about_the_head(subject, (0, 0, 0), (0.5, 0.4, 0.3)), in_plane=1.0
        ),
    ]
    context = Context()
    aligned, motions = align(stacks, context)
    for before, after, motion in zip(stacks, aligned, motions, strict=True):
        np.testing.assert_array_equal(motion, np.eye(4))
        np.testing.assert_array_equal(before.volume.affine, after.volume.affine)
    # what mutual information found may be said, as doubt; it lies near the limit for saying so
    assert all(warning.endswith("so its header is trusted.") for warning in context.warnings)


def test_the_warning_says_which_stack_moved_how_far_and_what_to_do(subject):
    moved = turn_about_the_head(subject, *MOTIONS[2])
    stacks = [scan(subject, "T1", "axial"), scan(subject, "T2", "coronal", moved)]
    context = Context()
    motions = align(stacks, context)[1]
    np.testing.assert_array_equal(motions, align(stacks, Context())[1], "it differs from run to run")
    (sentence,) = context.warnings
    assert sentence.startswith("T2 coronal was moved by ")
    assert "(3.0 degrees) to match T1 axial" in sentence or "(2.9 degrees)" in sentence
    assert sentence.endswith("turn alignment off if the headers are right.")


def test_stacks_of_different_things_are_left_where_they_are_with_a_warning_or_none():
    rng = np.random.default_rng(0)
    affine = np.diag([2.0, 2.0, 4.0, 1.0])
    noise = [Stack(Volume(rng.random((24, 24, 12)), affine, f"noise {n}")) for n in range(2)]
    context = Context()
    _, motions = align(noise, context)
    for motion in motions:
        np.testing.assert_allclose(motion[:3, :3].T @ motion[:3, :3], np.eye(3), atol=1e-9)
        assert displacement(motion, noise[0].volume) < 60


def test_without_simpleitk_headers_are_trusted_and_the_person_is_told(subject, monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)  # what an import finds when it is not installed
    moved = turn_about_the_head(subject, *MOTIONS[0])
    context = Context()
    _, motions = align([scan(subject, "T1", "axial"), scan(subject, "T2", "coronal", moved)], context)
    np.testing.assert_array_equal(motions[1], np.eye(4))
    (sentence,) = context.warnings
    assert sentence == "SimpleITK is missing, so the stacks were not aligned; their headers are trusted."


@pytest.mark.parametrize("after", [2, 12])
def test_cancel_stops_an_alignment_that_is_under_way(subject, after):
    asked = []

    def cancelled() -> bool:
        asked.append(True)
        return len(asked) > after

    moved = turn_about_the_head(subject, *MOTIONS[0])
    with pytest.raises(Cancelled):
        align(
            [scan(subject, "T1", "axial"), scan(subject, "T2", "coronal", moved)],
            Context(cancelled=cancelled),
        )
    assert len(asked) <= after + 4, "it went on after Cancel"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_an_alignment_and_is_not_swallowed_by_simpleitk(subject, monkeypatch, capfd, number):
    monkeypatch.setattr("mrinr.registration.TRUST_HEADER_BELOW", 0)
    stacks = [scan(subject, "T1", "axial"), scan(subject, "T2", "coronal")]
    asked = []

    def interrupted_at_the_tenth() -> bool:
        asked.append(1)
        if len(asked) == 10:
            os.kill(os.getpid(), number)
        return False

    heard = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            align(stacks, Context(cancelled=interrupted_at_the_tenth))
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, heard)
    assert len(asked) < 15 and capfd.readouterr().err == ""


def test_ctrl_c_comes_through_even_where_the_work_then_fails():
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), held_back() as interrupted:
            os.kill(os.getpid(), signal.SIGINT)
            assert interrupted()
            raise RuntimeError("stopped")
    finally:
        signal.signal(signal.SIGINT, heard)


# measures of a motion -----------------------------------------------------------------------------------


def test_displacement_is_the_distance_that_points_move():
    volume = Volume(np.zeros((40, 40, 40)), np.eye(4))
    shift = np.eye(4)
    shift[:3, 3] = [3, 0, 4]
    assert abs(displacement(shift, volume) - 5) < 1e-9
    centre = volume.grid.world(np.full(3, 19.5))
    turn = rotation((0, 0, 60))
    turn[:3, 3] = centre - turn[:3, :3] @ centre
    # of six points 10 mm from the centre, four go once around a sixth of a circle: a chord of 10 mm
    assert abs(displacement(turn, volume) - 4 * 10 / 6) < 1e-9


def test_degrees_of_a_rotation_do_not_depend_on_its_axis():
    q = random_directions(np.random.default_rng(4))
    for degrees in (0.0, 3.0, 90.0, 179.0):
        motion = rotation((degrees, 0, 0))
        motion[:3, :3] = q @ motion[:3, :3] @ q.T
        assert abs(rotation_degrees(motion) - degrees) < 1e-5
