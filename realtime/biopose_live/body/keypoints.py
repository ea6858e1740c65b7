"""Where MediaPipe's 33 pose landmarks lie on the body, for fitting shape and pose to image key points.

Each landmark is a fixed average of joint centres, marker vertices and face vertices of the rest body, carried rigidly
by one joint; all are linear in the betas. Order and meaning follow the 33-point topology of BlazePose (Bazarevsky et
al. 2020): shoulders to ankles are joint centres; pinky, index and thumb are knuckles; the heel point lies inside the
heel; the foot index is the tip of the first and second toes.

Dimension letters: J = 24 joints, K shape coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biopose_live.body.joints import JOINT_INDEX, N_JOINTS
from biopose_live.body.markers import vertices_by_registration
from biopose_live.body.model import BodyModel

# Face and toe points as vertices of Anny's mesh, left side first: canthi, pupil, tragus, corner of the mouth, toe tip.
_FACE = {
    "nose": 5038,
    "left_eye_inner": 6866, "left_eye": 13583, "left_eye_outer": 6954, "left_mouth": 7146, "left_toe": 13101,
    "right_eye_inner": 98, "right_eye": 13655, "right_eye_outer": 194, "right_mouth": 402, "right_toe": 6521,
}  # fmt: skip


@dataclass(frozen=True)
class KeypointRule:
    """One landmark: the joint that carries it, and its rest position as weights of joints, markers and face points."""

    name: str
    carrier: str
    parts: tuple[tuple[str, float], ...]


def _rules() -> tuple[KeypointRule, ...]:
    def at(name: str, carrier: str, **parts: float) -> KeypointRule:
        return KeypointRule(name, carrier, tuple(parts.items()))

    rules = [at("nose", "head", nose=1.0)]
    for side in ("left", "right"):
        rules += [
            at(f"{side}_{point}", "head", **{f"{side}_{point}": 1.0}) for point in ("eye_inner", "eye", "eye_outer")
        ]
    rules += [at(f"{side}_ear", "head", **{f"{side[0].upper()}EAR": 1.0}) for side in ("left", "right")]
    rules += [at(f"mouth_{side}", "head", **{f"{side}_mouth": 1.0}) for side in ("left", "right")]
    for joint in ("shoulder", "elbow", "wrist"):
        rules += [at(f"{side}_{joint}", f"{side}_{joint}", **{f"{side}_{joint}": 1.0}) for side in ("left", "right")]
    for finger, marker in (("pinky", "H5"), ("index", "H2"), ("thumb", "HTH")):
        rules += [
            at(f"{side}_{finger}", f"{side}_wrist", **{side[0].upper() + marker: 1.0}) for side in ("left", "right")
        ]
    for joint in ("hip", "knee", "ankle"):
        rules += [at(f"{side}_{joint}", f"{side}_{joint}", **{f"{side}_{joint}": 1.0}) for side in ("left", "right")]
    for side in ("left", "right"):
        s = side[0].upper()
        rules.append(at(f"{side}_heel", f"{side}_ankle", **{f"{s}CAL": 0.8, f"{s}LMAL": 0.1, f"{s}MMAL": 0.1}))
    for side in ("left", "right"):
        s = side[0].upper()
        rules.append(at(f"{side}_foot_index", f"{side}_foot", **{f"{s}TOE": 0.5, f"{side}_toe": 0.5}))
    return tuple(rules)


RULES = _rules()
KEYPOINT_NAMES = tuple(rule.name for rule in RULES)
N_KEYPOINTS = len(RULES)

# [33] index of the SMPL joint that carries each landmark.
keypoint_joint = np.array([JOINT_INDEX[rule.carrier] for rule in RULES])


@dataclass(frozen=True)
class BodyKeypoints:
    """The landmarks of one body. template [33, 3] in metres at betas = 0, dirs [33, 3, K], joint [33] carrier.

    The same points as sparse regressors: `vertex_ids` [N], `vertex_weights` [33, N] and `joint_weights` [33, 24].
    """

    template: np.ndarray
    dirs: np.ndarray
    joint: np.ndarray
    vertex_ids: np.ndarray
    vertex_weights: np.ndarray
    joint_weights: np.ndarray

    def rest(self, betas: np.ndarray) -> np.ndarray:
        """Rest positions [33, 3] in metres for betas [K]."""
        return self.template + self.dirs @ betas

    def posed(
        self, betas: np.ndarray, rest_joints: np.ndarray, joints: np.ndarray, rotations: np.ndarray
    ) -> np.ndarray:
        """Posed positions [33, 3] (m) from rest and posed joint centres [24, 3] and global rotations [24, 3, 3]."""
        local = self.rest(betas) - rest_joints[self.joint]
        return joints[self.joint] + (rotations[self.joint] @ local[..., None])[..., 0]


def body_keypoints(model: BodyModel) -> BodyKeypoints:
    """The landmarks on this body; on a mesh without Anny's vertex ids the face points are found by registration."""
    names = list(_FACE)
    anny = np.array([_FACE[name] for name in names])
    ids = model.arrays.anny_vertex_ids
    if ids is not None and np.isin(anny, ids).all():
        face = np.searchsorted(ids, anny)
    else:
        embedded = BodyModel.load()
        embedded_ids = embedded.arrays.anny_vertex_ids
        assert embedded_ids is not None  # the embedded file always has them
        face = vertices_by_registration(embedded, model, np.searchsorted(embedded_ids, anny))
    vertex_of = dict(zip(names, face.tolist(), strict=True))
    vertex_of.update(zip(model.marker_names, model.marker_vertices.tolist(), strict=True))
    used = sorted({part for rule in RULES for part, _ in rule.parts if part not in JOINT_INDEX})
    vertex_ids = np.array([vertex_of[part] for part in used])
    vertex_weights, joint_weights = np.zeros((N_KEYPOINTS, len(used))), np.zeros((N_KEYPOINTS, N_JOINTS))
    for row, rule in enumerate(RULES):
        for part, weight in rule.parts:
            if part in JOINT_INDEX:
                joint_weights[row, JOINT_INDEX[part]] = weight
            else:
                vertex_weights[row, used.index(part)] = weight
    template = vertex_weights @ model.arrays.v_template[vertex_ids] + joint_weights @ model.joint_template
    dirs = np.einsum("pn,nck->pck", vertex_weights, model.arrays.shapedirs[vertex_ids])
    dirs += np.einsum("pj,jck->pck", joint_weights, model.joint_dirs)
    return BodyKeypoints(template, dirs, keypoint_joint, vertex_ids, vertex_weights, joint_weights)


def rest_keypoint_template(model: BodyModel) -> np.ndarray:
    """Landmarks of the mean body at rest, [33, 3] in metres."""
    return body_keypoints(model).template


def rest_keypoint_dirs(model: BodyModel) -> np.ndarray:
    """Change of the rest landmarks per unit of each shape coefficient, [33, 3, K] in metres."""
    return body_keypoints(model).dirs


def rest_keypoints(model: BodyModel, betas: np.ndarray) -> np.ndarray:
    """Landmarks of the rest body with betas [K], [33, 3] in metres. Live code keeps `body_keypoints(model)` instead."""
    return body_keypoints(model).rest(betas)
