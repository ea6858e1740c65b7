"""Angles between segments of bodies with known bends."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_live.evaluation.joint_errors import LIMB_JOINTS
from biopose_live.evaluation.segment_angles import SEGMENT_ANGLES, between, segment_angles

HANGING = {
    "shoulder": (0.2, 1.4), "elbow": (0.2, 1.1), "wrist": (0.2, 0.85),
    "hip": (0.2, 0.9), "knee": (0.2, 0.5), "ankle": (0.2, 0.1),
}  # fmt: skip


def standing() -> np.ndarray:
    joints = np.zeros((1, len(LIMB_JOINTS), 3))
    for index, name in enumerate(LIMB_JOINTS):
        side, height = HANGING[name[:-2]]
        joints[0, index] = [side if name.endswith("l") else -side, height, 0.0]
    return joints


def angle(joints: np.ndarray, name: str) -> float:
    return float(segment_angles(joints, LIMB_JOINTS)[0, SEGMENT_ANGLES.index(name)])


def test_a_standing_body_has_no_angles() -> None:
    np.testing.assert_allclose(segment_angles(standing(), LIMB_JOINTS), 0.0, atol=1e-9)


@pytest.mark.parametrize("degrees", [0.0, 1e-3, 35.0, 90.0, 150.0, 180.0])
def test_a_bent_knee_and_a_raised_arm(degrees: float) -> None:
    joints = standing()
    at = {name: joints[0, index] for index, name in enumerate(LIMB_JOINTS)}
    turn = Rotation.from_rotvec([np.radians(degrees), 0.0, 0.0])
    at["ankle_r"][:] = at["knee_r"] + turn.apply(at["ankle_r"] - at["knee_r"])
    for part in ("elbow_l", "wrist_l"):
        at[part][:] = at["shoulder_l"] + turn.apply(at[part] - at["shoulder_l"])
    assert angle(joints, "knee_r") == pytest.approx(degrees, abs=1e-6)
    assert angle(joints, "shoulder_l") == pytest.approx(degrees, abs=1e-6)
    assert angle(joints, "elbow_l") == pytest.approx(0.0, abs=1e-6)
    assert angle(joints, "hip_r") == pytest.approx(0.0, abs=1e-6)


def test_turning_the_whole_body_changes_nothing() -> None:
    joints = standing() + np.random.default_rng(1).normal(size=(1, len(LIMB_JOINTS), 3)) * 0.1
    turned = Rotation.random(random_state=1).apply(joints[0])[None] * 1.3 + 4.0
    np.testing.assert_allclose(segment_angles(turned, LIMB_JOINTS), segment_angles(joints, LIMB_JOINTS))


def test_between_is_the_arc_cosine() -> None:
    a, b = np.random.default_rng(2).normal(size=(2, 50, 3))
    cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    np.testing.assert_allclose(between(a, b), np.degrees(np.arccos(cosine)))
