"""Everyday movements of the parametric body, seen through its virtual markers, give the angles one would name.

The body is moved by turning its own joints (hips, knees, three spine joints, collar bones, ...) out of the anatomical
position, in ground axes; what inverse kinematics then says of the skeleton is compared with those turns and with what
anatomy allows. x forward, y up, z right; T frames at 30 a second.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_live.body.model import BodyModel
from biopose_live.neurik.calibration import BODY_TO_GROUND, Calibrator
from biopose_live.neurik.kinematic_track import KinematicTrack, Solved
from biopose_live.skeleton.model import SkeletonModel

MEAN = np.zeros(10)
SIDES = {"left": "_l", "right": "_r"}


@pytest.fixture(scope="module")
def calibrator(body: BodyModel, skeleton: SkeletonModel) -> Calibrator:
    return Calibrator(body, skeleton)


class Watched:
    """A movement of the body, solved: `turns` maps a joint to its rotation vectors (T, 3) deg in its parent's axes."""

    def __init__(
        self, body: BodyModel, model: SkeletonModel, calibrator: Calibrator, turns: Mapping[str, np.ndarray]
    ) -> None:
        self.model = model
        standing = BODY_TO_GROUND @ calibrator.standing_pose(MEAN) @ BODY_TO_GROUND.T
        place = {name: number for number, name in enumerate(body.joint_names)}
        upright = standing.copy()
        for j, parent in enumerate(body.parents):
            if parent >= 0:
                upright[j] = upright[parent] @ standing[j]
        track = KinematicTrack(model, calibrator)
        self.solved: list[Solved] = []
        for t in range(len(next(iter(turns.values())))):
            moved = np.tile(np.eye(3), (24, 1, 1))
            for name, vectors in turns.items():
                moved[place[name]] = Rotation.from_rotvec(np.radians(vectors[t])).as_matrix()
            for j, parent in enumerate(body.parents):
                if parent >= 0:
                    moved[j] = moved[parent] @ moved[j]
            globally = moved @ upright
            local = globally.copy()
            for j, parent in enumerate(body.parents):
                if parent >= 0:
                    local[j] = globally[parent].T @ globally[j]
            local = BODY_TO_GROUND.T @ local @ BODY_TO_GROUND
            _, markers, _ = body.pose_markers(local, MEAN, np.array([0.0, 1.0, 0.0]))
            self.solved.append(track.update(t / 30.0, markers @ BODY_TO_GROUND.T, MEAN, True))
        self.q = np.degrees([solved.q for solved in self.solved])

    def __getitem__(self, coordinate: str) -> np.ndarray:
        """(T,) degrees."""
        return self.q[:, self.model.coordinate_index(coordinate)]

    def origin(self, name: str) -> np.ndarray:
        """(T, 3) m."""
        return np.array([solved.origins[self.model.body_index(name)] for solved in self.solved])

    def share_at_limits(self) -> dict[str, float]:
        """Share of frames that each limited coordinate spends at a limit."""
        shares = {}
        for number, coordinate in enumerate(self.model.coordinates):
            if coordinate.clamped:
                low, high = np.degrees(coordinate.range)
                at = (self.q[:, number] < low + 0.5) | (self.q[:, number] > high - 0.5)
                shares[coordinate.name] = float(at.mean())
        return shares


def about(axis: str, degrees: np.ndarray) -> np.ndarray:
    """Rotation vectors (T, 3) about a ground axis."""
    return np.asarray(degrees)[:, None] * np.eye(3)["xyz".index(axis)]


def ramp(count: int = 31) -> np.ndarray:
    """From 0 to 1 and back, smoothly."""
    return 0.5 - 0.5 * np.cos(np.linspace(0.0, 2.0 * np.pi, count))


def assert_leg_order(seen: Watched) -> None:
    """Hips above knees above ankles by a good margin, as in everything done on two feet short of kneeling."""
    for side in SIDES.values():
        hip, knee, ankle = (seen.origin(name + side)[:, 1] for name in ("femur", "tibia", "talus"))
        assert np.all(knee > ankle + 0.1)
        assert np.all(hip > ankle + 0.1)


def assert_quiet(seen: Watched, coordinates: list[str], degrees: float) -> None:
    for name in coordinates:
        assert np.abs(seen[name]).max() < degrees, name


def test_squatting(body: BodyModel, skeleton: SkeletonModel, calibrator: Calibrator) -> None:
    depth = ramp()
    turns = {"pelvis": about("z", -30.0 * depth)}
    for side in SIDES:
        turns[f"{side}_hip"] = about("z", 105.0 * depth)
        turns[f"{side}_knee"] = about("z", -100.0 * depth)
        turns[f"{side}_ankle"] = about("z", 25.0 * depth)
    seen = Watched(body, skeleton, calibrator, turns)
    for side in SIDES.values():
        assert np.abs(seen["knee_angle" + side] - 100.0 * depth).max() < 4.0
        assert np.abs(seen["hip_flexion" + side] - 105.0 * depth).max() < 6.0
        assert np.abs(seen["ankle_angle" + side] - 25.0 * depth).max() < 6.0
        heel, toes = seen.origin("calcn" + side), seen.origin("toes" + side)
        pitch = np.degrees(np.arcsin((toes - heel)[:, 1] / np.linalg.norm(toes - heel, axis=1)))
        assert np.ptp(pitch) < 5.0  # the sole stays as level as the body's
    assert np.abs(seen["pelvis_tilt"] + 30.0 * depth).max() < 4.0
    assert_leg_order(seen)
    assert_quiet(seen, ["lumbar_extension", "lumbar_bending", "lumbar_rotation", "pelvis_list"], 4.0)
    assert max(seen.share_at_limits().values()) == 0.0


