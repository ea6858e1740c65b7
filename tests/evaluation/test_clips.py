"""The clips' readers on small made-up folders of the same form, and the embedded demo clip against itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_live.errors import UserError
from biopose_live.evaluation.demo_truth import read_demo_truth
from biopose_live.evaluation.joint_errors import LIMB_JOINTS
from biopose_live.evaluation.opencap_clip import COORDINATES, read_angles, read_opencap
from biopose_live.evaluation.pose2sim_clip import BLAZEPOSE_LIMBS, read_pose2sim

TRUE_DEGREES = {
    "hip_flexion_r": 40.0, "hip_flexion_l": -12.0, "hip_adduction_r": -8.0, "hip_adduction_l": 5.0,
    "knee_angle_r": 70.0, "knee_angle_l": 3.0, "ankle_angle_r": 15.0, "ankle_angle_l": -20.0,
}  # fmt: skip


def body_rotations(wave: np.ndarray) -> dict:
    """OpenCap's viewer format for TRUE_DEGREES * wave (F,), built by SciPy's Euler angles from the pelvis down."""
    pelvis = Rotation.from_euler("XYZ", np.outer(wave, [20.0, 35.0, -10.0]), degrees=True)
    bodies = {"pelvis": pelvis}
    for side, sign in (("r", 1.0), ("l", -1.0)):

        def turned(parent: Rotation, z: float, x: float = 0.0, y: float = 0.0) -> Rotation:
            return parent * Rotation.from_euler("ZXY", np.outer(wave, [z, x, y]), degrees=True)

        at = TRUE_DEGREES
        femur = turned(pelvis, at[f"hip_flexion_{side}"], sign * at[f"hip_adduction_{side}"], 6.0)
        bodies[f"femur_{side}"] = femur
        bodies[f"tibia_{side}"] = turned(femur, -at[f"knee_angle_{side}"], 2.0)
        bodies[f"calcn_{side}"] = turned(bodies[f"tibia_{side}"], at[f"ankle_angle_{side}"])
    return {name: {"rotation": r.as_euler("XYZ").tolist()} for name, r in bodies.items()}


@pytest.fixture
def opencap_folder(tmp_path: Path) -> Path:
    time = np.arange(0.0, 1.0, 0.01)
    folder = tmp_path / "squat"
    folder.mkdir()
    (folder / "video.mp4").touch()
    for name, gain in (("mocap", 1.0), ("wham", 0.9)):
        data = {"time": time.tolist(), "bodies": body_rotations(gain * np.sin(3.0 * time))}
        (folder / f"sample_{name}.json").write_text(json.dumps(data))
    return folder


def test_coordinates_come_back_out_of_body_rotations(opencap_folder: Path) -> None:
    angles = read_angles(opencap_folder / "sample_mocap.json")
    wave = np.sin(3.0 * angles.time)
    for index, name in enumerate(COORDINATES):
        expected = TRUE_DEGREES[name] * wave
        np.testing.assert_allclose(
            angles.degrees[:, index], np.abs(expected) if "knee" in name else expected, atol=1e-9
        )


def test_an_opencap_recording_is_scored(
    opencap_folder: Path, make_person: Callable, write_recording: Callable[..., Path]
) -> None:
    clip = read_opencap(opencap_folder)
    assert list(clip.peers) == ["WHAM + IK"]
    assert clip.score_peer("WHAM + IK").raw.mean() > 0.5
    frames = {}
    for seq in range(60):
        wave = np.sin(3.0 * seq / 60.0)
        frames[seq] = [make_person(q={name: np.radians(value * wave) for name, value in TRUE_DEGREES.items()})]
    errors = clip.score(write_recording(frames, rate=60.0))
    np.testing.assert_allclose(errors.raw, 0.0, atol=0.02)
    assert errors.frames == 60


@pytest.fixture
def pose2sim_folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    names = [*reversed(BLAZEPOSE_LIMBS), "nose"]  # any order
    truth = rng.normal(size=(2, 6, len(names), 3)).astype(np.float32)
    blazepose = truth + rng.normal(size=truth.shape).astype(np.float32) * 0.05
    np.savez(tmp_path / "truth.npz", landmarks=names, points_camera_leave_one_out=truth, blazepose_world_full=blazepose)
    for camera in ("cam01.mp4", "cam02.mp4"):
        (tmp_path / camera).touch()
    return tmp_path


def test_a_pose2sim_recording_is_scored_and_missing_frames_count(
    pose2sim_folder: Path, make_person: Callable, write_recording: Callable[..., Path]
) -> None:
    clip = read_pose2sim(pose2sim_folder)
    assert [video.name for video in clip.videos] == ["cam01.mp4", "cam02.mp4"]
    assert 20.0 < np.mean([e.mpjpe.mean() for e in clip.score_peer("BlazePose full")]) < 200.0

    def frame(camera: int, seq: int, shift: float) -> object:
        joints = {name: clip.truth[camera, seq, i] for i, name in enumerate(LIMB_JOINTS)}
        joints["wrist_l"] = joints["wrist_l"] + [shift, 0.0, 0.0]
        return make_person(joints=joints)

    right = write_recording({seq: [frame(0, seq, 0.0)] for seq in range(6)}, name="a")
    gaps = write_recording({seq: [frame(1, seq, 0.12 * (seq == 3))] for seq in (0, 1, 3)}, name="b")
    first, second = clip.score([right, gaps])
    assert first.mpjpe.max() < 1e-3
    np.testing.assert_allclose(second.mpjpe, [0.0, 0.0, 10.0, 10.0, 10.0, 10.0], atol=1e-3)


@pytest.mark.parametrize("spoil", ["truth missing", "truth text", "no landmark", "cameras differ"])
def test_a_wrong_pose2sim_folder_is_explained(pose2sim_folder: Path, spoil: str) -> None:
    path = pose2sim_folder / "truth.npz"
    if spoil == "truth missing":
        path.unlink()
    elif spoil == "truth text":
        path.write_text("not an archive")
    elif spoil == "no landmark":
        np.savez(path, landmarks=["nose"], points_camera_leave_one_out=np.zeros((2, 6, 1, 3)))
    else:
        (pose2sim_folder / "cam02.mp4").unlink()
    with pytest.raises(UserError, match="truth"):
        read_pose2sim(pose2sim_folder)


@pytest.mark.parametrize("text", ["", "[]", '{"time": [0.0], "bodies": {}}', '{"time": "x", "bodies": {"pelvis": 1}}'])
def test_a_wrong_opencap_file_is_explained(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sample_mocap.json"
    path.write_text(text)
    with pytest.raises(UserError, match="cannot be read as body rotations"):
        read_angles(path)
    with pytest.raises(UserError, match="holds no video"):
        read_opencap(tmp_path)


def test_the_demo_clip_scores_its_own_truth_as_perfect() -> None:
    truth = read_demo_truth()
    joints, angles = truth.score_joints(truth.joints + 0.3)
    assert joints.mpjpe.max() < 1e-6
    assert angles.raw.max() < 1e-6
    assert len(joints.mpjpe) == angles.frames == 300
    missing = truth.joints.copy()
    missing[100:110] = np.nan
    joints, angles = truth.score_joints(missing * 1.1)
    assert joints.mpjpe[-10:] == pytest.approx(joints.mpjpe.max())
    assert joints.pa_mpjpe.max() < 1e-6
    assert angles.frames == 290
    with pytest.raises(UserError, match="Nobody was found"):
        truth.score_joints(np.full_like(missing, np.nan))
