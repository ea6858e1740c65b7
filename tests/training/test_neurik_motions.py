"""Sequences of motion at any frame rate: from the clips that were chosen, and within what joints do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_live.training.motion.dataset import PoseSet
from biopose_live.training.neurik.motions import JOINTS, MIRROR, SHORTEST, MotionBank, clips_of

NAMES = ["a/walk", "a/run", "b/dance", "c/short"]
SUBJECTS = ["s1", "s1", "s2", "s3"]


@pytest.fixture(scope="module")
def poses() -> PoseSet:
    """Four clips; the right knee bends by 0.2 rad times the clip's number, the root walks."""
    lengths = [60, 60, 60, SHORTEST - 1]
    index = np.repeat(np.arange(4, dtype=np.int32), lengths)
    theta = np.zeros((len(index), JOINTS, 3), np.float32)
    theta[:, 5, 0] = 0.2 * (index + 1)
    trans = np.zeros((len(index), 3), np.float32)
    trans[:, 2] = np.arange(len(index)) / 30.0
    return PoseSet(theta, trans, index, NAMES, SUBJECTS, 30.0)


def test_clips_are_parted_by_subject_or_name(poses: PoseSet) -> None:
    assert clips_of(poses, frozenset({"s1"})) == ([2, 3], [0, 1])
    assert clips_of(poses, frozenset({"dance"})) == ([0, 1, 3], [2])
    assert clips_of(poses, frozenset({"s9"})) == ([0, 1, 2, 3], [])


def test_only_chosen_clips_are_drawn(poses: PoseSet) -> None:
    bank = MotionBank(poses, [1], as_captured=True)
    rng = np.random.default_rng(0)
    for _ in range(20):
        sequence = bank.draw(np.arange(10) / 30.0, rng)
        knees = Rotation.from_matrix(sequence.rotations[0, [4, 5]]).magnitude()
        # As captured: the clip's 0.4 rad, on one side or the other, and no habits on top.
        assert abs(knees.max() - 0.4) < 1e-4
        assert not sequence.planted


@pytest.mark.parametrize("fps", [15.0, 60.0])
def test_a_sequence_has_its_times_and_is_rigid(poses: PoseSet, fps: float) -> None:
    bank = MotionBank(poses, [0, 1, 2])
    rng = np.random.default_rng(1)
    times = np.arange(12) / fps
    planted = 0
    for _ in range(20):
        sequence = bank.draw(times, rng)
        planted += sequence.planted
        assert sequence.rotations.shape == (12, JOINTS, 3, 3)
        assert sequence.trans.shape == (12, 3)
        np.testing.assert_array_equal(sequence.times, times)
        eye = np.broadcast_to(np.eye(3), sequence.rotations.shape)
        np.testing.assert_allclose(sequence.rotations @ np.swapaxes(sequence.rotations, -1, -2), eye, atol=1e-5)
        np.testing.assert_allclose(np.linalg.det(sequence.rotations), 1.0, atol=1e-5)
        np.testing.assert_allclose(sequence.trans[0], 0.0, atol=1e-12)
        # 1 m/s in the clip, played at up to 1.6 times its speed, either way round.
        speed = np.abs(np.diff(sequence.trans[:, 2])) * fps
        assert speed.max() <= 1.6 + 1e-6
    assert 0 < planted < 20


def test_a_seed_gives_the_same_sequence(poses: PoseSet) -> None:
    bank = MotionBank(poses, [0, 1, 2])
    one, other, third = (bank.draw(np.arange(8) / 30.0, np.random.default_rng(seed)) for seed in (4, 4, 5))
    np.testing.assert_array_equal(one.rotations, other.rotations)
    assert np.abs(one.rotations - third.rotations).max() > 1e-3


def test_the_mirror_of_a_mirror_is_the_same() -> None:
    np.testing.assert_array_equal(MIRROR[MIRROR], np.arange(JOINTS))


def test_clips_that_are_all_too_short_are_refused(poses: PoseSet) -> None:
    with pytest.raises(ValueError, match="none of the 1 clips has 30 frames"):
        MotionBank(poses, [3])
