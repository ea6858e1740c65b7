"""Bodies in, joint angles out: lengths, frames, units and signs as the wire announces them."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_client.schema import Pose, pack, unpack
from biopose_live.body.model import BodyModel
from biopose_live.messages import Decoder, FrameRef, Intrinsics, Meshes, MeshPerson, encode
from biopose_live.mqhmr.gravity import pitched
from biopose_live.mqhmr.landmarks import Landmarks
from biopose_live.neurik.calibration import Calibrator
from biopose_live.neurik.naming import LIMB_LANDMARKS
from biopose_live.rotations import to_vector
from biopose_live.settings import Settings
from biopose_live.sinks.session_meta import build_meta
from biopose_live.skeleton.model import SkeletonModel
from biopose_live.stages.neurik import FORGET_S, NeurikStage, quaternions, world_from_camera

SETTINGS = Settings(video=None, demo=True)
CAMERA = Intrinsics(1000.0, (640.0, 360.0))
META = build_meta(SETTINGS, "test")


@pytest.fixture
def stage() -> NeurikStage:
    return NeurikStage(SETTINGS)


@pytest.fixture(scope="module")
def standing(body: BodyModel, skeleton: SkeletonModel) -> np.ndarray:
    return Calibrator(body, skeleton).standing_pose(np.zeros(10))


def seen(
    body: BodyModel, landmarks: Landmarks, pose: np.ndarray, heading: float, pitch: float, roll: float = 0.0
) -> tuple[MeshPerson, np.ndarray]:
    """Somebody 4 m in front of a camera that looks down by `pitch` and is rolled; heading 0 faces the camera."""
    tilt = Rotation.from_euler("xz", [pitch, roll]).as_matrix()
    pose = pose.copy()
    facing = tilt @ np.diag([1.0, -1.0, -1.0]) @ Rotation.from_rotvec([0, heading, 0]).as_matrix()
    pose[0] = facing @ pose[0]
    at = np.array([0.2, -0.1, 4.0])
    joints, markers, _ = body.pose_markers(pose, np.zeros(10), at)
    points = landmarks.place(pose, np.zeros(10)) + at
    image = CAMERA.focal * points[:, :2] / points[:, 2:] + np.array(CAMERA.centre)
    person = MeshPerson(
        id=7,
        confidence=0.9,
        box=np.array([1.0, 2.0, 3.0, 4.0]),
        keypoints=np.column_stack([image, np.ones(33)]).astype(np.float32),
        theta=to_vector(pose),
        theta_sigma=np.full((24, 3), 0.1),
        betas=np.zeros(10),
        translation=at,
        joints=joints,
        landmarks=points,
        markers=markers,
        up=tilt @ np.array([0.0, -1.0, 0.0]),
        settled=True,
    )
    return person, tilt


def message(*people: MeshPerson, seq: int = 0, t: float = 1.0) -> Meshes:
    return Meshes(FrameRef(seq, int(t * 1e9), 1280, 720, 0, 0, 3), CAMERA, list(people), {"capture": 1.0})


def angle(pose: Pose, name: str) -> float:
    return math.degrees(pose.people[0].q[META.coordinate_names.index(name)])


def test_the_message_is_as_the_meta_message_announces(
    stage: NeurikStage, body: BodyModel, landmarks: Landmarks, standing: np.ndarray
) -> None:
    person, _ = seen(body, landmarks, standing, 0.0, 0.0)
    pose = stage.process(message(person, seq=12))
    assert pose.seq == 12
    assert pose.t_capture == 1_000_000_000
    assert pose.image == [1280, 720]
    assert pose.dropped == 3
    assert pose.stages == {"capture": 1.0}
    one = pose.people[0]
    assert one.id == 7
    assert one.settled
    assert len(one.q) == len(one.q_sigma) == len(META.coordinate_names) == len(META.coordinate_units)
    assert len(one.joints) == len(META.joint_names)
    assert len(one.bodies) == len(one.scales) == len(META.body_names)
    assert len(one.keypoints) == len(META.keypoint_names)
    assert np.shape(one.joints) == (36, 3)
    assert np.shape(one.bodies) == (24, 4)
    assert np.shape(one.scales) == (24, 3)
    assert np.shape(one.theta) == (24, 3)
    assert np.shape(one.root) == (3,)
    assert unpack(pack(pose)) == pose
    again = Decoder(Meshes).decode(encode(message(person, seq=12)))  # as it arrives from another process
    assert NeurikStage(SETTINGS).process(again) == pose


def test_another_skeletons_message_is_as_its_meta_message_announces(
    body: BodyModel, landmarks: Landmarks, standing: np.ndarray, other_skeleton: Path
) -> None:
    settings = Settings(demo=True, skeleton=other_skeleton)
    meta = build_meta(settings, "test")
    person, _ = seen(body, landmarks, standing, 0.3, 0.1)
    one = NeurikStage(settings).process(message(person)).people[0]
    assert meta.body_names[0] == "Pelvis"
    assert meta.joint_names == [*meta.body_names, *META.joint_names[24:]]
    assert meta.coordinate_units[meta.coordinate_names.index("knee_slide_r")] == "m"
    assert meta.versions.models["skeleton"].startswith("other.osim sha256 ")
    assert len(one.q) == len(one.q_sigma) == len(meta.coordinate_names)
    assert len(one.joints) == len(meta.joint_names)
    assert len(one.bodies) == len(one.scales) == len(meta.body_names)
    np.testing.assert_allclose(one.joints[-12:], person.landmarks[list(LIMB_LANDMARKS)])
    np.testing.assert_allclose(one.root, world_from_camera(person.up) @ np.array(one.joints[0]), atol=1e-9)
    heading = math.degrees(one.q[meta.coordinate_names.index("heading")])
    assert heading == pytest.approx(math.degrees(0.3), abs=3.0)


def test_whoever_stands_facing_a_level_camera_has_zero_angles(
    stage: NeurikStage, body: BodyModel, landmarks: Landmarks, standing: np.ndarray
) -> None:
    person, _ = seen(body, landmarks, standing, 0.0, 0.0)
    pose = stage.process(message(person))
    for name in ("pelvis_rotation", "pelvis_tilt", "pelvis_list", "knee_angle_r", "knee_angle_l", "hip_flexion_r"):
        assert abs(angle(pose, name)) < 2.0, name


@pytest.mark.parametrize("heading", [40.0, -110.0])
@pytest.mark.parametrize(("pitch", "roll"), [(0.0, 0.0), (20.0, 0.0), (-10.0, 5.0), (60.0, 0.0)])
def test_the_world_is_level_whatever_the_cameras_tilt(
    body: BodyModel, landmarks: Landmarks, standing: np.ndarray, heading: float, pitch: float, roll: float
) -> None:
    person, _ = seen(body, landmarks, standing, math.radians(heading), math.radians(pitch), math.radians(roll))
    pose = NeurikStage(SETTINGS).process(message(person))
    turned = (angle(pose, "pelvis_rotation") - heading + 180) % 360 - 180
    assert abs(turned) < 2.0 + abs(roll)  # rolled: the picture's axis is not quite the world's
    assert abs(angle(pose, "pelvis_tilt")) < 2.0
    assert abs(angle(pose, "pelvis_list")) < 2.0
    root = pose.people[0].root
    np.testing.assert_allclose(root, world_from_camera(person.up) @ np.array(pose.people[0].joints[0]), atol=1e-9)


def test_joints_lie_in_the_camera_frame_where_the_picture_shows_them(
    stage: NeurikStage, body: BodyModel, landmarks: Landmarks, standing: np.ndarray
) -> None:
    person, _ = seen(body, landmarks, standing, 0.5, 0.2)
    one = stage.process(message(person)).people[0]
    joints = np.array(one.joints)
    image = one.camera.focal * joints[:, :2] / joints[:, 2:] + np.array(one.camera.centre)
    keypoints = np.array(one.keypoints)[list(LIMB_LANDMARKS), :2]
    np.testing.assert_allclose(image[24:], keypoints, atol=0.01)
    # The joint centres of the skeleton lie near the limb points of the same name.
    for body_name, limb in (("tibia", "knee"), ("femur", "hip"), ("humerus", "shoulder"), ("ulna", "elbow")):
        for side in "lr":
            a = joints[META.joint_names.index(f"{body_name}_{side}")]
            b = joints[META.joint_names.index(f"{limb}_{side}")]
            assert np.linalg.norm(a - b) < 0.08, (body_name, side)


def test_bodies_turn_as_the_coordinates_say(
    stage: NeurikStage, body: BodyModel, landmarks: Landmarks, standing: np.ndarray, skeleton: SkeletonModel
) -> None:
    from biopose_live.skeleton.kinematics import Kinematics

    person, _ = seen(body, landmarks, standing, 0.5, 0.2)
    one = stage.process(message(person)).people[0]
    rotations, origins = Kinematics(skeleton).forward(np.array(one.q), np.array(one.scales))
    found = Rotation.from_quat(one.bodies)
    assert (found.inv() * Rotation.from_matrix(rotations)).magnitude().max() < 1e-7
    np.testing.assert_allclose(one.root, origins[skeleton.body_index("pelvis")], atol=1e-9)


def test_people_are_kept_apart_and_forgotten(
    stage: NeurikStage, body: BodyModel, landmarks: Landmarks, standing: np.ndarray
) -> None:
    first, _ = seen(body, landmarks, standing, 0.0, 0.0)
    second, _ = seen(body, landmarks, standing, 1.0, 0.0)
    second.id = 8
    pose = stage.process(message(first, second))
    assert [p.id for p in pose.people] == [7, 8]
    assert pose.people[0].q != pose.people[1].q
    stage.process(message(t=2.0))
    assert len(stage._people) == 2
    stage.process(message(t=3.0 + FORGET_S))
    assert not stage._people
    assert stage.process(message()).people == []
    stage.close()


# --- the two conversions -----------------------------------------------------------------------------------------


def test_quaternions_are_scipys() -> None:
    rotations = Rotation.random(500, rng=np.random.default_rng(0)).as_matrix()
    half = [Rotation.from_rotvec(math.pi * axis / np.linalg.norm(axis)).as_matrix() for axis in
            np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, -1], [1, 2, 3.0]])]  # fmt: skip
    rotations = np.concatenate([rotations, half, np.eye(3)[None]])
    found = quaternions(rotations)
    expected = Rotation.from_matrix(rotations).as_quat(canonical=True)
    assert (found[:, 3] >= 0).all()
    np.testing.assert_allclose(np.abs((found * expected).sum(-1)), 1.0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(found[:500], expected[:500], atol=1e-9)


def test_a_level_cameras_world() -> None:
    np.testing.assert_allclose(
        world_from_camera(np.array([0.0, -1.0, 0.0])), [[0, 0, -1], [0, -1, 0], [-1, 0, 0]], atol=1e-15
    )


def test_every_world_is_proper_and_level() -> None:
    rng = np.random.default_rng(1)
    for up in [*rng.normal(size=(200, 3)), *np.eye(3), *-np.eye(3)]:
        world = world_from_camera(up)
        np.testing.assert_allclose(world @ world.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(world) == pytest.approx(1.0)
        np.testing.assert_allclose(world @ up, [0, np.linalg.norm(up), 0], atol=1e-9)


def test_the_world_does_not_jump_as_the_camera_tilts_from_straight_up_to_straight_down() -> None:
    worlds = [world_from_camera(pitched(math.radians(p))) for p in np.arange(-90.0, 90.5, 0.5)]
    steps = [Rotation.from_matrix(a.T @ b).magnitude() for a, b in pairwise(worlds)]
    assert math.degrees(max(steps)) < 1.0
