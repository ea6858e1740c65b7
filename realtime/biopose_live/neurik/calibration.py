"""From a person's body shape to that person's skeleton: bone scales, and where each virtual marker sits on its bone.

The parametric body is put into the skeleton's own zero pose (anatomical position: thighs, shanks and arms vertical,
feet flat and forward, pelvis with the inclination that the skeleton's landmarks have), and the skeleton is scaled to it
and its markers are fixed there.  So the zero of every joint angle is a definition, not a matter of how somebody stood:
the same shape gives the same zero.

`ALIGNED` says, per segment of the body, which two directions of the body are laid on the same directions of the
skeleton: the first exactly, the second as far as it can.  Point names: the skeleton's joint centres and its markers.

Frames: the body's rest frame is x left, y up, z forward; the skeleton's ground is x forward, y up, z right; metres.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from biopose_live.body.marker_table import MARKER_INDEX, MARKERS
from biopose_live.body.model import BodyModel
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import SkeletonModel
from biopose_live.skeleton.scaling import JOINT_POINTS, fit_person

Floats = NDArray[np.float64]

BODY_TO_GROUND = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
UP = "up"

# The skeleton's joint centres that the body has too: their joint in SMPL's order.
CENTRES = {
    "neck": "neck",
    **{
        f"{name}_{side[0]}": f"{side}_{joint}"
        for side in ("left", "right")
        for name, joint in (
            ("hip", "hip"),
            ("knee", "knee"),
            ("ankle", "ankle"),
            ("shoulder", "shoulder"),
            ("elbow", "elbow"),
            ("wrist", "wrist"),
        )
    },
}


class Alignment(NamedTuple):
    """Directions (from, to) of one body joint's segment; `A+B` is a midpoint, UP the vertical."""

    joint: str
    first: tuple[str, str]
    second: tuple[str, str]


def _limb(side: str) -> tuple[Alignment, ...]:
    s, m = side[0], side[0].upper()
    return (
        Alignment(f"{side}_hip", (f"hip_{s}", f"knee_{s}"), (f"{m}MFC", f"{m}LFC")),
        # A straight knee's axis is the femur's: the malleoli would bring the tibia's torsion in.
        Alignment(f"{side}_knee", (f"knee_{s}", f"ankle_{s}"), (f"{m}MFC", f"{m}LFC")),
        Alignment(f"{side}_ankle", (UP, UP), (f"{m}CAL", f"{m}MT1+{m}MT5")),
        Alignment(f"{side}_shoulder", (f"shoulder_{s}", f"elbow_{s}"), (f"{m}MEL", f"{m}LEL")),
        # The elbow is a hinge; that the rest pose's palms face down is the radius' turn about the ulna.
        Alignment(f"{side}_elbow", (f"elbow_{s}", f"wrist_{s}"), (f"{m}MEL", f"{m}LEL")),
    )


ALIGNED = (Alignment("pelvis", ("RPSI+LPSI", "RASI+LASI"), ("LASI", "RASI")), *_limb("left"), *_limb("right"))
FOLLOW = {
    "left_foot": "left_ankle",
    "right_foot": "right_ankle",
    "left_wrist": "left_elbow",
    "right_wrist": "right_elbow",
    "left_hand": "left_elbow",
    "right_hand": "right_elbow",
}


@dataclass(frozen=True, eq=False)
class Calibration:
    """One person's skeleton: scales (B, 3); the markers' bodies (M,) and places (M, 3) m in the scaled bodies."""

    scales: Floats
    marker_bodies: NDArray[np.int64]
    marker_locations: Floats


