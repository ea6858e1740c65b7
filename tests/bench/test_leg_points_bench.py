"""The bench of 2D leg points: made-up truths that two systems hit and one misses, and two frames of the demo clip."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

import leg_points
from biopose_live.capture.demo import demo_clip
from biopose_live.evaluation.demo_truth import read_demo_truth
from biopose_live.evaluation.joint_errors import LIMB_JOINTS
from biopose_live.evaluation.leg_points import LEG_POINTS, landmark_names
from leg_points import KEYPOINTS, MEDIAPIPE, NETWORK, Seen

P = len(LEG_POINTS)
SIZE = (720, 1280)


def walking(frames: int) -> np.ndarray:
    """(frames, P, 3) m: legs that swing, y up."""
    t = np.arange(frames)[:, None, None] / 60.0
    down = {"hip": 0.9, "knee": 0.5, "ankle": 0.08, "heel": 0.03, "toe": 0.02}
    rest = np.array([[0.15 * ("toe" in p), down[p[:-2]], 0.1 if p[-1] == "r" else -0.1] for p in LEG_POINTS])
    phase = np.array([0.0 if p[-1] == "r" else np.pi for p in LEG_POINTS])[:, None]
    return rest + 0.3 * (0.9 - rest[:, 1:2]) * np.sin(5.0 * t + phase) * np.array([1.0, 0.2, 0.1]) + 0.5 * t


def with_systems(places: np.ndarray) -> Seen:
    """MediaPipe is 5 px off to the right all the time, the detection stage shakes, the network is right."""
    shake = np.random.default_rng(0).normal(0, 6.0, places.shape)
    return Seen({MEDIAPIPE: places + np.array([5.0, 0.0]), KEYPOINTS: places + shake, NETWORK: places}, SIZE)


def test_reprojected_truth_of_measured_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    camera, distortion = np.array([[900.0, 0, 350.0], [0, 905.0, 640.0], [0, 0, 1.0]]), np.full(5, 0.01)
    truth = walking(30) * [1.0, -1.0, 1.0] + [0.0, 0.5, 4.0]
    places = cv2.projectPoints(truth.reshape(-1, 3), np.zeros(3), np.zeros(3), camera, distortion)[0]
    names = [*landmark_names(), "nose"]
    np.savez(
        tmp_path / "truth.npz", landmarks=names, K=camera[None], distortion=distortion[None],
        points_camera_leave_one_out=np.concatenate([truth, truth[:, :1]], 1)[None],
    )  # fmt: skip
    (tmp_path / "cam01.mp4").touch()
    monkeypatch.setattr(leg_points, "look", lambda *_: with_systems(places.reshape(30, P, 2)))
    rows = {row.system: row for row in leg_points.pose2sim(tmp_path, None, lambda _: None)}
    assert rows[NETWORK].figures["all"].raw_px == pytest.approx(0.0, abs=1e-6)
    assert rows[MEDIAPIPE].figures["knee"].raw_px == pytest.approx(5.0)
    assert rows[MEDIAPIPE].figures["all"].offset_free_px < 0.3  # the person comes nearer, the 5 px do not grow
    assert rows[KEYPOINTS].figures["all"].offset_free_px == pytest.approx(6.0 * np.sqrt(np.pi / 2), rel=0.1)
    assert rows[NETWORK].fit is None
    assert rows[NETWORK].frames == 30


def test_an_opensim_clip_through_fitted_cameras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = walking(240)
    bodies = {f"{leg_points.OPENCAP_BODIES[p[:-2]]}_{p[-1]}": truth[:, i] for i, p in enumerate(LEG_POINTS)}
    told = {
        "time": (np.arange(240) / 60.0).tolist(),
        "bodies": {n: {"translation": x.tolist()} for n, x in bodies.items()},
    }
    clip = tmp_path / "stroll"
    clip.mkdir()
    (clip / "sample_mocap.json").write_text(json.dumps(told))
    turned = truth @ cv2.Rodrigues(np.array([np.pi - 0.1, 0.4, 0.0]))[0].T + [0.0, 0.6, 5.0]
    places = 950.0 * turned[..., :2] / turned[..., 2:] + [360.0, 640.0]
    monkeypatch.setattr(leg_points, "look", lambda *_: with_systems(places))
    out = tmp_path / "deep" / "rows.json"
    assert leg_points.main(["--opencap", str(clip), "--json", str(out)]) == 0
    said = capsys.readouterr().out
    assert "stroll" in said
    assert "camera, lag" in said
    rows = {row.system: row for row in msgspec.json.decode(out.read_bytes(), type=leg_points.Report).rows}
    fit = rows[NETWORK].fit
    assert fit is not None
    assert (fit.focal, fit.lag) == (pytest.approx(950.0, rel=0.01), 0)
    assert rows[NETWORK].figures["all"].raw_px < 0.5
    assert rows[KEYPOINTS].figures["all"].raw_px == pytest.approx(6.0 * np.sqrt(np.pi / 2), rel=0.1)
    monkeypatch.setattr(leg_points, "look", lambda *_: Seen({NETWORK: np.full((240, P, 2), np.nan)}, SIZE))
    assert leg_points.main(["--opencap", str(clip)]) == 3
    assert "give a video that shows somebody" in capsys.readouterr().err


def test_only_frames_that_all_systems_found_count() -> None:
    seen = with_systems(np.zeros((4, P, 2)))
    seen.points[NETWORK][1] = np.nan
    seen.points[MEDIAPIPE][3, 2] = np.nan
    for points in leg_points.in_common(seen).points.values():
        np.testing.assert_array_equal(np.isnan(points).all((1, 2)), [False, True, False, True])
        assert not np.isnan(points[[0, 2]]).any()


def test_the_live_stages_are_looked_into() -> None:
    """On the demo clip all three find the knees, within a tenth of the person's height in pixels."""
    seen = leg_points.look(demo_clip(), "tip", 2)
    truth = read_demo_truth()
    with np.load(truth.video.with_name("demo_truth.npz")) as arrays:
        focal = float(arrays["focal"])
    knee = truth.joints[:2, LIMB_JOINTS.index("knee_l")]
    where = focal * knee[:, :2] / knee[:, 2:] + np.array(seen.size) / 2
    for system, points in seen.points.items():
        assert points.shape == (2, P, 2), system
        assert np.abs(points[:, LEG_POINTS.index("knee_l")] - where).max() < 25.0, system


def test_missing_inputs_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert leg_points.main(["--pose2sim", str(tmp_path)]) == 3
    assert leg_points.main(["--opencap", str(tmp_path)]) == 3
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert all("see bench/README.md" in sentence for sentence in said)
    for wrong in ([], ["--pose2sim", "x", "--frames", "0"]):
        with pytest.raises(SystemExit, match="2"):
            leg_points.parse(wrong)
