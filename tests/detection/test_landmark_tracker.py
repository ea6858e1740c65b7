"""Following people with the landmark network: against MediaPipe Tasks, and through what goes wrong on the way."""

from __future__ import annotations

from pathlib import Path

import av
import mediapipe
import numpy as np
import pytest
from mediapipe.tasks.python import BaseOptions, vision

import biopose_live
from biopose_live.detection import landmark_tracker
from biopose_live.detection.landmark_tracker import MIRROR, LandmarkTracker, unmirrored
from biopose_live.detection.pose_landmarker import model_path
from biopose_live.mqhmr.encoder import Encoded, FoundLandmarks

DEMO = Path(biopose_live.__file__).parent / "assets" / "demo" / "demo.mp4"
FRAME_NS = 33_333_333


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """Two seconds of the demo clip, every second frame."""
    with av.open(str(DEMO)) as container:
        return [f.to_ndarray(format="rgb24") for i, f in enumerate(container.decode(video=0)) if i < 60 and i % 2 == 0]


def limbs_px(keypoints: np.ndarray) -> np.ndarray:
    return keypoints[[11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28], :2]


@pytest.mark.parametrize("model", ["lite", "full"])
def test_people_are_where_mediapipe_sees_them(frames: list[np.ndarray], model: str) -> None:
    """Tasks' single-picture mode, which smooths nothing; it looks at another square, so a few px remain."""
    options = vision.PoseLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model_path(model))), running_mode=vision.RunningMode.IMAGE
    )
    off, turned = [], []
    with vision.PoseLandmarker.create_from_options(options) as tasks, LandmarkTracker(model) as tracker:
        for i, frame in enumerate(frames):
            (person,) = tracker(frame, i * FRAME_NS)
            result = tasks.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=frame))
            height, width = frame.shape[:2]
            theirs = np.array([(m.x * width, m.y * height) for m in result.pose_landmarks[0]])
            size = np.ptp(theirs, axis=0).max()
            off.append(np.median(np.linalg.norm(limbs_px(person.keypoints) - limbs_px(theirs), axis=1)) / size)
            world = np.array([(m.x, m.y, m.z) for m in result.pose_world_landmarks[0]])
            turned.append(np.median(np.linalg.norm(person.world - world, axis=1)))
    assert np.median(off) < 0.015
    assert np.median(turned) < 0.06


def test_somebody_who_leans_is_turned_back_into_the_frame(frames: list[np.ndarray]) -> None:
    """A frame on its side: keypoints and 3D of the upright one, turned."""
    upright, lying = frames[10], np.ascontiguousarray(np.rot90(frames[10]))
    with LandmarkTracker("full") as one, LandmarkTracker("full") as other:
        (standing,), (turned,) = one(upright, 0), other(lying, 0)
    width = upright.shape[1]
    back = np.stack([width - turned.keypoints[:, 1], turned.keypoints[:, 0]], 1)
    assert np.median(np.linalg.norm(limbs_px(back) - limbs_px(standing.keypoints), axis=1)) < 6.0
    world = np.stack([-turned.world[:, 1], turned.world[:, 0], turned.world[:, 2]], 1)
    assert np.median(np.linalg.norm(world - standing.world, axis=1)) < 0.05


def test_the_mirror_exchanges_sides() -> None:
    rng = np.random.default_rng(0)
    seen = FoundLandmarks(rng.uniform(0, 256, (33, 2)), rng.uniform(0, 1, 33), rng.normal(0, 1, (33, 3)), 1.0)
    keypoints, visibility, world = unmirrored(Encoded([], seen))
    assert keypoints[11, 0] == pytest.approx(256 - seen.keypoints[12, 0])
    assert keypoints[11, 1] == pytest.approx(seen.keypoints[12, 1])
    assert visibility[28] == pytest.approx(seen.visibility[27])
    np.testing.assert_allclose(world[0], seen.world[0] * [-1, 1, 1])
    np.testing.assert_array_equal(MIRROR[MIRROR], np.arange(33))
    twice = Encoded([], FoundLandmarks(keypoints, visibility, world, 1.0))
    np.testing.assert_allclose(unmirrored(twice)[0], seen.keypoints)


