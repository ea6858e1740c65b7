"""BVH: bvhio reads the file and puts every joint where our forward kinematics has it; SciPy is the oracle of angles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import bvhio
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_live.errors import UserError
from biopose_live.export.bvh_file import (
    NEAR_SINGULAR,
    ORDERS,
    best_order,
    bones,
    continuous,
    euler,
    poses,
    write_bvh,
)
from biopose_live.export.exporting import export_recording
from biopose_live.export.resampling import grid
from biopose_live.skeleton.functions import Polynomial
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import GROUND, Axis
from biopose_live.training.motion import bvh

from .conftest import Made, moving


def by_bvhio(path: Path) -> tuple[list[str], np.ndarray]:
    """Joint names and their world positions (N, J, 3), in the file's unit."""
    frames = bvhio.readAsBvh(str(path)).FrameCount
    root = bvhio.readAsHierarchy(str(path))
    joints = [joint for joint, _, _ in root.layout()]
    positions = np.empty((frames, len(joints), 3))
    for frame in range(frames):
        root.loadPose(frame)
        positions[frame] = [list(joint.PositionWorld) for joint in joints]
    return [joint.Name for joint in joints], positions


@pytest.mark.parametrize("order", ORDERS)
def test_angles_are_scipys(order: str) -> None:
    turns = Rotation.random(200, rng=np.random.default_rng(0))
    np.testing.assert_allclose(euler(turns.as_matrix(), order), turns.as_euler(order), atol=1e-9)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("middle", [-90.0, 90.0])
def test_angles_at_the_singular_pose_still_turn_alike(order: str, middle: float) -> None:
    turns = Rotation.from_euler(order, [[20.0, middle, 50.0], [-170.0, middle, 10.0]], degrees=True)
    again = Rotation.from_euler(order, euler(turns.as_matrix(), order))
    np.testing.assert_allclose(again.as_matrix(), turns.as_matrix(), atol=1e-8)


def test_angles_stay_continuous_through_the_half_turn_and_the_middles_right_angle() -> None:
    wanted = np.stack([np.linspace(100, 300, 80), np.linspace(60, 120, 80), np.linspace(-50, 40, 80)], 1)
    turns = Rotation.from_euler("ZXY", wanted, degrees=True).as_matrix()
    found = np.degrees(continuous(euler(turns, "ZXY")[:, None]))[:, 0]
    assert np.abs(np.diff(found, axis=0)).max() < 10.0
    again = Rotation.from_euler("ZXY", found, degrees=True).as_matrix()
    np.testing.assert_allclose(again, turns, atol=1e-9)


def test_a_t_pose_gets_another_order_of_channels() -> None:
    raised = Rotation.from_euler("ZXY", [[10.0, -80.0, 5.0], [-10.0, -95.0, 10.0]], degrees=True).as_matrix()
    order = best_order(raised)
    assert order != "ZXY"
    assert np.abs(euler(raised, order)[:, 1]).max() < NEAR_SINGULAR
    assert best_order(np.tile(np.eye(3), (3, 1, 1))) == "ZXY"


def test_bvhio_puts_every_joint_where_forward_kinematics_has_it(whole: Made, tmp_path: Path) -> None:
    exported = export_recording(whole.folder, ["bvh"], tmp_path / "out")
    assert [path.name for path in exported.files] == ["person_1.bvh", "person_2.bvh"]
    kinematics = Kinematics(whole.model)
    for person, first in ((1, 0), (2, 5)):
        names, positions = by_bvhio(tmp_path / "out" / f"person_{person}.bvh")
        assert sorted(names) == sorted(whole.model.body_names)
        assert len(positions) == 40 - first
        at = [whole.model.body_index(name) for name in names]
        for row, q in zip(positions, whole.q[person][first:], strict=True):
            expected = kinematics.joint_centres(q, whole.scales[-1])[at]
            np.testing.assert_allclose(row / 100.0, expected, atol=1e-5)
    assert exported.notes == ["person_2.bvh begins 0.167 s after the recording."]


