"""Retargeting, mirroring and knee straightening, held against the body model's own kinematics and SciPy."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_live.body.joints import JOINT_INDEX, JOINT_NAMES, PARENTS
from biopose_live.body.model import BodyModel
from biopose_live.training.motion import posture
from biopose_live.training.motion import retarget as rt
from biopose_live.training.motion.__main__ import rest_body
from biopose_live.training.motion.amass import REST
from biopose_live.training.motion.motion import Motion, accumulate, forward
from biopose_live.training.motion.rotation import Array, axis_angle_to_matrix, normalise

MODEL = BodyModel.load()
BODY = rest_body()
RNG = np.random.default_rng(6)
FRAMES = 12


def motion_of(theta: Array, rest: Array, hinges: dict[str, Array] | None = None, fps: float = 30.0) -> Motion:
    """A Motion whose source is a skeleton with the body's joints, `rest` (J, 3), posed by `theta` (T, J, 3)."""
    count = len(rest)
    offsets = rest.copy()
    for joint in range(1, count):
        offsets[joint] -= rest[PARENTS[joint]]
    local = axis_angle_to_matrix(theta)
    rotations, positions = forward(local, offsets, PARENTS[:count], np.tile(rest[0], (len(theta), 1)))
    names = JOINT_NAMES[:count]
    return Motion(
        "clip", "s", names, PARENTS[:count], offsets, rotations, positions, fps, {n: n for n in names}, hinges or {}
    )


def anatomical_theta() -> Array:
    """Random poses (T, 24, 3) that a body can take: knees and elbows are hinges, the spine bends evenly."""
    theta = np.zeros((FRAMES, 24, 3))
    for joint in ("pelvis", "left_hip", "right_hip", "left_shoulder", "right_shoulder", "left_ankle", "right_ankle"):
        theta[:, JOINT_INDEX[joint]] = RNG.normal(scale=0.5, size=(FRAMES, 3))
    for joint in ("left_collar", "right_collar", "left_foot", "right_foot"):
        theta[:, JOINT_INDEX[joint]] = RNG.normal(scale=0.2, size=(FRAMES, 3))
    bend, nod = RNG.normal(scale=0.15, size=(2, FRAMES, 3))
    for joint in ("spine1", "spine2", "spine3"):
        theta[:, JOINT_INDEX[joint]] = bend
    theta[:, JOINT_INDEX["neck"]] = theta[:, JOINT_INDEX["head"]] = nod
    for side in ("left", "right"):
        for upper, middle, lower in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")):
            u, v = (BODY.bone(f"{side}_{a}", f"{side}_{b}") for a, b in ((upper, middle), (middle, lower)))
            flexion = RNG.uniform(0.8, 1.6, size=(FRAMES, 1))
            theta[:, JOINT_INDEX[f"{side}_{middle}"]] = flexion * rt.hinge_axis(f"{side}_{middle}", u, v)
        along = BODY.bone(f"{side}_elbow", f"{side}_wrist")
        swing = np.cross(along, RNG.normal(size=(FRAMES, 3)))  # no pronation
        theta[:, JOINT_INDEX[f"{side}_wrist"]] = 0.3 * swing
    return theta


def test_poses_of_the_body_itself_come_back_unchanged() -> None:
    theta = anatomical_theta()
    done = rt.retarget(motion_of(theta, BODY.joints), BODY)
    again = Rotation.from_rotvec(done.theta.reshape(-1, 3)).inv() * Rotation.from_rotvec(theta.reshape(-1, 3))
    np.testing.assert_allclose(again.magnitude(), 0, atol=2e-6)
    assert np.nanmax(done.hinge_residual) < 1e-6


def test_limb_directions_are_those_of_a_t_pose_source() -> None:
    """Another skeleton (SMPL's T-pose), any joint rotations at all: our limbs point where the source's do."""
    source = motion_of(RNG.normal(scale=0.4, size=(FRAMES, 22, 3)), accumulate(REST, PARENTS[:22]))
    done = rt.retarget(source, BODY)
    for t in range(FRAMES):
        joints = MODEL.forward(done.theta[t], np.zeros(MODEL.n_shape), done.trans[t]).joints
        for side in ("left", "right"):
            for chain in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")):
                for a, b in pairwise(chain):
                    i, j = JOINT_INDEX[f"{side}_{a}"], JOINT_INDEX[f"{side}_{b}"]
                    theirs = normalise(source.positions[t, j] - source.positions[t, i])
                    np.testing.assert_allclose(normalise(joints[j] - joints[i]), theirs, atol=2e-5)


