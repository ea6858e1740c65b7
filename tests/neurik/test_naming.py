"""The names of the points on the wire, against MediaPipe's own landmark names."""

from __future__ import annotations

from mediapipe.tasks.python.vision import PoseLandmark

from biopose_live.neurik.naming import LIMB_LANDMARKS, LIMB_NAMES, joint_names
from biopose_live.skeleton.model import SkeletonModel


def test_limb_points_are_mediapipes_landmarks() -> None:
    for name, landmark in zip(LIMB_NAMES, LIMB_LANDMARKS, strict=True):
        limb, side = name.split("_")
        assert PoseLandmark(landmark).name == f"{'LEFT' if side == 'l' else 'RIGHT'}_{limb.upper()}"


def test_bodies_come_first_and_no_name_twice(skeleton: SkeletonModel) -> None:
    names = joint_names(skeleton)
    assert names[:24] == skeleton.body_names
    assert names[24:] == list(LIMB_NAMES)
    assert len(set(names)) == len(names) == 36