def test_our_own_reader_agrees(whole: Made, tmp_path: Path) -> None:
    export_recording(whole.folder, ["bvh"], tmp_path, person=1)
    skeleton, values, rate = bvh.parse((tmp_path / "person_1.bvh").read_text(), "person_1.bvh")
    _, positions = bvh.pose(skeleton, values)
    assert rate == pytest.approx(30.0, abs=1e-4)
    at = [whole.model.body_index(name) for name in skeleton.names]
    kinematics = Kinematics(whole.model)
    expected = [kinematics.joint_centres(q, whole.scales[-1])[at] for q in whole.q[1]]
    np.testing.assert_allclose(positions / 100.0, expected, atol=1e-6)


def test_channels_keep_away_from_singular_poses(whole: Made, tmp_path: Path) -> None:
    """The right arm passes through the T-pose, where Z-X-Y is singular."""
    export_recording(whole.folder, ["bvh"], tmp_path, person=1)
    skeleton, values, _ = bvh.parse((tmp_path / "person_1.bvh").read_text(), "person_1.bvh")
    channels = dict(zip(skeleton.names, skeleton.channels, strict=True))
    assert channels["humerus_r"] != ("Zrotation", "Xrotation", "Yrotation")
    assert channels["femur_r"] == ("Zrotation", "Xrotation", "Yrotation")
    assert np.abs(np.diff(values[:, 3:], axis=0)).max() < 60.0  # degrees in a thirtieth of a second: no jumps


def test_last_bones_have_a_length(whole: Made) -> None:
    bone = bones(whole.model, whole.scales[-1])
    last = [place for place in range(len(bone.bodies)) if place not in bone.parents]
    assert {whole.model.bodies[bone.bodies[place]].name for place in last} == {
        "head", "hand_r", "hand_l", "toes_r", "toes_l",
    }  # fmt: skip
    assert (np.linalg.norm(bone.ends[last], axis=1) > 0.02).all()


def test_poses_of_rigid_bones_have_no_slack(whole: Made) -> None:
    q = moving(whole.model, np.arange(10) / 30.0)
    posed = poses(whole.model, bones(whole.model, whole.scales[-1]), whole.scales[-1], q)
    assert posed.slack < 1e-12


def test_a_joint_that_slides_is_measured(whole: Made) -> None:
    """A knee whose centre moves 1 cm per radian of flexion."""
    number = [joint.name for joint in whole.model.joints].index("knee_r")
    knee, flexion = whole.model.joints[number], whole.model.coordinate_index("knee_angle_r")
    slide = Axis(np.array([1.0, 0.0, 0.0]), Polynomial((0.01, 0.0)), flexion)
    joints = list(whole.model.joints)
    joints[number] = replace(knee, axes=(*knee.axes[:3], slide, *knee.axes[4:]))
    model = replace(whole.model, joints=tuple(joints))
    ones = np.ones((len(model.bodies), 3))
    q = np.zeros((3, len(model.coordinates)))
    q[1, flexion] = 1.5
    assert poses(model, bones(model, ones), ones, q).slack == pytest.approx(0.015)


def test_two_bodies_on_the_ground_have_no_hierarchy(whole: Made) -> None:
    joints = list(whole.model.joints)
    joints[1] = replace(joints[1], parent=GROUND)
    model = replace(whole.model, joints=tuple(joints))
    with pytest.raises(ValueError, match="2 bodies stand on the ground"):
        bones(model, np.ones((len(model.bodies), 3)))


def test_a_place_that_cannot_be_written_is_one_sentence(whole: Made, tmp_path: Path) -> None:
    bone = bones(whole.model, whole.scales[-1])
    posed = poses(whole.model, bone, whole.scales[-1], whole.q[1])
    with pytest.raises(UserError, match=r"Cannot write .*No such file"):
        write_bvh(
            tmp_path / "none" / "a.bvh", whole.model.body_names, bone, ["ZXY"] * 24, grid(whole.times, 30.0), posed,
            slice(0, 5),
        )  # fmt: skip
