"""Joining and placing motion: continuity, headings and the floor, with SciPy's rotations as the judge."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_live.errors import UserError
from biopose_live.training.synthetic.choreography import Motion, facing, grounded, heading, joined, read_pose_set


def walk(seed: int, length: int = 40, turn: float = 0.0) -> Motion:
    """Smooth motion: slow sines in every joint, steady travel along the heading."""
    rng = np.random.default_rng(seed)
    t = np.arange(length)[:, None, None] / 30.0
    theta = 0.4 * np.sin(2 * t + rng.uniform(0, 6, (24, 3)))
    theta[:, 0] = [0.0, turn, 0.0]
    direction = np.array([np.sin(turn), 0.0, np.cos(turn)])
    return Motion(theta, np.array([0.0, 0.9, 0.0]) + t[:, 0] * direction + rng.normal(size=3) * [1, 0, 1])


def speeds(motion: Motion) -> tuple[float, float]:
    """Greatest turn (rad) of a joint and greatest step (m) of the pelvis between two frames."""
    r = Rotation.from_rotvec(motion.theta.reshape(-1, 3))
    n = len(motion) - 1
    turns = (r[: n * 24].inv() * r[24:]).magnitude()
    return float(turns.max()), float(np.linalg.norm(np.diff(motion.transl, axis=0), axis=1).max())


def test_pieces_join_without_a_jump():
    pieces = [walk(0), walk(1, turn=1.3), walk(2, turn=-2.0)]
    whole = joined(pieces, overlap=12)
    assert len(whole) == 3 * 40 - 2 * 12
    turn, step = speeds(whole)
    assert turn < max(speeds(p)[0] for p in pieces) + 0.8 * 1.5 / 12 * 3  # the fade's own share, at its steepest
    assert step < 2.5 * max(speeds(p)[1] for p in pieces)
    np.testing.assert_array_equal(whole.theta[:28], pieces[0].theta[:28])


def test_facing_turns_and_places():
    motion = facing(walk(3, turn=0.7), -0.4, np.array([1.0, 5.0, 2.0]), frame=10)
    assert heading(motion.theta[10]) == pytest.approx(-0.4)
    np.testing.assert_allclose(motion.transl[10], [1.0, 0.9, 2.0])
    travel = motion.transl[-1] - motion.transl[0]
    assert np.arctan2(travel[0], travel[2]) == pytest.approx(-0.4)


def test_feet_reach_the_floor_and_jumps_stay():
    motion = walk(4, length=90)
    transl = motion.transl.copy()
    transl[:, 1] += 0.3
    transl[40:50, 1] += 0.25  # a jump of ten frames
    shifted = grounded(Motion(motion.theta, transl), lambda theta, x: x[1] - 0.9)
    lowest = shifted.transl[:, 1] - 0.9
    assert lowest.min() >= -1e-12
    assert lowest[:30].max() < 0.01
    assert lowest[43:47].min() > 0.2


def test_a_pose_set_that_is_not_one_gets_a_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_pose_set(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(UserError, match="cannot be read"):
        read_pose_set(tmp_path / "other.npz")


def test_a_clip_by_the_end_of_its_name(tmp_path):
    theta = np.arange(6 * 72, dtype=np.float32).reshape(6, 24, 3)
    np.savez(
        tmp_path / "poses.npz", theta=theta, trans=np.zeros((6, 3), np.float32),
        clip_index=np.array([0, 0, 1, 1, 1, 1], np.int32), clip_names=np.array(["a/walk.bvh", "a/run.bvh"]),
    )  # fmt: skip
    poses = read_pose_set(tmp_path / "poses.npz")
    np.testing.assert_array_equal(poses.clip("run.bvh", 1, 3).theta, theta[3:5])
    with pytest.raises(UserError, match="0 clips named jump"):
        poses.clip("jump")
    with pytest.raises(UserError, match=r"2 clips named \.bvh"):
        poses.clip(".bvh")
    with pytest.raises(UserError, match="ends before frame"):
        poses.clip("walk.bvh", 5)