def test_walking(body: BodyModel, skeleton: SkeletonModel, calibrator: Calibrator) -> None:
    cycle = np.linspace(0.0, 2.0, 67)  # two strides
    knee_at = [5, 16, 15, 8, 5, 11, 35, 60, 52, 20, 5]  # deg at every tenth of a stride, as gait books have it
    hip_at = [30, 27, 20, 10, 0, -9, -6, 11, 26, 32, 30]
    ankle_at = [0, -5, 3, 7, 10, 9, -14, -9, 0, 1, 0]
    wanted = {}
    turns = {}
    for side, phase in (("right", cycle), ("left", cycle + 0.5)):
        curves = {
            n: np.interp(phase % 1.0 * 10, range(11), at)
            for n, at in zip("hka", (hip_at, knee_at, ankle_at), strict=True)
        }
        wanted[side] = curves
        turns[f"{side}_hip"] = about("z", curves["h"])
        turns[f"{side}_knee"] = about("z", -curves["k"])
        turns[f"{side}_ankle"] = about("z", curves["a"])
        turns[f"{side}_shoulder"] = about("z", -20.0 * np.cos(2.0 * np.pi * phase))
    turns["pelvis"] = about("y", 5.0 * np.cos(2.0 * np.pi * cycle))
    turns["spine2"] = about("y", -9.0 * np.cos(2.0 * np.pi * cycle))
    seen = Watched(body, skeleton, calibrator, turns)
    for side, ending in SIDES.items():
        for name, curve in (("hip_flexion", "h"), ("knee_angle", "k"), ("ankle_angle", "a")):
            assert np.abs(seen[name + ending] - wanted[side][curve]).mean() < 2.5
        assert 55.0 < seen["knee_angle" + ending].max() < 66.0
        assert seen["knee_angle" + ending].min() > -2.0
        assert_quiet(seen, ["hip_adduction" + ending, "hip_rotation" + ending, "subtalar_angle" + ending], 8.0)
    # Trunk and pelvis turn against each other.
    assert np.corrcoef(seen["pelvis_rotation"], seen["lumbar_rotation"] + seen["thorax_rotation"])[0, 1] < -0.95
    assert_leg_order(seen)
    assert max(seen.share_at_limits().values()) == 0.0


@pytest.mark.parametrize(
    ("axis", "degrees", "coordinate"),
    [("z", -45.0, "extension"), ("x", 30.0, "bending"), ("y", 30.0, "rotation")],
    ids=["forward", "sideways", "turn"],
)
def test_the_spine_shares_its_motion(
    axis: str, degrees: float, coordinate: str, body: BodyModel, skeleton: SkeletonModel, calibrator: Calibrator
) -> None:
    part = about(axis, degrees / 3.0 * ramp())
    seen = Watched(body, skeleton, calibrator, {"spine1": part, "spine2": part, "spine3": part})
    lumbar, thorax = seen[f"lumbar_{coordinate}"], seen[f"thorax_{coordinate}"]
    assert np.abs(lumbar + thorax - degrees * ramp()).max() < 6.0
    share = lumbar[15] / (lumbar + thorax)[15]
    assert 0.2 < share < 0.8  # neither joint does it alone
    assert np.all(lumbar * thorax > -1.0)  # and neither works against the other
    assert max(seen.share_at_limits().values()) == 0.0


@pytest.mark.parametrize("direction", ["forward", "sideways"])
def test_the_girdle_follows_the_collar_bones(
    direction: str, body: BodyModel, skeleton: SkeletonModel, calibrator: Calibrator
) -> None:
    """Arms raised to 150 degrees, 2 : 1 between the shoulder joint and the girdle once both move (Inman 1944)."""
    raised = ramp(41)
    turns = {}
    for side, sign in (("right", 1.0), ("left", -1.0)):
        if direction == "forward":
            turns[f"{side}_shoulder"] = about("z", 120.0 * raised)
        else:
            turns[f"{side}_shoulder"] = about("x", -sign * 120.0 * raised)
        turns[f"{side}_collar"] = about("x", -sign * 25.0 * raised)
    seen = Watched(body, skeleton, calibrator, turns)
    for side in SIDES.values():
        girdle = seen["scapula_elevation" + side]
        assert 12.0 < girdle[20] < 30.0  # most of the 25 degrees; the prior keeps some back
        # It rises with the arm, but for a moment near the T-pose, where the shoulder's angles are singular.
        assert np.all(np.diff(girdle[:21]) > -1.5)
        assert np.abs(seen["scapula_abduction" + side]).max() < 15.0
        assert np.abs(seen["scapula_upward_rot" + side]).max() < 25.0
    assert all(solved.rms < 0.015 for solved in seen.solved)
    assert max(share for name, share in seen.share_at_limits().items() if name.startswith("scapula")) == 0.0


def test_a_still_girdle_stays_still(body: BodyModel, skeleton: SkeletonModel, calibrator: Calibrator) -> None:
    turns = {f"{side}_shoulder": about("z", 80.0 * ramp()) for side in SIDES}
    seen = Watched(body, skeleton, calibrator, turns)
    for side in SIDES.values():
        assert np.abs(seen["arm_flex" + side] - 80.0 * ramp()).max() < 8.0
        assert_quiet(seen, [f"scapula_{name}{side}" for name in ("abduction", "elevation", "upward_rot")], 6.0)
