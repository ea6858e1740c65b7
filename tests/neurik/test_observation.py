"""What NeurIK sees of a frame, with SciPy's rotations as the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from biopose_live.body.model import BodyModel
from biopose_live.neurik.mean_person import standing_observer
from biopose_live.neurik.observation import (
    ANGLED,
    FRAMES,
    MOTION,
    MOVE_RATE,
    OFFSETS,
    TURN_RATE,
    TURNS,
    Observer,
    about_y,
    heading_of,
    motion,
)
from biopose_live.skeleton.model import SkeletonModel

ANGLES = st.floats(-np.pi, np.pi)


@pytest.fixture(scope="module")
def observer(body: BodyModel, skeleton: SkeletonModel) -> Observer:
    return standing_observer(body, skeleton)


def parts(turns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """-> rotations (1 + turns, 3, 3), angles, offsets."""
    rotations, angles, offsets = np.split(turns, [9 * (len(TURNS) + 1), 9 * (len(TURNS) + 1) + 3 * len(ANGLED)])
    return rotations.reshape(-1, 3, 3), angles.reshape(-1, 3), offsets.reshape(-1, 3)


def markers_of(observer: Observer, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    tilt = Rotation.from_rotvec(0.3 * rng.normal(size=3)).as_matrix()
    return observer.standing @ tilt.T + 0.03 * rng.normal(size=observer.standing.shape)


def test_the_standing_person_is_told_without_a_turn(observer: Observer) -> None:
    seen = observer(observer.standing)
    rotations, angles, _ = parts(seen.turns)
    np.testing.assert_allclose(rotations, np.tile(np.eye(3), (len(rotations), 1, 1)), atol=1e-6)
    np.testing.assert_allclose(angles, 0.0, atol=1e-6)
    assert seen.heading == pytest.approx(0.0, abs=1e-9)
    assert len(seen.turns) == Observer.features
    assert len(parts(seen.turns)[2]) == len(OFFSETS)


@settings(max_examples=30, deadline=None)
@given(ANGLES, st.floats(-20, 20), st.floats(-20, 20), st.integers(0, 5))
def test_where_a_person_stands_and_faces_changes_nothing_that_is_seen(
    observer: Observer, angle: float, x: float, z: float, seed: int
) -> None:
    markers = markers_of(observer, seed)
    turn = Rotation.from_rotvec([0.0, angle, 0.0]).as_matrix()
    here, there = observer(markers), observer(markers @ turn.T + np.array([x, 0.4, z]))
    np.testing.assert_allclose(there.markers, here.markers, atol=2e-5)
    np.testing.assert_allclose(there.turns, here.turns, atol=2e-5)
    off = there.heading - here.heading - angle
    assert np.remainder(off + np.pi, 2 * np.pi) - np.pi == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(there.origin, turn @ here.origin + [x, 0.4, z], atol=1e-9)


@pytest.mark.parametrize("segment", ["Rtibia", "Lfoot", "Rradius", "head", "Lhand"])
def test_a_segment_that_turns_alone_is_told_as_scipy_tells_it(observer: Observer, segment: str) -> None:
    rng = np.random.default_rng(3)
    own = {name for ends in FRAMES[segment] for side in ends for name in side}
    rows = [observer.names.index(name) for name in own]
    number = next(i for i, (_, child) in enumerate(TURNS) if child == segment)
    for turn in Rotation.from_rotvec(rng.uniform(-0.8, 0.8, (5, 3))):
        markers = observer.standing.copy()
        centre = markers[rows].mean(0)
        markers[rows] = turn.apply(markers[rows] - centre) + centre
        rotations, angles, _ = parts(observer(markers).turns)
        np.testing.assert_allclose(rotations[1 + number], turn.as_matrix(), atol=1e-5)
        np.testing.assert_allclose(angles[ANGLED.index(number)], turn.as_euler("ZXY"), atol=1e-5)


def test_many_frames_at_once_are_those_one_by_one(observer: Observer) -> None:
    markers = np.array([[markers_of(observer, 3 * n + k) for k in range(3)] for n in range(2)])
    together, alone = observer(markers), observer(markers[1, 2])
    np.testing.assert_allclose(together.markers[1, 2], alone.markers, atol=1e-6)
    np.testing.assert_allclose(together.turns[1, 2], alone.turns, atol=1e-6)
    assert together.turns.shape == (2, 3, Observer.features)


def test_markers_that_fall_together_give_finite_numbers(observer: Observer) -> None:
    seen = observer(np.zeros_like(observer.standing))
    assert np.isfinite(seen.turns).all()
    assert np.isfinite(seen.markers).all()


@given(ANGLES)
def test_the_heading_of_a_turn_about_the_vertical_is_its_angle(angle: float) -> None:
    np.testing.assert_allclose(about_y(np.array(angle)), Rotation.from_rotvec([0, angle, 0]).as_matrix(), atol=1e-12)
    assert np.cos(heading_of(about_y(np.array(angle))) - angle) == pytest.approx(1.0)


def test_the_heading_is_the_nearest_turn_about_the_vertical() -> None:
    grid = np.radians(np.arange(-180, 180, 0.05))
    for rotation in Rotation.random(10, rng=np.random.default_rng(1)):
        angle = np.array(
            [(rotation.inv() * turn).magnitude() for turn in Rotation.from_rotvec(grid[:, None] * [0, 1, 0])]
        )
        assert np.cos(heading_of(rotation.as_matrix()) - grid[angle.argmin()]) > np.cos(np.radians(0.1))


def test_motion_is_told_from_the_person_and_by_the_second() -> None:
    heading, before = np.array(-3.1), np.array(3.1)  # over the back
    turn = Rotation.from_rotvec([0, -3.1, 0])
    moved = motion(heading, turn.apply([0.06, 0.0, 0.0]), before, np.zeros(3), np.array(0.1))
    assert len(moved) == MOTION
    assert moved[0] == pytest.approx(TURN_RATE * (2 * np.pi - 6.2) / 0.1, abs=1e-6)
    np.testing.assert_allclose(moved[1:4], [MOVE_RATE * 0.6, 0.0, 0.0], atol=1e-6)
    assert moved[4] == pytest.approx(np.log(3.0))
    np.testing.assert_allclose(moved[5:], [np.cos(-3.1), np.sin(-3.1)], atol=1e-6)
    first = motion(heading, np.ones(3), before, np.zeros(3), np.array(0.0))
    np.testing.assert_allclose(first[:5], 0.0)
    assert np.abs(motion(heading, np.full(3, 1e6), before, np.zeros(3), np.array(1e-5))).max() <= 4.0


def test_a_marker_that_is_needed_must_be_there(observer: Observer) -> None:
    with pytest.raises(KeyError, match="RASI"):
        Observer(tuple(name for name in observer.names if name != "RASI"), observer.standing[1:])
