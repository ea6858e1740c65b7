"""Scores recordings of the embedded demo clip against its own truth, exact because the clip is rendered.

Joint centres of the rendered body against those of our skeleton.  The two place a joint up to a few centimetres apart,
and so does a keypoint detector, whose limb points are not joint centres: an error of zero cannot be reached.  F frames,
12 limb joints in the order of `LIMB_JOINTS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from biopose_live.body.joints import JOINT_INDEX
from biopose_live.capture.demo import demo_clip
from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.evaluation.angle_errors import AngleErrors, angle_errors
from biopose_live.evaluation.joint_errors import LIMB_JOINTS, JointErrors, joint_errors
from biopose_live.evaluation.recorded_motion import read_motion
from biopose_live.evaluation.segment_angles import segment_angles

Floats = NDArray[np.float64]

_SIDES = {"l": "left", "r": "right"}
# The body that turns about each limb joint: its origin is the joint's centre.
_BODIES = {"shoulder": "humerus", "elbow": "ulna", "wrist": "hand", "hip": "femur", "knee": "tibia", "ankle": "talus"}
JOINT_CENTRES = tuple(f"{_BODIES[name[:-2]]}{name[-2:]}" for name in LIMB_JOINTS)


@dataclass(frozen=True)
class DemoTruth:
    """The clip's true joints in the camera frame."""

    video: Path
    joints: Floats  # (F, 12, 3) m
    fps: float

    def score(self, recording: Path) -> tuple[JointErrors, AngleErrors]:
        """-> errors of a recording of the clip; raises UserError when it cannot be used."""
        return self.score_joints(read_motion(recording).joints(JOINT_CENTRES))

    def score_joints(self, joints: Floats) -> tuple[JointErrors, AngleErrors]:
        """-> errors of (F, 12, 3) limb joints, m, NaN where nobody was found; a lag is counted in the clip's frames.

        Raises UserError when nobody was found at all.
        """
        joints = joints[: len(self.joints)]
        found = np.flatnonzero(~np.isnan(joints[:, 0, 0]))
        if not len(found):
            raise UserError("Nobody was found in any frame of the demo clip: there is nothing to score.", EXIT_SOURCE)
        errors = joint_errors(joints[found], self.joints[found]).with_missing(len(self.joints) - len(found))
        time = np.arange(len(self.joints)) / self.fps
        angles = segment_angles(joints[found], LIMB_JOINTS)
        return errors, angle_errors(time[found], angles, time, segment_angles(self.joints, LIMB_JOINTS), self.fps)


def read_demo_truth() -> DemoTruth:
    """-> the embedded clip and its truth; raises UserError when the installation lacks them."""
    video = demo_clip()
    path = video.with_name("demo_truth.npz")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            index = [JOINT_INDEX[f"{_SIDES[name[-1]]}_{name[:-2]}"] for name in LIMB_JOINTS]
            return DemoTruth(video, arrays["joints"][:, index].astype(np.float64), float(arrays["fps"]))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} cannot be read ({error}): install the package again.", EXIT_SOURCE) from error
