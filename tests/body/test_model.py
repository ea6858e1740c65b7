"""The NumPy body against SciPy rotations composed by hand, joint by joint, and against its own definitions."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_live.body.joints import PARENTS
from biopose_live.body.model import BodyModel, depth_levels, rotation_matrices
from biopose_live.errors import UserError


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture
def drawn():
    rng = np.random.default_rng(4)
    return rng.normal(0.0, 0.6, (24, 3)), rng.normal(size=10), np.array([0.3, 1.1, -2.0])


def chain(theta, rest, transl):
    """World rotation and position of every joint, by recursion over 4x4 matrices built with SciPy."""
    world = []
    for j, parent in enumerate(PARENTS):
        local = np.eye(4)
        local[:3, :3] = Rotation.from_rotvec(theta[j]).as_matrix()
        local[:3, 3] = rest[j] - rest[parent] if j else rest[j] + transl
        world.append(world[parent] @ local if j else local)
    return np.stack(world)


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1e-5, 0.5, 3.0])
def test_rotation_matrices_match_scipy(scale):
    vectors = np.random.default_rng(0).normal(size=(50, 3)) * scale
    np.testing.assert_allclose(rotation_matrices(vectors), Rotation.from_rotvec(vectors).as_matrix(), atol=1e-12)


def test_kinematics_match_a_chain_of_scipy_rotations(body, drawn):
    theta, betas, transl = drawn
    posed = body.forward(theta, betas, transl, vertices=False)
    world = chain(theta, body.rest_joints(betas), transl)
    np.testing.assert_allclose(posed.joints, world[:, :3, 3], atol=1e-12)
    np.testing.assert_allclose(posed.rotations, world[:, :3, :3], atol=1e-12)


def test_skinning_is_the_weighted_sum_of_joint_transforms(body, drawn):
    theta, betas, transl = drawn
    posed = body.forward(theta, betas, transl)
    rest, world = body.rest_joints(betas), chain(theta, body.rest_joints(betas), transl)
    surface = body.rest_vertices(betas)
    for v in np.random.default_rng(1).integers(0, len(surface), 40):
        wanted = sum(
            body.arrays.weights[v, j] * (world[j, :3, :3] @ (surface[v] - rest[j]) + world[j, :3, 3]) for j in range(24)
        )
        np.testing.assert_allclose(posed.vertices[v], wanted, atol=1e-12)


def test_zero_pose_is_the_rest_body_shifted(body, drawn):
    _, betas, transl = drawn
    posed = body.forward(np.zeros((24, 3)), betas, transl)
    np.testing.assert_allclose(posed.vertices, body.rest_vertices(betas) + transl, atol=1e-12)
    np.testing.assert_allclose(posed.markers, body.rest_markers(betas) + transl, atol=1e-12)


def test_markers_are_vertices_at_rest_and_ride_rigidly_on_their_bone(body, drawn):
    theta, betas, transl = drawn
    np.testing.assert_array_equal(body.rest_markers(betas), body.rest_vertices(betas)[body.marker_vertices])
    joints, markers, rotations = body.pose_markers(rotation_matrices(theta), betas, transl)
    rest, rest_markers = body.rest_joints(betas), body.rest_markers(betas)
    row, elbow_side = body.marker_names.index("LLEL"), body.joint_names.index("left_shoulder")
    wanted = rotations[elbow_side] @ (rest_markers[row] - rest[elbow_side]) + joints[elbow_side]
    np.testing.assert_allclose(markers[row], wanted, atol=1e-12)


def test_skin_markers_are_vertices_in_every_pose(drawn):
    theta, betas, transl = drawn
    body = BodyModel.load(markers="skin")
    posed = body.forward(theta, betas, transl)
    np.testing.assert_allclose(posed.markers, posed.vertices[body.marker_vertices], atol=1e-12)


def test_the_live_path_agrees_with_forward_and_parts_can_be_left_out(body, drawn):
    theta, betas, transl = drawn
    posed = body.forward(theta, betas, transl, vertices=False)
    assert posed.vertices is None
    joints, markers, rotations = body.pose_markers(rotation_matrices(theta), betas, transl)
    for live, full in ((joints, posed.joints), (markers, posed.markers), (rotations, posed.rotations)):
        np.testing.assert_allclose(live, full, atol=1e-14)
    assert body.forward(theta, betas, transl, vertices=False, markers=False).markers.shape == (0, 3)


def test_the_pelvis_stays_at_the_origin_for_every_shape(body):
    assert np.abs(body.joint_template[0]).max() < 1e-4
    assert np.abs(body.joint_dirs[0]).max() < 1e-3


def test_mean_adult_has_human_proportions(body):
    assert body.stature(np.zeros(10)) == pytest.approx(1.70, abs=0.02)
    y = body.joint_template[:, 1]
    sole = body.arrays.v_template[:, 1].min()
    heights = (y - sole) / body.stature(np.zeros(10))
    # Drillis and Contini 1966 (in Winter 2009, fig. 4.1), as fractions of stature.
    for joint, wanted in (("left_hip", 0.530), ("left_knee", 0.285), ("left_shoulder", 0.818), ("left_ankle", 0.039)):
        assert heights[body.joint_names.index(joint)] == pytest.approx(wanted, abs=0.03), joint


@pytest.mark.parametrize("height", [1.45, 1.6, 1.75, 2.0])
def test_betas_for_height_reach_it_by_the_shortest_step(body, height):
    betas = body.betas_for_height(height)
    assert body.stature(betas) == pytest.approx(height, abs=1e-4)
    assert np.linalg.norm(betas) < 3.5
    # The shortest way to a level set of a linear function is along its gradient, taken here by finite differences.
    step = 1e-4 * np.eye(10)
    gradient = np.array([body.stature(betas + e) - body.stature(betas - e) for e in step]) / 2e-4
    assert abs(betas @ gradient) == pytest.approx(np.linalg.norm(betas) * np.linalg.norm(gradient), rel=1e-3)


def test_impossible_height_is_the_users_mistake(body):
    for height in (0.2, 17.0, float("nan")):
        with pytest.raises(UserError, match="metres"):
            body.betas_for_height(height)


def test_wrong_number_of_betas_is_named(body):
    with pytest.raises(ValueError, match=r"\(10,\)"):
        body.rest_joints(np.zeros(7))


def test_levels_cover_every_joint_after_its_parent():
    seen = {0}
    for level in depth_levels(np.array(PARENTS)):
        assert all(PARENTS[j] in seen for j in level)
        seen.update(level.tolist())
    assert seen == set(range(24))


def test_stature_near_the_mean_predicts_a_nearby_persons(body: BodyModel) -> None:
    mean, gradient = body.stature_near_mean()
    betas = 0.1 * np.random.default_rng(5).normal(size=body.n_shape)
    assert body.stature(betas) == pytest.approx(mean + gradient @ betas, abs=1e-3)