class Calibrator:
    """Makes a `Calibration` from a shape; holds what does not depend on the person."""

    def __init__(self, body: BodyModel, model: SkeletonModel) -> None:
        self._body, self._model = body, model
        self._zero = _skeleton_points(model)
        self._kinematics = Kinematics(model)
        self._radius = {side: model.body_index(f"radius_{side}") for side in "lr"}
        segments = [MARKERS[MARKER_INDEX[name]].segment for name in body.marker_names]
        # The body's elbow carries the whole forearm's twist, so its forearm markers turn with the radius.
        segments = [segment.replace("ulna", "radius") for segment in segments]
        self._marker_bodies = np.array([model.body_index(segment) for segment in segments], np.int64)
        self.marker_weights = np.array([0.0 if name[1:] == "OLE" else 1.0 for name in body.marker_names])

    def standing_pose(self, betas: Floats) -> Floats:
        """-> local rotations (24, 3, 3) that put the body into the skeleton's zero pose."""
        body = self._body
        points = _body_points(body, body.rest_joints(betas), body.rest_markers(betas))
        turn = np.tile(np.eye(3), (24, 1, 1))
        for row in ALIGNED:
            own = _frame(points, row)
            wanted = _frame(self._zero, row)
            turn[body.joint_names.index(row.joint)] = wanted @ own.T
        for joint, leader in FOLLOW.items():
            turn[body.joint_names.index(joint)] = turn[body.joint_names.index(leader)]
        local = turn.copy()
        for j, parent in enumerate(body.parents):
            if parent >= 0:
                local[j] = turn[parent].T @ turn[j]
        result: Floats = BODY_TO_GROUND.T @ local @ BODY_TO_GROUND
        return result

    def __call__(self, betas: Floats) -> Calibration:
        """betas (S,) -> that person's skeleton."""
        joints, markers, _ = self._body.pose_markers(self.standing_pose(betas), betas, np.zeros(3))
        points = _body_points(self._body, joints, markers)
        points = {name: place for name, place in points.items() if name in self._zero}
        in_ground = markers @ BODY_TO_GROUND.T
        standing = np.zeros(len(self._model.coordinates))
        for side in "lr":
            standing[self._model.coordinate_names.index(f"pro_sup_{side}")] = self._forearm_turn(points, side)
        fit = fit_person(self._model, points, self._marker_bodies, in_ground, standing)
        return Calibration(fit.scales, self._marker_bodies, fit.marker_locations)

    def _forearm_turn(self, points: Mapping[str, Floats], side: str) -> float:
        """-> pro_sup (rad) at which the skeleton's styloids point the way that the standing body's do."""
        names = (f"{side.upper()}ULN", f"{side.upper()}RAD")
        wanted, zero = _direction(points, names), _direction(self._zero, names)
        coordinate = self._model.coordinate_names.index(f"pro_sup_{side}")

        def away(degrees: float) -> float:
            pose = np.zeros(len(self._model.coordinates))
            pose[coordinate] = np.radians(degrees)
            turn, _ = self._kinematics.forward(pose)
            return float(np.linalg.norm(_unit(turn[self._radius[side]] @ zero) - _unit(wanted)))

        coarse = min(np.arange(-180.0, 180.0, 15.0), key=away)
        return float(np.radians(min(np.arange(coarse - 15.0, coarse + 15.0, 1.0), key=away)))


def _unit(vector: Floats) -> Floats:
    result: Floats = vector / np.linalg.norm(vector)
    return result


def _skeleton_points(model: SkeletonModel) -> dict[str, Floats]:
    kinematics = Kinematics(model)
    zero = np.zeros(len(model.coordinates))
    _, origins = kinematics.forward(zero)
    centres = {name: origins[model.body_index(body)] for name, body in JOINT_POINTS.items()}
    places = kinematics.markers(zero)
    return {**centres, **{marker.name: places[i] for i, marker in enumerate(model.markers)}}


def _body_points(body: BodyModel, joints: Floats, markers: Floats) -> dict[str, Floats]:
    """-> the named points in the skeleton's axes."""
    named = {name: joints[body.joint_names.index(joint)] for name, joint in CENTRES.items()}
    named |= dict(zip(body.marker_names, markers, strict=True))
    return {name: BODY_TO_GROUND @ place for name, place in named.items()}


def _direction(points: Mapping[str, Floats], pair: tuple[str, str]) -> Floats:
    if pair[0] == UP:
        return np.array([0.0, 1.0, 0.0])
    ends = [np.mean([points[part] for part in name.split("+")], axis=0) for name in pair]
    result: Floats = ends[1] - ends[0]
    return result


def _frame(points: Mapping[str, Floats], row: Alignment) -> Floats:
    """-> (3, 3) orthonormal columns: the first direction, the second made square to it, their cross product."""
    first, second = _direction(points, row.first), _direction(points, row.second)
    x = first / np.linalg.norm(first)
    y = second - (second @ x) * x
    y = y / np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)], axis=1)
