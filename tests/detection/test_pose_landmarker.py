"""The wrapper against MediaPipe used directly, on a drawn person."""

from __future__ import annotations

import os
import pickle

import mediapipe
import numpy as np
import pytest
from mediapipe.tasks.python import BaseOptions, vision

from biopose_live.detection import pose_landmarker
from biopose_live.detection.pose_landmarker import PoseLandmarker, model_path
from biopose_live.errors import EXIT_MODEL, UserError

MODELS = ("lite", "full", "heavy")
MS = 1_000_000


def mediapipe_itself(model: str, images: list[np.ndarray], times: list[int]) -> list:
    options = vision.PoseLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model_path(model))), running_mode=vision.RunningMode.VIDEO
    )
    with vision.PoseLandmarker.create_from_options(options) as landmarker:
        return [
            landmarker.detect_for_video(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image), t)
            for image, t in zip(images, times, strict=True)
        ]


@pytest.mark.parametrize("model", MODELS)
def test_keypoints_are_mediapipes(draw_person, model: str) -> None:
    images = [draw_person(shift).image for shift in (0, 5, 10, 15)]
    times = [0, 33, 66, 100]
    expected = mediapipe_itself(model, images, times)
    with PoseLandmarker(model) as landmarker:
        for image, t, result in zip(images, times, expected, strict=True):
            (person,) = landmarker(image, t * MS + 999_999)
            marks, world = result.pose_landmarks[0], result.pose_world_landmarks[0]
            np.testing.assert_allclose(person.keypoints[:, 0], [m.x * 640 for m in marks], rtol=1e-6)
            np.testing.assert_allclose(person.keypoints[:, 1], [m.y * 480 for m in marks], rtol=1e-6)
            np.testing.assert_allclose(person.keypoints[:, 2], [m.visibility for m in marks], rtol=1e-6)
            np.testing.assert_allclose(person.world, [(m.x, m.y, m.z) for m in world], rtol=1e-6)
            assert person.keypoints.dtype == person.world.dtype == np.float32


@pytest.mark.parametrize("model", MODELS)
def test_keypoints_lie_on_the_drawn_joints(draw_person, model: str) -> None:
    drawing = draw_person()
    with PoseLandmarker(model) as landmarker:
        (person,) = landmarker(drawing.image, 0)
    off = [np.linalg.norm(person.keypoints[k, :2] - xy) for k, xy in drawing.joints.items()]
    assert np.mean(off) < 0.04 * 480
    # The image's y axis points down and so does the world's: the ankles are below the shoulders in both.
    assert person.world[27, 1] > person.world[11, 1]


def test_rows_padded_by_a_decoder_make_no_difference(draw_person) -> None:
    image = draw_person().image
    padded = np.zeros((480, 660, 3), np.uint8)
    padded[:, :640] = image
    with PoseLandmarker("lite") as one, PoseLandmarker("lite") as other:
        (expected,), (found,) = one(image, 0), other(padded[:, :640], 0)
    np.testing.assert_array_equal(found.keypoints, expected.keypoints)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (15, 640), (16, 16), (17, 2000), (2000, 17), (31, 33)])
def test_tiny_and_odd_frames_hold_nobody(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    with PoseLandmarker("lite") as landmarker:
        for k in range(2):
            assert landmarker(rng.integers(0, 255, (*shape, 3), dtype=np.uint8), k * 33 * MS) == []


@pytest.mark.parametrize(
    "frame", [np.zeros((64, 64), np.uint8), np.zeros((64, 64, 4), np.uint8), np.zeros((64, 64, 3))]
)
def test_what_is_no_rgb_frame_is_named(frame: np.ndarray) -> None:
    with PoseLandmarker("lite") as landmarker, pytest.raises(ValueError, match=r"uint8 RGB, not \(64"):
        landmarker(frame, 0)


def test_the_size_may_change_and_time_may_stand_still(draw_person) -> None:
    with PoseLandmarker("lite") as landmarker:
        assert len(landmarker(draw_person().image, 50 * MS)) == 1
        assert len(landmarker(draw_person().image, 50 * MS)) == 1
        assert len(landmarker(draw_person().image, 20 * MS)) == 1
        found = landmarker(draw_person(0.0, 320, 240).image, 84 * MS)
    assert all(person.keypoints[:, 0].max() < 320 for person in found)


def test_two_people_are_both_found(draw_person) -> None:
    image = np.concatenate([draw_person(0.0, 400, 480).image, draw_person(0.0, 400, 480).image], axis=1)
    with PoseLandmarker("full", people=2) as landmarker:
        for k in range(3):
            found = landmarker(image, k * 33 * MS)
    assert sorted(int(person.keypoints[[11, 12], 0].mean()) // 400 for person in found) == [0, 1]


def test_a_missing_model_is_named_with_the_remedy(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(pose_landmarker, "MODELS", tmp_path)
    with pytest.raises(
        UserError, match=r"pose_full\.task is missing: run `python realtime/build_models\.py`"
    ) as caught:
        PoseLandmarker("full")
    assert caught.value.exit_code == EXIT_MODEL
    assert pickle.loads(pickle.dumps(caught.value)).exit_code == EXIT_MODEL


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x05\x06" + bytes(18)])
def test_a_damaged_model_is_named_with_the_remedy(tmp_path, monkeypatch, content: bytes) -> None:
    monkeypatch.setattr(pose_landmarker, "MODELS", tmp_path)
    (tmp_path / "pose_full.task").write_bytes(content)
    with pytest.raises(UserError, match=r"cannot use the pose model .* delete it and run") as caught:
        PoseLandmarker("full")
    assert caught.value.exit_code == EXIT_MODEL
    assert "\n" not in str(caught.value)


def test_mediapipes_chatter_is_not_printed(draw_person, capfd) -> None:
    with PoseLandmarker("lite") as landmarker:
        assert landmarker(np.zeros((480, 640, 3), np.uint8), 0) == []
        assert landmarker(draw_person().image, 33 * MS)
        assert landmarker(draw_person().image, 66 * MS)
    assert capfd.readouterr().err == ""


def test_anything_else_on_standard_error_passes_even_after_a_failure(capfd) -> None:
    def fail() -> None:
        with pose_landmarker.without_chatter():
            os.write(
                2, b"W0000 00:00:1795510882.960555 1 calculator.cc:1] as always\nE0000 00:00:1 2] a fault\nother\n"
            )
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert capfd.readouterr().err == "E0000 00:00:1 2] a fault\nother\n"
