"""Rotation algebra against SciPy's Rotation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from biopose_live.training.motion import rotation as r

RNG = np.random.default_rng(0)
RANDOM = Rotation.random(200, random_state=RNG)
HALF_TURNS = Rotation.from_rotvec(np.pi * r.normalise(RNG.normal(size=(20, 3))))


def test_axis_angle_to_matrix_matches_scipy_down_to_zero_angle() -> None:
    vectors = np.concatenate([RANDOM.as_rotvec(), np.zeros((1, 3)), 1e-9 * np.eye(3), 3 * RNG.normal(size=(20, 3))])
    np.testing.assert_allclose(r.axis_angle_to_matrix(vectors), Rotation.from_rotvec(vectors).as_matrix(), atol=1e-12)


@pytest.mark.parametrize("rotations", [RANDOM, HALF_TURNS, Rotation.identity(2)])
def test_matrix_to_axis_angle_gives_the_same_rotation(rotations: Rotation) -> None:
    vectors = r.matrix_to_axis_angle(rotations.as_matrix())
    assert (np.linalg.norm(vectors, axis=-1) <= np.pi + 1e-9).all()
    np.testing.assert_allclose((Rotation.from_rotvec(vectors).inv() * rotations).magnitude(), 0, atol=1e-7)


def test_quaternions_match_scipy() -> None:
    scalar_first = np.roll(RANDOM.as_quat(canonical=True), 1, axis=-1)
    np.testing.assert_allclose(r.matrix_to_quaternion(RANDOM.as_matrix()), scalar_first, atol=1e-12)
    np.testing.assert_allclose(r.quaternion_to_matrix(-3 * scalar_first), RANDOM.as_matrix(), atol=1e-12)


@pytest.mark.parametrize("axis", "xyz")
def test_axis_rotation_matches_scipy(axis: str) -> None:
    angles = RNG.normal(size=5)
    np.testing.assert_allclose(
        r.axis_rotation(axis, angles), Rotation.from_euler(axis, angles[:, None]).as_matrix(), atol=1e-12
    )


def test_interpolate_matches_scipys_slerp() -> None:
    pair = RANDOM[:2]
    at = np.linspace(0, 1, 7)
    start, end = (np.tile(m, (7, 1, 1)) for m in pair.as_matrix())
    np.testing.assert_allclose(r.interpolate(start, end, at), Slerp([0, 1], pair)(at).as_matrix(), atol=1e-9)


@given(st.floats(-3.1, 3.1), st.integers(0, 199))
def test_twist_angle_reads_back_a_twist_after_a_swing(angle: float, number: int) -> None:
    axis = r.normalise(RANDOM[number].as_rotvec())
    across = r.orthogonal_part(np.array([0.3, -0.8, 0.5]), axis)
    swing = Rotation.from_rotvec(0.9 * across)
    turned = (swing * Rotation.from_rotvec(angle * axis)).as_matrix()
    assert np.angle(np.exp(1j * (r.twist_angle(turned, axis) - angle))) == pytest.approx(0, abs=1e-6)


def test_frame_is_right_handed_and_holds_both_directions() -> None:
    first, second = np.array([0.0, 2.0, 0.0]), np.array([1.0, 5.0, 0.0])
    np.testing.assert_allclose(r.frame(first, second), np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]]), atol=1e-12)