def test_bent_knees_and_elbows_turn_about_the_bodys_own_hinge() -> None:
    """The source's thigh is twisted by 25 degrees under its knee; after retargeting the knee is a hinge again."""
    theta = anatomical_theta()[:, :22]
    rest = accumulate(REST, PARENTS[:22])
    for joint in ("left_knee", "right_knee", "left_elbow", "right_elbow"):
        side, part = joint.split("_")
        above = {"knee": "hip", "elbow": "shoulder"}[part]
        bone = normalise(rest[JOINT_INDEX[joint]] - rest[JOINT_INDEX[f"{side}_{above}"]])
        axis = np.array([1.0, 0.0, 0.0]) if part == "knee" else np.cross(bone, [0.0, 0.0, 1.0])
        turned = Rotation.from_rotvec(np.radians(25) * bone).apply(axis)
        theta[:, JOINT_INDEX[joint]] = RNG.uniform(0.8, 1.6, size=(FRAMES, 1)) * turned
    done = rt.retarget(motion_of(theta, rest), BODY)
    for side in ("left", "right"):
        for upper, middle, lower in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")):
            u, v = (BODY.bone(f"{side}_{a}", f"{side}_{b}") for a, b in ((upper, middle), (middle, lower)))
            axis = rt.hinge_axis(f"{side}_{middle}", u, v)
            turned = Rotation.from_rotvec(done.theta[:, JOINT_INDEX[f"{side}_{middle}"]]).apply(v)
            np.testing.assert_allclose(turned @ axis, v @ axis, atol=1e-5)
            if middle == "knee":  # no twist of the shank either: the whole rotation is about the hinge
                vectors = done.theta[:, JOINT_INDEX[f"{side}_knee"]]
                np.testing.assert_allclose(normalise(vectors.astype(np.float64)), np.tile(axis, (FRAMES, 1)), atol=1e-5)
                assert (vectors @ axis > 0).all()


def test_the_knees_hinge_is_mediolateral() -> None:
    u, v = BODY.bone("left_hip", "left_knee"), BODY.bone("left_knee", "left_ankle")
    assert rt.hinge_axis("left_knee", u, v)[0] > 0.98


def test_a_standing_subject_stands_on_the_floor_and_upright() -> None:
    done = rt.retarget(motion_of(np.zeros((3, 22, 3)), accumulate(REST, PARENTS[:22])), BODY)
    posed = MODEL.forward(done.theta[0], np.zeros(MODEL.n_shape), done.trans[0])
    assert posed.vertices is not None
    assert abs(posed.vertices[:, 1].min()) < 0.01
    np.testing.assert_allclose(posed.rotations[JOINT_INDEX["head"]], np.eye(3), atol=1e-6)
    elbow, shoulder = posed.joints[JOINT_INDEX["left_elbow"]], posed.joints[JOINT_INDEX["left_shoulder"]]
    assert abs(normalise(elbow - shoulder)[0]) > 0.98  # the T-pose's arms are level


def test_half_of_the_pronation_goes_to_the_forearm() -> None:
    theta = np.zeros((3, 24, 3))
    along = BODY.bone("left_elbow", "left_wrist")
    theta[:, JOINT_INDEX["left_wrist"]] = 0.8 * along
    done = rt.retarget(motion_of(theta, BODY.joints), BODY)
    np.testing.assert_allclose(done.theta[0, JOINT_INDEX["left_elbow"]], 0.4 * along, atol=1e-6)
    np.testing.assert_allclose(done.theta[0, JOINT_INDEX["left_wrist"]], 0.4 * along, atol=1e-6)


def test_other_frame_rates_are_resampled_to_30() -> None:
    theta = np.zeros((121, 24, 3))
    theta[:, 0, 1] = np.linspace(0, 2, 121)
    done = rt.retarget(motion_of(theta, BODY.joints, fps=120.0), BODY)
    assert len(done.theta) == 31
    np.testing.assert_allclose(done.theta[:, 0, 1], np.linspace(0, 2, 31), atol=1e-6)


