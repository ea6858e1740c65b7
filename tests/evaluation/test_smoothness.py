"""Acceleration errors and bone lengths, on motions whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from biopose_live.evaluation.joint_errors import LIMB_JOINTS
from biopose_live.evaluation.smoothness import LIMB_BONES, acceleration_errors, accelerations, bone_variation

RATE = 60.0
J = len(LIMB_JOINTS)


def swinging(amplitude: float, rad_per_s: float, frames: int = 600) -> np.ndarray:
    """Twelve points of which the left wrist swings along x."""
    joints = np.tile(np.random.default_rng(0).normal(0, 0.5, (J, 3)), (frames, 1, 1))
    joints[:, LIMB_JOINTS.index("wrist_l"), 0] += amplitude * np.sin(rad_per_s * np.arange(frames) / RATE)
    return joints


def test_acceleration_of_a_sine() -> None:
    found = accelerations(swinging(0.1, 3.0), RATE)
    wrist = LIMB_JOINTS.index("wrist_l")
    t = np.arange(1, 599) / RATE
    np.testing.assert_allclose(found[:, wrist, 0], -0.9 * np.sin(3.0 * t), atol=2e-3)
    np.testing.assert_allclose(np.delete(found, wrist, 1), 0.0, atol=1e-9)


def test_moving_the_whole_body_is_no_error_and_jitter_is() -> None:
    truth = swinging(0.1, 3.0)
    moved = truth + np.cumsum(np.random.default_rng(1).normal(0, 0.01, (600, 1, 3)), 0)
    np.testing.assert_allclose(acceleration_errors(moved, truth, RATE), 0.0, atol=1e-8)
    noise = 0.002
    jittery = truth.copy()
    wrist = LIMB_JOINTS.index("wrist_l")
    jittery[:, wrist, 1] += np.random.default_rng(2).normal(0, noise, 600)
    error = acceleration_errors(jittery, truth, RATE).reshape(-1, J)[:, wrist]
    assert np.sqrt((error**2).mean()) == pytest.approx(np.sqrt(6) * noise * RATE**2, rel=0.1)  # 1, -2, 1


def test_frames_without_anybody_are_left_out() -> None:
    truth = swinging(0.1, 3.0, 20)
    gone = truth.copy()
    gone[7] = np.nan
    assert len(acceleration_errors(gone, truth, RATE)) == (18 - 3) * J
    assert bone_variation(gone) == pytest.approx(bone_variation(np.delete(truth, 7, 0)))
    assert np.isnan(bone_variation(gone[7:9]))


def test_bones_that_change_their_length() -> None:
    still = swinging(0.0, 1.0, 50)
    assert bone_variation(still) == pytest.approx(0.0, abs=1e-9)
    turned = still @ np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    assert bone_variation(turned + np.arange(50)[:, None, None]) == pytest.approx(0.0, abs=1e-9)
    grown = still * np.where(np.arange(50) % 2, 1.01, 0.99)[:, None, None]
    assert bone_variation(grown) == pytest.approx(1.0)
    assert len(LIMB_BONES) == 8
    assert all(LIMB_JOINTS[a][-1] == LIMB_JOINTS[b][-1] for a, b in LIMB_BONES)
