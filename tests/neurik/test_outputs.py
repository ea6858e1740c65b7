"""What NeurIK's numbers mean: the joints that turn freely, against SciPy's rotations and the skeleton's kinematics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from biopose_live.neurik.outputs import FREE_JOINTS, FreeJoint, OutputLayout
from biopose_live.skeleton.bsk24 import load_bsk24
from biopose_live.skeleton.kinematics import Kinematics

MODEL = load_bsk24()
LAYOUT = OutputLayout(MODEL)
FREE = pytest.mark.parametrize("joint", LAYOUT.free, ids=FREE_JOINTS)
SHOULDERS = pytest.mark.parametrize("joint", LAYOUT.free[1:], ids=FREE_JOINTS[1:])
VECTORS = st.tuples(*[st.floats(-3.1, 3.1)] * 3).map(np.array)


def by_scipy(joint: FreeJoint, q: np.ndarray) -> Rotation:
    """Three turns about the joint's axes, each turning with the one before."""
    turns = [Rotation.from_rotvec(angle * axis) for angle, axis in zip(q, joint.axes.T, strict=True)]
    return turns[0] * turns[1] * turns[2]


@FREE
@settings(max_examples=40, deadline=None)
@given(q=VECTORS)
def test_a_rotation_is_scipys(joint: FreeJoint, q: np.ndarray) -> None:
    np.testing.assert_allclose(joint.rotation(q), by_scipy(joint, q).as_matrix(), atol=1e-12)


def test_the_pelvis_rotation_is_the_skeletons() -> None:
    q = np.zeros(len(MODEL.coordinates))
    joint = LAYOUT.free[0]
    q[joint.coordinates] = (0.4, -0.3, 1.2)
    rotations, _ = Kinematics(MODEL).forward(q)
    np.testing.assert_allclose(joint.rotation(q[joint.coordinates]), rotations[MODEL.body_index("pelvis")], atol=1e-12)


@FREE
@settings(max_examples=40, deadline=None)
@given(vector=VECTORS)
def test_angles_write_the_rotation_that_they_are_read_from(joint: FreeJoint, vector: np.ndarray) -> None:
    rotation = Rotation.from_rotvec(vector).as_matrix()
    q = joint.angles(rotation)
    np.testing.assert_allclose(joint.rotation(q), rotation, atol=1e-9)
    assert abs(q[1]) <= np.pi / 2 + 1e-12


@FREE
@settings(max_examples=60, deadline=None)
@given(vector=VECTORS, last=VECTORS)
def test_angles_near_others_keep_to_the_limits(joint: FreeJoint, vector: np.ndarray, last: np.ndarray) -> None:
    last = np.clip(last, *joint.limits.T)
    rotation = Rotation.from_rotvec(vector).as_matrix()
    q = joint.angles_near(rotation, last)
    assert (q >= joint.limits[:, 0]).all()
    assert (q <= joint.limits[:, 1]).all()
    one = joint.angles(rotation)
    other = np.array([one[0] + np.pi, np.pi - one[1], one[2] + np.pi])
    for way in (one, other):  # one that lies inside is passed over only for one much nearer
        whole = np.round((last - way) / (2 * np.pi)) * 2 * np.pi + way
        inside = (whole >= joint.limits[:, 0]).all() and (whole <= joint.limits[:, 1]).all()
        if inside and np.abs(whole - last).sum() <= np.abs(q - last).sum() + 1e-9:
            np.testing.assert_allclose(joint.rotation(q), rotation, atol=1e-7)


@SHOULDERS
@pytest.mark.parametrize("plane", [0.0, 0.4, -0.5])
def test_an_arm_goes_through_the_t_pose_without_a_jump(joint: FreeJoint, plane: float) -> None:
    """Arms raised sideways from 30 to 140 degrees: the T-pose, in the middle, is where the angles are singular."""
    steps = np.radians(np.linspace(-30, -140, 221))
    path = np.stack([np.full(221, plane), steps, 0.2 * np.sin(4 * steps)], 1)
    last = path[0]
    for true in path[1:]:
        last = joint.angles_near(joint.rotation(true), last)
        np.testing.assert_allclose(joint.rotation(last), joint.rotation(true), atol=1e-7)
        if abs(np.cos(true[1])) > 1e-6:  # there the angles are not told by the rotation
            np.testing.assert_allclose(last, true, atol=1e-5)


@SHOULDERS
def test_a_shaken_arm_near_the_t_pose_stays_on_its_way_of_writing(joint: FreeJoint) -> None:
    rng = np.random.default_rng(2)
    last = np.array([0.1, np.radians(-80), 0.1])
    for n in range(200):
        true = np.array([0.1, np.radians(-80 - 20 * np.sin(n / 20)), 0.1])
        shaken = joint.rotation(true) @ Rotation.from_rotvec(0.003 * rng.normal(size=3)).as_matrix()
        last = joint.angles_near(shaken, last)
        # First and last angle are told apart the worse the nearer the pose is to the singular one.
        near = max(abs(np.cos(true[1])), 1e-9)
        if near > 0.05:
            np.testing.assert_allclose(last, true, atol=0.02 / near)
        np.testing.assert_allclose(joint.rotation(last), shaken, atol=1e-7)


def test_the_pelvis_turns_on_and_on() -> None:
    joint, last = LAYOUT.free[0], np.zeros(3)
    for angle in np.radians(np.arange(0, 800, 15)):
        last = joint.angles_near(joint.rotation(np.array([angle, 0.2, -0.1])), last)
        np.testing.assert_allclose(last, [angle, 0.2, -0.1], atol=1e-9)


def test_every_number_of_the_answer_has_one_place() -> None:
    taken = np.zeros(LAYOUT.size, int)
    for part in (LAYOUT.ranged_part, LAYOUT.six_part, LAYOUT.place_part, LAYOUT.scale_part, LAYOUT.sigma_part):
        taken[part] += 1
    assert (taken == 1).all()
    free = np.concatenate([joint.coordinates for joint in LAYOUT.free])
    together = np.sort(np.concatenate([LAYOUT.ranged, LAYOUT.place, free]))
    np.testing.assert_array_equal(together, np.arange(len(MODEL.coordinates)))
    assert (LAYOUT.low < LAYOUT.high).all()
    assert LAYOUT.sigma_part.stop - LAYOUT.sigma_part.start == len(MODEL.coordinates)
    assert [MODEL.coordinate_names[i] for i in LAYOUT.place] == ["pelvis_tx", "pelvis_ty", "pelvis_tz"]


def test_a_skeleton_without_such_a_shoulder_is_refused(other_skeleton) -> None:  # type: ignore[no-untyped-def]
    from biopose_live.skeleton.choice import load_skeleton

    with pytest.raises(KeyError):
        OutputLayout(load_skeleton(other_skeleton))
