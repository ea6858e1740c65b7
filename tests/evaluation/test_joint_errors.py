"""MPJPE and PA-MPJPE against SciPy's Procrustes and rotation fits, and cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.transform import Rotation

from biopose_live.evaluation.joint_errors import LIMB_JOINTS, JointErrors, joint_errors, pooled, similarity_aligned


def body(seed: int, frames: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(frames, len(LIMB_JOINTS), 3)) * [0.3, 0.6, 0.2] + [0.0, 0.1, 3.0]


@given(st.integers(0, 10_000), st.floats(0.2, 5.0))
def test_a_similarity_transform_costs_nothing(seed: int, scale: float) -> None:
    truth = body(seed)
    rotation = Rotation.random(random_state=seed).as_matrix()
    moved = scale * truth @ rotation.T + [1.0, -2.0, 0.5]
    np.testing.assert_allclose(similarity_aligned(moved, truth), truth, atol=1e-9)
    assert joint_errors(moved, truth).pa_mpjpe.max() < 1e-6


@given(st.integers(0, 10_000))
def test_alignment_is_scipys(seed: int) -> None:
    truth, guess = body(seed, 1)[0], body(seed + 1, 1)[0]
    a, b = guess - guess.mean(0), truth - truth.mean(0)
    rotation, _ = Rotation.align_vectors(b, a)
    turned = rotation.apply(a)
    scale = (turned * b).sum() / (a**2).sum()
    np.testing.assert_allclose(similarity_aligned(guess, truth), scale * turned + truth.mean(0), atol=1e-6)


def test_alignment_is_scipys_procrustes_where_no_reflection_is_wanted() -> None:
    truth = body(1, 1)[0]
    guess = truth + np.random.default_rng(2).normal(size=truth.shape) * 0.05
    a, b = guess - guess.mean(0), truth - truth.mean(0)
    rotation, values = orthogonal_procrustes(a, b)
    assert np.linalg.det(rotation) > 0
    expected = values / (a**2).sum() * a @ rotation + truth.mean(0)
    np.testing.assert_allclose(similarity_aligned(guess, truth), expected, atol=1e-9)


def test_a_mirrored_body_is_not_aligned_by_reflection() -> None:
    truth = body(3)
    assert joint_errors(truth * [-1.0, 1.0, 1.0], truth).pa_mpjpe.min() > 20.0


def test_points_in_one_place_are_aligned_to_the_middle() -> None:
    truth = body(4)
    aligned = similarity_aligned(np.ones_like(truth), truth)
    np.testing.assert_allclose(aligned, np.broadcast_to(truth.mean(1, keepdims=True), truth.shape), atol=1e-12)


def test_mpjpe_is_measured_from_the_middle_of_the_hips() -> None:
    truth = body(5)
    assert joint_errors(truth + np.array([5.0, 0.0, -1.0]), truth).mpjpe.max() < 1e-9
    guess = truth.copy()
    guess[:, LIMB_JOINTS.index("wrist_l")] += [0.0, 0.12, 0.0]
    np.testing.assert_allclose(joint_errors(guess, truth).mpjpe, 120.0 / 12)
    guess = truth.copy()
    guess[:, LIMB_JOINTS.index("hip_r")] += [0.0, 0.0, 0.1]  # the origin moves by half of it
    np.testing.assert_allclose(joint_errors(guess, truth).mpjpe, 50.0)


def test_missing_frames_are_as_bad_as_the_worst() -> None:
    errors = JointErrors(np.array([1.0, 5.0]), np.array([4.0, 2.0])).with_missing(2)
    assert errors.mpjpe.tolist() == [1.0, 5.0, 5.0, 5.0]
    assert errors.pa_mpjpe.tolist() == [4.0, 2.0, 4.0, 4.0]
    assert pooled([errors, errors]).mpjpe.mean() == 4.0


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="not \\(5, 12, 3\\) and \\(4, 12, 3\\)"):
        joint_errors(body(1), body(1)[:4])
