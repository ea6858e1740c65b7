"""The line from virtual markers to angles on models that are not `bsk24`.

`BIOPOSE_OSIM_MODELS=FOLDER` runs the same tests on the .osim files there.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_live.body.model import BodyModel
from biopose_live.neurik.calibration import BODY_TO_GROUND, Calibrator
from biopose_live.neurik.kinematic_track import OTHER_SIGMA_M, SHARED_SIGMA, KinematicTrack, arms, pulls
from biopose_live.skeleton.choice import load_skeleton
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import SkeletonModel
from other_skeleton import build

FOLDER = os.environ.get("BIOPOSE_OSIM_MODELS")
FILES: list[Path | None] = [None, *(sorted(Path(FOLDER).glob("*.osim")) if FOLDER else [])]
SHAPES = [np.zeros(10), np.random.default_rng(1).normal(size=10)]


@pytest.fixture(scope="module", params=FILES, ids=lambda file: "other" if file is None else file.stem)
def other(request: pytest.FixtureRequest, other_skeleton: Path) -> SkeletonModel:
    return load_skeleton(request.param or other_skeleton)


@pytest.fixture(scope="module")
def calibrator(body: BodyModel, other: SkeletonModel) -> Calibrator:
    return Calibrator(body, other)


def bends(calibrator: Calibrator, q: np.ndarray, model: SkeletonModel) -> dict[str, float]:
    """Degrees between the bones that meet at knee and elbow, and of the thigh against the trunk's line: whatever a
    model calls its coordinates."""
    centres = Kinematics(model).joint_centres(q)
    bodies = calibrator._anatomy.centres

    def angle(a: str, b: str, c: str) -> float:
        first, second = (centres[bodies[y]] - centres[bodies[x]] for x, y in ((a, b), (b, c)))
        cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
        return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))

    return {side: angle(f"hip_{side}", f"knee_{side}", f"ankle_{side}") for side in "rl"}


@pytest.mark.parametrize("betas", SHAPES)
def test_whoever_stands_in_the_zero_pose_reads_the_zero_pose(
    body: BodyModel, other: SkeletonModel, calibrator: Calibrator, betas: np.ndarray
) -> None:
    assert calibrator.general
    _, markers, _ = body.pose_markers(calibrator.standing_pose(betas), betas, np.array([0.3, 0.1, -0.2]))
    solved = KinematicTrack(other, calibrator).update(0.0, markers @ BODY_TO_GROUND.T, betas, True)
    assert solved.rms < 0.002
    forearms = set(calibrator._turning.values())
    for number, coordinate in enumerate(other.coordinates):
        if coordinate.rotational and number not in forearms:
            off = np.degrees(solved.q[number] - calibrator.standing[number])
            assert abs(off) < 1.0, coordinate.name


@pytest.mark.parametrize("betas", SHAPES)
def test_bones_are_as_long_as_the_bodys(
    body: BodyModel, other: SkeletonModel, calibrator: Calibrator, betas: np.ndarray
) -> None:
    person = calibrator(betas)
    assert person.scales.shape == (len(other.bodies), 3)
    assert person.scales.min() > 0.6
    assert person.scales.max() < 1.6
    centres = Kinematics(other).joint_centres(calibrator.standing, person.scales)
    own = body.rest_joints(betas)
    for start, end, joints in (("hip", "knee", ("hip", "knee")), ("knee", "ankle", ("knee", "ankle")),
                               ("shoulder", "elbow", ("shoulder", "elbow"))):  # fmt: skip
        bodies = calibrator._anatomy.centres
        found = np.linalg.norm(centres[bodies[f"{start}_r"]] - centres[bodies[f"{end}_r"]])
        a, b = (body.joint_names.index(f"right_{joint}") for joint in joints)
        assert found == pytest.approx(np.linalg.norm(own[a] - own[b]), rel=0.02)


def test_a_persons_movement_reads_as_with_bsk24(
    body: BodyModel, skeleton: SkeletonModel, other: SkeletonModel, calibrator: Calibrator
) -> None:
    reference = Calibrator(body, skeleton)
    tracks = {True: KinematicTrack(skeleton, reference), False: KinematicTrack(other, calibrator)}
    betas = np.zeros(10)
    standing = calibrator.standing_pose(betas)
    for frame, bend in enumerate(np.radians(np.linspace(0.0, 80.0, 25))):
        pose = standing.copy()
        for side in (1, 2):  # hips, then knees, about the body's lateral axis
            pose[side] = Rotation.from_rotvec([-0.8 * bend, 0, 0]).as_matrix() @ pose[side]
            pose[side + 3] = Rotation.from_rotvec([bend, 0, 0]).as_matrix() @ pose[side + 3]
        _, markers, _ = body.pose_markers(pose, betas, np.zeros(3))
        solved = {key: t.update(frame / 25, markers @ BODY_TO_GROUND.T, betas, True) for key, t in tracks.items()}
        assert solved[False].rms < 0.025
        ours = bends(reference, solved[True].q, skeleton)
        theirs = bends(calibrator, solved[False].q, other)
        for side in "rl":
            assert theirs[side] == pytest.approx(ours[side], abs=5.0)
            assert ours[side] == pytest.approx(np.degrees(bend), abs=6.0)


def test_locked_and_coupled_coordinates_stay_what_they_are(
    body: BodyModel, other: SkeletonModel, calibrator: Calibrator
) -> None:
    betas = np.zeros(10)
    pose = calibrator.standing_pose(betas)
    for side in (1, 2):
        pose[side + 3] = Rotation.from_rotvec([1.0, 0, 0]).as_matrix() @ pose[side + 3]
    _, markers, _ = body.pose_markers(pose, betas, np.zeros(3))
    solved = KinematicTrack(other, calibrator).update(0.0, markers @ BODY_TO_GROUND.T, betas, True)
    for number, coordinate in enumerate(other.coordinates):
        if coordinate.locked:
            assert solved.q[number] == coordinate.default
            assert solved.sigma[number] == 0.0
        elif not coordinate.rotational and other.joints[coordinate.joint].parent >= 0:
            assert abs(solved.q[number] - calibrator.standing[number]) < 4 * OTHER_SIGMA_M
    for coupler in other.couplers:
        expected = coupler.function.value(solved.q[coupler.independent])
        assert solved.q[coupler.dependent] == pytest.approx(expected, abs=1e-9)
    assert np.isfinite(solved.q).all()
    assert np.isfinite(solved.sigma).all()


def test_pulls_go_by_name_and_leave_bsk24_alone(skeleton: SkeletonModel, other: SkeletonModel) -> None:
    held = {name for name, pull in zip(skeleton.coordinate_names, pulls(skeleton, False), strict=True) if pull > 0}
    assert held == {name for name in skeleton.coordinate_names if name.startswith(tuple(SHARED_SIGMA))}
    general = pulls(other, True)
    root = {number for number, joint in enumerate(other.joints) if joint.parent < 0}
    for pull, coordinate in zip(general, other.coordinates, strict=True):
        assert (pull == 0.0) == (coordinate.joint in root), coordinate.name


def test_arms_are_those_whose_coordinates_are_known(skeleton: SkeletonModel, other_skeleton: Path) -> None:
    assert [len(arm) for arm in arms(skeleton)] == [10, 10]
    found = arms(load_skeleton(other_skeleton))
    assert [len(arm) for arm in found] == [4, 4]
    names = load_skeleton(other_skeleton).coordinate_names
    assert [names[n] for n in found[0]] == ["arm_flex_r", "arm_add_r", "arm_rot_r", "elbow_flex_r"]


FEET = ["foot_r", "foot_l"]
HANDS, TOES = ["hand_r", "hand_l"], ["toes_r", "toes_l"]
LEFT_ARM = ["hand_l", "forearm_l", "upperarm_l"]
ARMS = ["hand_r", "forearm_r", "upperarm_r", *LEFT_ARM]


@pytest.mark.parametrize(
    "without",
    [
        HANDS,
        TOES,
        LEFT_ARM,
        ARMS,
        ["Torso", *ARMS],
        ["foot_r", "foot_l", *TOES],
        ["Torso", *ARMS, "foot_r", "foot_l", *TOES],
    ],
    ids=lambda names: "-".join(names),
)
def test_legs_read_right_whatever_else_a_model_lacks(
    body: BodyModel, skeleton: SkeletonModel, without: list[str]
) -> None:
    model = build(without)
    calibrator, betas = Calibrator(body, model), SHAPES[1]
    person = calibrator(betas)
    assert np.isfinite(person.scales).all()
    assert np.isfinite(person.marker_locations).all()
    pose = calibrator.standing_pose(betas)
    for side in (1, 2):
        pose[side] = Rotation.from_rotvec([-0.8, 0, 0]).as_matrix() @ pose[side]
        pose[side + 3] = Rotation.from_rotvec([1.0, 0, 0]).as_matrix() @ pose[side + 3]
    _, markers, _ = body.pose_markers(pose, betas, np.zeros(3))
    solved = KinematicTrack(model, calibrator).update(0.0, markers @ BODY_TO_GROUND.T, betas, True)
    assert solved.rms < 0.02
    degrees = dict(zip(model.coordinate_names, np.degrees(solved.q), strict=True))
    for side in "rl":
        assert degrees[f"hip_bend_{side}"] == pytest.approx(np.degrees(0.8), abs=5.0)
        assert degrees[f"knee_bend_{side}"] == pytest.approx(np.degrees(1.0), abs=5.0)
