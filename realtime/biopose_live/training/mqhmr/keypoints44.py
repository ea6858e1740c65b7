"""The 44 keypoints of the field's human-mesh datasets, on our body.

Order (4D-Humans, SPIN): OpenPose's BODY_25, then 19 more: LSP's ankles to wrists, neck and crown, and the pelvis,
thorax, spine, jaw and head of MPII and Human3.6M.  A keypoint is supervised where the body has a point that it means,
to about 3 cm; the others (small toes' tips, thorax, spine, jaw, Human3.6M's head) are left out rather than guessed.

Letters: B people, K = 44 keypoints, P = M + 24 + 33 points of the body (`network.body_points`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from biopose_live.body.joints import JOINT_INDEX, JOINT_NAMES
from biopose_live.body.keypoints import KEYPOINT_NAMES

COUNT = 44
BODY_25 = 25

# What each keypoint is on the body: joints by name, MediaPipe's landmarks as "@name", markers as "#name"; () nothing.
_LIMBS = {
    "RShoulder": "right_shoulder", "RElbow": "right_elbow", "RWrist": "right_wrist", "LShoulder": "left_shoulder",
    "LElbow": "left_elbow", "LWrist": "left_wrist", "RHip": "right_hip", "RKnee": "right_knee", "RAnkle": "right_ankle",
    "LHip": "left_hip", "LKnee": "left_knee", "LAnkle": "left_ankle",
}  # fmt: skip
KEYPOINTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Nose", ("@nose",)), ("Neck", ("left_shoulder", "right_shoulder")),
    *((name, (_LIMBS[name],)) for name in ("RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist")),
    ("MidHip", ("left_hip", "right_hip")),
    *((name, (_LIMBS[name],)) for name in ("RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle")),
    ("REye", ("@right_eye",)), ("LEye", ("@left_eye",)), ("REar", ("@right_ear",)), ("LEar", ("@left_ear",)),
    ("LBigToe", ("#LTOE",)), ("LSmallToe", ()), ("LHeel", ("@left_heel",)),
    ("RBigToe", ("#RTOE",)), ("RSmallToe", ()), ("RHeel", ("@right_heel",)),
    *((name, (_LIMBS[name],)) for name in ("RAnkle", "RKnee", "RHip", "LHip", "LKnee", "LAnkle")),
    *((name, (_LIMBS[name],)) for name in ("RWrist", "RElbow", "RShoulder", "LShoulder", "LElbow", "LWrist")),
    ("LSP neck", ("left_shoulder", "right_shoulder")), ("LSP crown", ("#THD",)),
    ("MPII pelvis", ("left_hip", "right_hip")),
    ("MPII thorax", ()), ("H36M spine", ()), ("H36M jaw", ()), ("H36M head", ()),
)  # fmt: skip


def _mirrored(name: str) -> str:
    return {"R": "L", "L": "R"}[name[0]] + name[1:] if name[0] in "RL" and name[:3] != "LSP" else name


def _flip() -> tuple[int, ...]:
    halves = [[name for name, _ in KEYPOINTS[:BODY_25]], [name for name, _ in KEYPOINTS[BODY_25:]]]
    first = [halves[0].index(_mirrored(name)) for name in halves[0]]
    return tuple(first + [BODY_25 + halves[1].index(_mirrored(name)) for name in halves[1]])


FLIP = _flip()  # keypoint k of a mirrored picture is keypoint FLIP[k] of the picture

# MediaPipe's landmarks that a keypoint stands for, where the query tokens start from 2D keypoints.
LANDMARK_OF = {
    name: KEYPOINT_NAMES.index(points[0].lstrip("@"))
    for name, points in KEYPOINTS[:BODY_25]
    if len(points) == 1 and points[0].lstrip("@") in KEYPOINT_NAMES
}


class Keypoints44(nn.Module):
    """(B, P, 3) points of the body -> (B, K, 3); `supervised` (K,) 1 where the body has that point."""

    weights: Tensor
    supervised: Tensor

    def __init__(self, marker_names: Sequence[str]) -> None:
        super().__init__()
        weights = torch.zeros(COUNT, len(marker_names) + len(JOINT_NAMES) + len(KEYPOINT_NAMES))
        for row, (_, points) in enumerate(KEYPOINTS):
            for point in points:
                if point[0] == "#":
                    column = list(marker_names).index(point[1:])
                elif point[0] == "@":
                    column = len(marker_names) + len(JOINT_NAMES) + KEYPOINT_NAMES.index(point[1:])
                else:
                    column = len(marker_names) + JOINT_INDEX[point]
                weights[row, column] = 1 / len(points)
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("supervised", weights.sum(1), persistent=False)

    def forward(self, points: Tensor) -> Tensor:
        return torch.einsum("kp,bpc->bkc", self.weights, points)


def as_landmarks(keypoints: Tensor) -> Tensor:
    """(B, K, 3) places and scores -> (B, 33, 3) the same as MediaPipe's landmarks; those that are not among the 44 have
    score 0."""
    landmarks = keypoints.new_zeros(len(keypoints), len(KEYPOINT_NAMES), 3)
    names = [name for name, _ in KEYPOINTS[:BODY_25]]
    for name, landmark in LANDMARK_OF.items():
        landmarks[:, landmark] = keypoints[:, names.index(name)]
    return landmarks
