"""From a person's body shape to that person's skeleton: bone scales, and where each virtual marker sits on its bone.

The parametric body is put into the skeleton's own zero pose (anatomical position: thighs, shanks and arms vertical,
feet flat and forward, pelvis with the inclination that the skeleton's landmarks have), and the skeleton is scaled to it
and its markers are fixed there.  So the zero of every joint angle is a definition, not a matter of how somebody stood:
the same shape gives the same zero.

The definitions (docs/zero_pose.md has them all): pelvis tilt is zero where the mid-PSIS to mid-ASIS line points 5.9
degrees down; hip flexion where the line of hip and knee centres is vertical; the knee where hip, knee and ankle
centres are in line; the ankle where the foot stands flat under a vertical shank; the trunk as it stands on the pelvis
in the body file's rest pose.

`ALIGNED` says, per segment of the body, which two directions of the body are laid on the same directions of the
skeleton: the first exactly, the second as far as it can.  Point names: the skeleton's joint centres and its markers;
other people's models have the centres, and lend the directions between landmarks from `bsk24`.

Frames: the body's rest frame is x left, y up, z forward; the skeleton's ground is x forward, y up, z right; metres.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from biopose_live.body.marker_table import MARKER_INDEX, MARKERS
from biopose_live.body.model import BodyModel
from biopose_live.rotations import to_vector
from biopose_live.skeleton.anatomy import JOINT_POINTS, Anatomy, anatomy_of, plain_anatomy
from biopose_live.skeleton.bsk24 import load_bsk24
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import SkeletonModel
from biopose_live.skeleton.scaling import GENERAL_RULES, RULES, fit_person

Floats = NDArray[np.float64]

BODY_TO_GROUND = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
UP = "up"
PROBE = 0.5  # rad, by which a forearm is turned to find its hinge
PELVIS_MARKERS = {"RASI", "LASI", "RPSI", "LPSI"}

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
    """Makes a `Calibration` from a shape; holds what does not depend on the person.

    `general` is False for `bsk24` (any model that has its segments and landmarks), True for other people's models;
    `standing` (Q,) are the skeleton's coordinates in the anatomical position; `root` is the pelvis' body index;
    `marker_weights` (M,) how far each marker is trusted on the body that carries it.
    """

    def __init__(self, body: BodyModel, model: SkeletonModel) -> None:
        """Raises UserError when the model lacks a segment that must be there, or does not stand in its zero pose."""
        self._body, self._model = body, model
        self.general = not _is_complete(model)
        self._anatomy = anatomy_of(model) if self.general else plain_anatomy(model)
        self.standing = self._anatomy.standing
        self.root = self._anatomy.bodies["pelvis"]
        self._kinematics = Kinematics(model)
        self._zero = _skeleton_points(self._kinematics, self._anatomy)
        self._reference: dict[str, Floats] = {}
        if self.general:
            landmarks = load_bsk24()
            self._reference = _skeleton_points(Kinematics(landmarks), plain_anatomy(landmarks))
            # Other people's markers may be named alike and placed otherwise; only the pelvis' own say how it inclines.
            own = set(self._anatomy.centres) | (PELVIS_MARKERS if set(self._zero) >= PELVIS_MARKERS else set())
            self._zero = {name: place for name, place in self._zero.items() if name in own}
        self._turning = {side: self._anatomy.forearm_turn(side) for side in "lr"}
        segments = [MARKERS[MARKER_INDEX[name]].segment for name in body.marker_names]
        # The body's elbow carries the whole forearm's twist, so its forearm markers turn with the radius.
        carriers = [self._anatomy.carrier(segment.replace("ulna", "radius")) for segment in segments]
        self._marker_bodies = np.array([carrier.body for carrier in carriers], np.int64)
        trust = zip(body.marker_names, carriers, strict=True)
        self.marker_weights = np.array([0.0 if name[1:] == "OLE" else carrier.weight for name, carrier in trust])

    def standing_pose(self, betas: Floats) -> Floats:
        """-> local rotations (24, 3, 3) that put the body into the skeleton's zero pose."""
        body = self._body
        points = _body_points(body, body.rest_joints(betas), body.rest_markers(betas))
        turn = np.tile(np.eye(3), (24, 1, 1))
        for row in ALIGNED:
            side = row.joint[0]
            if row.joint.endswith("elbow") and self._turning[side] is None:
                # A forearm that cannot twist: its zero is where the styloids, not the elbow's hinge, point.
                row = row._replace(second=(f"{side.upper()}ULN", f"{side.upper()}RAD"))
            own = _frame(row, lambda pair: _direction(points, pair))
            wanted = _frame(row, self._zero_direction)
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
        standing = self.standing.copy()
        for side, coordinate in self._turning.items():
            if coordinate is not None:
                standing[coordinate] = self._forearm_turn(points, side, coordinate)
        rules = RULES
        if self.general:
            rules = GENERAL_RULES
            points |= {f"mtp_{side[0]}": self._foot(joints, side) for side in ("left", "right")}
        known = {name: place for name, place in points.items() if name in self._zero}
        in_ground = markers @ BODY_TO_GROUND.T
        fit = fit_person(self._model, known, self._marker_bodies, in_ground, standing, rules, anatomy=self._anatomy)
        return Calibration(fit.scales, self._marker_bodies, fit.marker_locations)

    def _foot(self, joints: Floats, side: str) -> Floats:
        place: Floats = BODY_TO_GROUND @ joints[self._body.joint_names.index(f"{side}_foot")]
        return place

    def _zero_direction(self, pair: tuple[str, str]) -> Floats:
        """The direction in the skeleton's zero pose: the model's own where it has the points, else that of `bsk24`."""
        own = pair[0] == UP or all(part in self._zero for name in pair for part in name.split("+"))
        return _direction(self._zero if own else self._reference, pair)

    def _forearm_turn(self, points: Mapping[str, Floats], side: str, coordinate: int) -> float:
        """-> the coordinate's value (rad) at which the skeleton's styloids point the way that the standing body's do.

        In closed form: turning `zero` about the hinge `axis` by the angle below brings it nearest to `wanted`.  A
        search on a grid would make the skeleton jump with the smallest change of the shape.
        """
        names = (f"{side.upper()}ULN", f"{side.upper()}RAD")
        zero, wanted = _unit(self._zero_direction(names)), _unit(_direction(points, names))
        radius, pose = self._anatomy.bodies[f"radius_{side}"], self.standing.copy()
        start, _ = self._kinematics.forward(pose)
        pose[coordinate] += PROBE
        turned, _ = self._kinematics.forward(pose)
        vector = to_vector(turned[radius] @ start[radius].T)
        rate = float(np.linalg.norm(vector)) / PROBE
        axis = _unit(vector)
        angle = np.arctan2(axis @ np.cross(zero, wanted), zero @ wanted - (axis @ zero) * (axis @ wanted))
        low, high = self._model.coordinates[coordinate].range
        value = float(self.standing[coordinate] + angle / rate)
        return min(max(value, low), high) if self.general else value


