"""The 33 landmarks: MediaPipe's own order, anatomy on the mean body, linearity, and a mesh without Anny's ids."""

import dataclasses

import numpy as np
import pytest

from biopose_live.body.joints import JOINT_INDEX
from biopose_live.body.keypoints import (
    KEYPOINT_NAMES,
    body_keypoints,
    keypoint_joint,
    rest_keypoint_dirs,
    rest_keypoint_template,
    rest_keypoints,
)
from biopose_live.body.model import BodyModel


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


def test_order_is_mediapipe_s():
    vision = pytest.importorskip("mediapipe.tasks.python.vision", reason="mediapipe is not installed")
    assert tuple(landmark.name.lower() for landmark in vision.PoseLandmark) == KEYPOINT_NAMES


def test_positions_on_the_mean_body(body):
    at = dict(zip(KEYPOINT_NAMES, rest_keypoint_template(body), strict=True))
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        np.testing.assert_allclose(at[f"left_{joint}"], body.joint_template[JOINT_INDEX[f"left_{joint}"]])
    assert at["nose"][2] == pytest.approx(body.arrays.v_template[body.arrays.v_template[:, 1] > 0.6, 2].max(), abs=1e-3)
    assert 0.055 < at["left_eye"][0] - at["right_eye"][0] < 0.070  # pupils about 63 mm apart
    assert 0 < at["left_eye_inner"][0] < at["left_eye"][0] < at["left_eye_outer"][0] < at["left_ear"][0]
    assert at["mouth_left"][1] < at["nose"][1] < at["left_eye"][1]
    assert 0.04 < at["mouth_left"][0] - at["mouth_right"][0] < 0.06
    assert at["left_heel"][2] < at["left_ankle"][2] < at["left_foot_index"][2]
    assert at["left_thumb"][2] > at["left_wrist"][2]


def test_left_mirrors_right(body):
    template = rest_keypoint_template(body)
    for i, name in enumerate(KEYPOINT_NAMES):
        other = KEYPOINT_NAMES.index(name.replace("left", "#").replace("right", "left").replace("#", "right"))
        assert np.linalg.norm(template[i] * [-1, 1, 1] - template[other]) < 0.003, name


def test_linear_in_the_betas_and_carried_by_their_joint(body):
    rng = np.random.default_rng(0)
    betas, theta, transl = rng.normal(size=10), rng.normal(0.0, 0.5, (24, 3)), rng.normal(size=3)
    keypoints = body_keypoints(body)
    surface, joints = body.rest_vertices(betas), body.rest_joints(betas)
    wanted = keypoints.vertex_weights @ surface[keypoints.vertex_ids] + keypoints.joint_weights @ joints
    np.testing.assert_allclose(rest_keypoints(body, betas), wanted, atol=1e-12)
    np.testing.assert_allclose(rest_keypoint_template(body) + rest_keypoint_dirs(body) @ betas, wanted, atol=1e-12)
    posed = body.forward(theta, betas, transl, vertices=False)
    points = keypoints.posed(betas, joints, posed.joints, posed.rotations)
    for i, j in enumerate(keypoint_joint):
        np.testing.assert_allclose(
            points[i], posed.rotations[j] @ (wanted[i] - joints[j]) + posed.joints[j], atol=1e-12
        )


def test_a_mesh_without_anny_ids_gets_the_same_landmarks_by_registration(body):
    order = np.random.default_rng(0).permutation(len(body.arrays.v_template))
    place = np.argsort(order)
    arrays = dataclasses.replace(
        body.arrays,
        v_template=body.arrays.v_template[order],
        shapedirs=body.arrays.shapedirs[order],
        weights=body.arrays.weights[order],
        joint_regressor=body.arrays.joint_regressor[:, order],
        faces=place[body.arrays.faces],
        anny_vertex_ids=None,
    )
    shuffled = BodyModel(arrays, body.marker_names, place[body.marker_vertices])
    np.testing.assert_allclose(rest_keypoint_template(shuffled), rest_keypoint_template(body), atol=1e-6)