def test_mirror_reflects_the_joints_of_a_symmetric_body() -> None:
    other = {"left": "right", "right": "left"}
    sides = [name.split("_") for name in JOINT_NAMES]
    swap = [JOINT_NAMES.index("_".join([other.get(parts[0], parts[0]), *parts[1:]])) for parts in sides]
    flip = np.array([-1.0, 1.0, 1.0])
    rest = 0.5 * (BODY.joints + BODY.joints[swap] * flip)
    theta = RNG.normal(scale=0.6, size=(FRAMES, 24, 3)).astype(np.float32)
    trans = RNG.normal(size=(FRAMES, 3)).astype(np.float32)

    def joints(pose: np.ndarray, root: np.ndarray) -> Array:
        rotations = posture.global_from_local(pose)
        return rt.joint_positions(rotations, rest, root + rest[0])

    mirrored = joints(rt.mirror(theta), rt.mirror_translation(trans))
    np.testing.assert_allclose(mirrored, joints(theta, trans)[:, swap] * flip, atol=1e-6)
    np.testing.assert_array_equal(rt.mirror(rt.mirror(theta)), theta)


def test_straightening_takes_the_offset_and_keeps_feet_and_hip_to_ankle_line() -> None:
    theta = anatomical_theta().astype(np.float32)
    trans = np.zeros((FRAMES, 3), dtype=np.float32)
    offset = np.radians(15.0)
    new, moved = posture.straighten_knees(theta, trans, BODY, offset)
    before, after = posture.knee_bend(theta, BODY), posture.knee_bend(new, BODY)
    np.testing.assert_allclose(before - after, offset * np.tanh(before / offset), atol=1e-5)
    old_rotations, new_rotations = posture.global_from_local(theta), posture.global_from_local(new)
    for side in ("left", "right"):
        hip, ankle = JOINT_INDEX[f"{side}_hip"], JOINT_INDEX[f"{side}_ankle"]
        np.testing.assert_allclose(new_rotations[:, ankle], old_rotations[:, ankle], atol=1e-5)
        lines = [
            normalise(p[:, ankle] - p[:, hip])
            for p in (
                rt.joint_positions(r, BODY.joints, trans.astype(np.float64)) for r in (old_rotations, new_rotations)
            )
        ]
        assert (lines[0] * lines[1]).sum(axis=-1).min() > np.cos(np.radians(2))
    heights = [
        rt.sole_height(r, rt.joint_positions(r, BODY.joints, t + BODY.joints[0]), BODY)
        for r, t in ((old_rotations, trans), (new_rotations, moved))
    ]
    np.testing.assert_allclose(heights[0], heights[1], atol=1e-5)


@pytest.mark.parametrize(("lowest", "expected"), [(0.0, 0.0), (14.0, 10.0), (80.0, 20.0)])
def test_the_standing_offset_is_what_the_knees_hardly_go_below(lowest: float, expected: float) -> None:
    bend = np.radians(np.linspace(lowest, lowest + 1e-3, 100))[:, None].repeat(2, axis=1)
    assert np.degrees(posture.standing_offset(bend)) == pytest.approx(expected, abs=0.01)


def test_a_source_without_feet_collars_and_hands_is_retargeted() -> None:
    motion = motion_of(np.zeros((2, 22, 3)), accumulate(REST, PARENTS[:22]))
    few = {k: v for k, v in motion.anatomy.items() if not k.endswith(("_foot", "_collar")) and k != "neck"}
    done = rt.retarget(replace(motion, anatomy=few), BODY)
    assert np.isfinite(done.theta).all()


def test_a_clip_is_cut_where_a_segment_flips() -> None:
    theta = np.zeros((60, 24, 3), dtype=np.float32)
    theta[:, 0, 1] = np.linspace(0, 1, 60)
    assert posture.steady_runs(theta) == [slice(0, 60)]
    theta[20:24, 2, 1] = np.pi
    assert posture.steady_runs(theta) == [slice(0, 20), slice(24, 60)]
    assert posture.steady_runs(theta[:1]) == [slice(0, 1)]
