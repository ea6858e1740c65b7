"""Recordings as arrays: gaps, several people, unknown names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from biopose_live.errors import UserError
from biopose_live.evaluation.recorded_motion import read_motion


def test_gaps_are_nan_in_joints_and_held_in_coordinates(
    make_person: Callable, write_recording: Callable[..., Path]
) -> None:
    def knee(degrees: float, **more: object) -> object:
        return make_person(q={"knee_angle_r": np.radians(degrees)}, joints={"knee_r": [degrees, 0.0, 2.0]}, **more)

    folder = write_recording({1: [knee(10.0)], 2: [], 4: [knee(99.0, id=2, confidence=0.2), knee(40.0)]})
    motion = read_motion(folder)
    angles = np.degrees(motion.coordinates(["knee_angle_r", "knee_angle_l"]))
    np.testing.assert_allclose(angles[:, 0], [10.0, 10.0, 10.0, 10.0, 40.0])
    np.testing.assert_allclose(angles[:, 1], 0.0)
    joints = motion.joints(["knee_r"])
    np.testing.assert_array_equal(np.isnan(joints[:, 0, 0]), [True, False, True, True, False])
    assert joints[4, 0].tolist() == [40.0, 0.0, 2.0]


def test_what_cannot_be_scored_is_said(make_person: Callable, write_recording: Callable[..., Path]) -> None:
    motion = read_motion(write_recording({0: [make_person()]}))
    with pytest.raises(UserError, match="has no joint tail: it was recorded with another skeleton"):
        motion.joints(["tail"])
    with pytest.raises(UserError, match="has no coordinate tail"):
        motion.coordinates(["tail"])
    with pytest.raises(UserError, match="holds nobody in any frame"):
        read_motion(write_recording({0: []}, name="nobody")).coordinates(["knee_angle_r"])
    with pytest.raises(UserError, match="holds no frame"):
        read_motion(write_recording({}, name="empty"))
    with pytest.raises(UserError, match="is no recording"):
        read_motion(Path("/nowhere/at/all"))
