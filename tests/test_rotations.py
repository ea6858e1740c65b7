"""The exponential and logarithm of SO(3) against SciPy's Rotation, also near no turn and near half a turn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from biopose_live.rotations import from_six, to_matrix, to_vector

unit = st.floats(-1.0, 1.0)
axes = st.tuples(unit, unit, unit).filter(lambda v: np.linalg.norm(v) > 0.05)
angles = st.one_of(
    st.floats(0.0, math.pi),
    st.floats(0.0, 1e-6),
    st.floats(0.0, 1e-5).map(lambda d: math.pi - d),
    st.sampled_from([0.0, 1e-300, 1e-9, 1e-8, 1e-7, math.pi / 2, math.pi]),
)


def turn(axis: tuple[float, float, float], angle: float) -> np.ndarray:
    return np.array(axis) / np.linalg.norm(axis) * angle


@given(axes, st.one_of(angles, st.floats(math.pi, 20.0)))
def test_exponential_is_scipys(axis: tuple[float, float, float], angle: float) -> None:
    vector = turn(axis, angle)
    np.testing.assert_allclose(to_matrix(vector), Rotation.from_rotvec(vector).as_matrix(), atol=1e-12)


@given(axes, angles)
def test_logarithm_turns_back_and_is_at_most_half_a_turn(axis: tuple[float, float, float], angle: float) -> None:
    matrix = Rotation.from_rotvec(turn(axis, angle)).as_matrix()
    vector = to_vector(matrix)
    assert np.linalg.norm(vector) <= math.pi + 1e-12
    away = Rotation.from_matrix(matrix).inv() * Rotation.from_rotvec(vector)
    assert away.magnitude() < 5e-6  # the sign of an axis within 1e-6 of half a turn is anyone's


@given(axes, st.floats(1e-7, math.pi - 1e-4))
def test_logarithm_is_scipys(axis: tuple[float, float, float], angle: float) -> None:
    matrix = Rotation.from_rotvec(turn(axis, angle)).as_matrix()
    np.testing.assert_allclose(to_vector(matrix), Rotation.from_matrix(matrix).as_rotvec(), atol=1e-9)


@pytest.mark.parametrize("axis", [*np.eye(3), *-np.eye(3), [1, 1, 0], [0, -1, 1], [-1, 2, 3]])
def test_logarithm_of_exactly_half_a_turn(axis: np.ndarray) -> None:
    n = np.array(axis, float) / np.linalg.norm(axis)
    vector = to_vector(2.0 * np.outer(n, n) - np.eye(3))
    assert np.linalg.norm(vector) == pytest.approx(math.pi)
    assert abs(vector @ n) == pytest.approx(math.pi)


@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3), (2, 0, 3)])
def test_any_leading_shape(shape: tuple[int, ...]) -> None:
    vectors = np.random.default_rng(1).normal(size=(*shape, 3))
    matrices = to_matrix(vectors)
    assert matrices.shape == (*shape, 3, 3)
    np.testing.assert_allclose(to_vector(matrices), vectors, atol=1e-9)


def test_float32_and_strided_input() -> None:
    vectors = np.random.default_rng(2).normal(size=(6, 4)).astype(np.float32)[::2, 1:]
    expected = Rotation.from_rotvec(vectors).as_matrix()
    np.testing.assert_allclose(to_matrix(vectors), expected, atol=1e-6)
    np.testing.assert_allclose(to_vector(np.swapaxes(expected, 1, 2)), -vectors, atol=1e-6)


def test_six_numbers_give_the_rotation_whose_columns_they_are() -> None:
    matrices = Rotation.random(50, rng=np.random.default_rng(3)).as_matrix()
    six = np.swapaxes(matrices[:, :, :2], 1, 2).reshape(-1, 6)
    np.testing.assert_allclose(from_six(six), matrices, atol=1e-12)


@given(st.lists(st.floats(-10, 10), min_size=6, max_size=6))
def test_six_numbers_are_made_square(six: list[float]) -> None:
    a, b = np.array(six[:3]), np.array(six[3:])
    if np.linalg.norm(np.cross(a, b)) < 1e-3:
        return
    matrix = from_six(np.array(six))
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(3), atol=1e-9)
    assert np.linalg.det(matrix) == pytest.approx(1.0)
    np.testing.assert_allclose(matrix[:, 0], a / np.linalg.norm(a), atol=1e-12)
    assert matrix[:, 1] @ b > 0  # Gram-Schmidt: the second column leans towards the second vector
    np.testing.assert_allclose(matrix[:, 2] @ b, 0.0, atol=1e-9)
