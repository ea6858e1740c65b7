"""One person's joint angles over time, from markers made with the skeleton's own kinematics."""

from __future__ import annotations

import numpy as np
import pytest

from biopose_live.body.model import BodyModel
from biopose_live.neurik.calibration import BODY_TO_GROUND, Calibrator
from biopose_live.neurik.kinematic_track import RECALIBRATE_BETA, RECALIBRATE_S, KinematicTrack
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import SkeletonModel

MEAN = np.zeros(10)
LEGS = [f"{name}_{s}" for name in ("hip_flexion", "hip_adduction", "knee_angle", "ankle_angle") for s in "lr"]


@pytest.fixture(scope="module")
def calibrator(body: BodyModel, skeleton: SkeletonModel) -> Calibrator:
    return Calibrator(body, skeleton)


class Counted(Calibrator):
    """A calibrator that counts how often it is asked."""

    calls = 0

    def __call__(self, betas: np.ndarray):  # type: ignore[no-untyped-def]
        self.calls += 1
        return super().__call__(betas)


def walk(model: SkeletonModel, calibrator: Calibrator, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """-> q (N, Q) of somebody who bends both knees and moves on, and the markers (N, M, 3) that show it."""
    person, kinematics = calibrator(MEAN), Kinematics(model)
    q = np.zeros((len(t), len(model.coordinates)))
    names = model.coordinate_names
    bend = np.radians(35) * (1 - np.cos(2 * np.pi * t / 1.5))
    for side in "lr":
        q[:, names.index(f"knee_angle_{side}")] = bend
        q[:, names.index(f"hip_flexion_{side}")] = 0.8 * bend
        q[:, names.index(f"ankle_angle_{side}")] = 0.25 * bend
        q[:, names.index(f"hip_adduction_{side}")] = -0.1
        q[:, names.index(f"elbow_flex_{side}")] = 0.5
    q[:, names.index("pelvis_tx")], q[:, names.index("pelvis_ty")] = 0.3 * t, 0.9
    markers = [kinematics.markers(row, person.scales, person.marker_bodies, person.marker_locations) for row in q]
    return q, np.array(markers)


def test_known_coordinates_come_back(skeleton: SkeletonModel, calibrator: Calibrator) -> None:
    t = np.arange(45) / 30
    truth, markers = walk(skeleton, calibrator, t)
    track = KinematicTrack(skeleton, calibrator)
    solved = [track.update(t[n], markers[n], MEAN, True) for n in range(len(t))]
    columns = [skeleton.coordinate_names.index(name) for name in LEGS]
    off = np.degrees(np.array([s.q[columns] for s in solved]) - truth[:, columns])
    assert np.abs(off[3:]).max() < 2.0
    for s in solved:
        assert s.rms < 0.01
        assert s.sigma.shape == s.q.shape
        assert np.isfinite(s.q).all()
        assert (s.sigma >= 0).all()
        rotations, origins = Kinematics(skeleton).forward(s.q, s.scales)
        np.testing.assert_allclose(s.rotations, rotations, atol=1e-12)
        np.testing.assert_allclose(s.origins, origins, atol=1e-12)


def test_a_jump_is_followed_at_once(skeleton: SkeletonModel, calibrator: Calibrator) -> None:
    _, markers = walk(skeleton, calibrator, np.arange(2) / 30)
    track = KinematicTrack(skeleton, calibrator)
    track.update(0.0, markers[0], MEAN, True)
    about_face = markers[0] * [-1.0, 1.0, -1.0] + [2.0, 0.0, -1.0]
    solved = track.update(0.1, about_face, MEAN, True)
    assert solved.rms < 0.02
    turn = np.degrees(solved.q[skeleton.coordinate_names.index("pelvis_rotation")])
    assert abs(abs(turn) - 180) < 3


def test_noise_of_a_centimetre_leaves_the_angles_near(skeleton: SkeletonModel, calibrator: Calibrator) -> None:
    t, rng = np.arange(20) / 30, np.random.default_rng(1)
    truth, markers = walk(skeleton, calibrator, t)
    track = KinematicTrack(skeleton, calibrator)
    columns = [skeleton.coordinate_names.index(name) for name in LEGS]
    off = [
        track.update(t[n], markers[n] + rng.normal(0, 0.005, markers[n].shape), MEAN, True).q[columns]
        - truth[n, columns]
        for n in range(len(t))
    ]
    assert np.degrees(np.sqrt(np.mean(np.square(off)))) < 3.0


def test_the_skeleton_follows_the_shape_and_is_held_once_settled(body: BodyModel, skeleton: SkeletonModel) -> None:
    counted = Counted(body, skeleton)
    track = KinematicTrack(skeleton, counted)
    standing = counted.standing_pose(MEAN)
    far = np.zeros(10)
    far[0] = 3 * RECALIBRATE_BETA

    def see(t: float, betas: np.ndarray, settled: bool) -> np.ndarray:
        _, markers, _ = body.pose_markers(standing, betas, np.zeros(3))
        return track.update(t, markers @ BODY_TO_GROUND.T, betas, settled).scales

    first = see(0.0, MEAN, False)
    assert counted.calls == 1
    see(0.1, 0.1 * far, False)  # hardly moved
    assert counted.calls == 1
    see(0.5 * RECALIBRATE_S, far, False)  # moved, but calibrated a moment ago
    assert counted.calls == 1
    moved = see(1.1 * RECALIBRATE_S, far, False)
    assert counted.calls == 2
    assert not np.array_equal(first, moved)
    last = see(1.2 * RECALIBRATE_S, 1.1 * far, True)  # the last word, however small
    assert counted.calls == 3
    for n in range(5):
        np.testing.assert_array_equal(see(2.0 + n, 1.1 * far, True), last)
    assert counted.calls == 3