def test_a_mirrored_frame_gives_mirrored_people(frames: list[np.ndarray]) -> None:
    """Both looks are averaged, so nothing prefers a side."""
    frame = frames[20]
    with LandmarkTracker("lite") as one, LandmarkTracker("lite") as other:
        one(frame, 0), other(np.ascontiguousarray(frame[:, ::-1]), 0)
        # Followed, not found: the finder has its own opinion about where the first square lies.
        (plain,), (mirrored,) = one(frame, 1), other(np.ascontiguousarray(frame[:, ::-1]), 1)
    width = frame.shape[1]
    back = mirrored.keypoints[MIRROR, :2] * [-1, 1] + [width, 0]
    assert np.median(np.linalg.norm(limbs_px(back) - limbs_px(plain.keypoints), axis=1)) < 2.0


def test_who_leaves_is_lost_and_found_again(frames: list[np.ndarray]) -> None:
    empty = np.full_like(frames[0], 90)
    with LandmarkTracker("lite") as tracker:
        found = [len(tracker(f, i * FRAME_NS)) for i, f in enumerate([frames[0], empty, empty, frames[5], frames[6]])]
    assert found == [1, 0, 0, 1, 1]


def test_a_jump_is_looked_at_again(frames: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who moved by a sixth of the crop between two frames is seen as well as if they had stood there."""
    frame = frames[0]
    moved = np.roll(frame, 60, axis=1)
    with LandmarkTracker("lite") as tracker, LandmarkTracker("lite") as fresh:
        tracker(frame, 0)
        jumped = tracker(moved, FRAME_NS)[0]
        fresh(moved, 0)
        there = fresh(moved, 1)[0]
    assert np.median(np.linalg.norm(limbs_px(jumped.keypoints) - limbs_px(there.keypoints), axis=1)) < 4.0
    monkeypatch.setattr(landmark_tracker, "LOOK_AGAIN", 10.0)
    with LandmarkTracker("lite") as lazy:
        lazy(frame, 0)
        late = lazy(moved, FRAME_NS)[0]
    assert np.abs(late.keypoints - jumped.keypoints).max() > 0


def test_two_people_are_two_and_one_person_is_one(frames: list[np.ndarray]) -> None:
    frame = frames[0]
    with LandmarkTracker("lite") as tracker:
        (person,) = tracker(frame, 0)
    left, right = int(person.keypoints[:, 0].min()) - 60, int(person.keypoints[:, 0].max()) + 60
    left, right = max(left, 0), min(right, frame.shape[1])
    alone = frame[:, left:right]
    both = np.ascontiguousarray(np.concatenate([alone, alone], 1))
    with LandmarkTracker("lite", people=2) as tracker:
        counts = [len(tracker(both, i * FRAME_NS)) for i in range(12)]
        assert counts[-1] == 2
        centres = sorted(p.keypoints[:, 0].mean() for p in tracker(both, 12 * FRAME_NS))
        assert centres[1] - centres[0] == pytest.approx(right - left, rel=0.1)
    with LandmarkTracker("lite", people=3) as tracker:
        counts = [len(tracker(np.ascontiguousarray(alone), i * FRAME_NS)) for i in range(12)]
        assert counts[-1] == 1


def test_searching_goes_on_only_while_somebody_is_missing(
    frames: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = []

    def run(people: int) -> int:
        searches.clear()
        with LandmarkTracker("lite", people) as tracker:
            finder = tracker._finder
            monkeypatch.setattr(tracker, "_finder", lambda image, t: searches.append(t) or finder(image, t))
            for i, frame in enumerate(frames[:20]):
                tracker(frame, i * 2 * FRAME_NS)
            monkeypatch.setattr(tracker, "_finder", finder)
        return len(searches)

    assert run(1) == 1
    assert 3 <= run(2) <= 6  # every 0.3 s of 1.27 s


def test_tiny_frames_have_nobody_and_other_arrays_are_errors() -> None:
    with LandmarkTracker("lite") as tracker:
        assert tracker(np.zeros((8, 8, 3), np.uint8), 0) == []
        with pytest.raises(ValueError, match="uint8 RGB"):
            tracker(np.zeros((64, 64), np.uint8), 0)
    with pytest.raises(ValueError, match="no model"):
        LandmarkTracker("huge")
