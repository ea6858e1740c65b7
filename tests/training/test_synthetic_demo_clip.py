"""The shipped demo clip and its truth: whole, consistent with the embedded body, and seen by a pose detector."""

from __future__ import annotations

import av
import numpy as np
import pytest

from biopose_live.body.model import BodyModel
from biopose_live.training.synthetic.demo_clip import EMBEDDED_BODY, main, write_video

ASSETS = EMBEDDED_BODY.parents[1]
DEMO = ASSETS / "demo"
DETECTOR = ASSETS / "mediapipe" / "pose_full.task"
# MediaPipe landmark -> SMPL joint: shoulders, elbows, wrists, hips, knees, ankles.
LIMBS = {11: 16, 12: 17, 13: 18, 14: 19, 15: 20, 16: 21, 23: 1, 24: 2, 25: 4, 26: 5, 27: 7, 28: 8}


@pytest.fixture(scope="module")
def truth() -> dict[str, np.ndarray]:
    with np.load(DEMO / "demo_truth.npz") as data:
        return {key: data[key] for key in data.files}


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    with av.open(str(DEMO / "demo.mp4")) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def projected(truth: dict[str, np.ndarray]) -> np.ndarray:
    joints = truth["joints"]
    return joints[..., :2] / joints[..., 2:] * truth["focal"] + truth["centre"]


def test_the_joints_are_the_embedded_bodys(truth):
    model = BodyModel.load()
    for theta, transl, joints in zip(truth["theta"], truth["transl"], truth["joints"], strict=True):
        np.testing.assert_allclose(
            model.forward(theta, truth["betas"], transl, vertices=False).joints, joints, atol=1e-4
        )


def test_the_person_stays_in_view_at_a_realistic_size(truth):
    seen = projected(truth)
    assert ((seen > 0) & (seen < truth["size"])).all()
    assert np.ptp(seen[..., 1], axis=1).max() > 200
    assert 2.0 < truth["transl"][:, 2].min() < truth["transl"][:, 2].max() < 8.0


def test_gravity_is_right(truth):
    up = truth["up"]
    assert np.linalg.norm(up) == pytest.approx(1.0)
    spine = truth["joints"][:, 12] - truth["joints"][:, 0]
    assert np.median(spine @ up / np.linalg.norm(spine, axis=1)) > 0.95
    # The lower foot is on one floor: the same height along `up` in most frames.
    feet = (truth["joints"][:, [10, 11]] @ up).min(axis=1)
    assert np.percentile(feet, 75) - np.percentile(feet, 10) < 0.05


def test_the_video_is_whole(truth, pictures):
    assert len(pictures) == len(truth["theta"]) == 300
    assert pictures[0].shape == (480, 640, 3)
    assert (DEMO / "demo.mp4").stat().st_size < 2.5e6
    motion = [np.abs(a.astype(int) - b).mean() for a, b in zip(pictures[1:], pictures[:-1], strict=True)]
    assert min(motion) > 0.05  # no frame is shown twice


def test_the_motion_is_continuous(truth):
    step = np.linalg.norm(np.diff(truth["joints"], axis=0), axis=2)
    assert step.max() < 0.25  # m per frame; hands in a jumping jack reach 5 m/s


def test_a_pose_detector_finds_the_person_where_the_truth_says(truth, pictures):
    if not DETECTOR.is_file():
        pytest.skip("the pose models are not built")
    mediapipe = pytest.importorskip("mediapipe")
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.PoseLandmarkerOptions(base_options=BaseOptions(model_asset_path=str(DETECTOR)))
    seen = projected(truth)
    with vision.PoseLandmarker.create_from_options(options) as detector:
        for i in range(5, 300, 42):
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(pictures[i]))
            found = detector.detect(image).pose_landmarks
            assert found, f"nobody found in frame {i}"
            points = np.array([[p.x, p.y] for p in found[0]]) * truth["size"]
            distance = np.linalg.norm(points[list(LIMBS)] - seen[i, list(LIMBS.values())], axis=1)
            assert np.median(distance) < 10.0


def test_the_video_writer_keeps_count_and_size(tmp_path):
    write_video(tmp_path / "a.mp4", [np.full((48, 64, 3), 20 * i, np.uint8) for i in range(7)], crf=20)
    with av.open(str(tmp_path / "a.mp4")) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 30
    assert len(frames) == 7
    assert abs(float(frames[5].mean()) - 100) < 4


def test_missing_assets_end_with_a_sentence(tmp_path, capsys):
    code = main(["--assets", str(tmp_path), "--motion", str(tmp_path / "p.npz"), "--out", str(tmp_path / "out")])
    assert code == 4
    assert "no base.obj" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