def _unit(vector: Floats) -> Floats:
    result: Floats = vector / np.linalg.norm(vector)
    return result


def _is_complete(model: SkeletonModel) -> bool:
    """Whether the model has the segments and landmarks by which `RULES` scale and `ALIGNED` lays the body on it."""
    named = {part for row in ALIGNED for pair in (row.first, row.second) for name in pair for part in name.split("+")}
    named |= {part for rule in RULES for pair in rule.pairs for name in pair for part in name.split("+")}
    landmarks = named - {UP} - set(JOINT_POINTS)
    forearms = {f"pro_sup_{side}" for side in "lr"}
    return (
        set(model.body_names) >= set(JOINT_POINTS.values()) | {"pelvis", "radius_r", "radius_l"}
        and set(model.marker_names) >= landmarks
        and set(model.coordinate_names) >= forearms
    )


def _skeleton_points(kinematics: Kinematics, anatomy: Anatomy) -> dict[str, Floats]:
    """-> joint centres and markers of the skeleton in the anatomical position, by name."""
    places = kinematics.markers(anatomy.standing)
    centres = kinematics.joint_centres(anatomy.standing)
    named = {marker.name: places[i] for i, marker in enumerate(kinematics.model.markers)}
    return named | {name: centres[body] for name, body in anatomy.centres.items()}


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


def _frame(row: Alignment, direction: Callable[[tuple[str, str]], Floats]) -> Floats:
    """-> (3, 3) orthonormal columns: the first direction, the second made square to it, their cross product."""
    first, second = direction(row.first), direction(row.second)
    x = first / np.linalg.norm(first)
    y = second - (second @ x) * x
    y = y / np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)], axis=1)
