"""Maps that the detector hands over: what travels, who gets them, and that nothing else changes by it."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

import biopose_live
from biopose_live.detection.landmark_tracker import LandmarkTracker
from biopose_live.detection.tracks import Tracker
from biopose_live.messages import Decoder, Detected, Detections, FrameRef, encode
from biopose_live.mqhmr import handed_maps
from biopose_live.mqhmr.encoder import LandmarkEncoder
from biopose_live.mqhmr.handed_maps import ENCODER, LARGEST, MOST_PEOPLE, are_wanted, pack, unpack
from biopose_live.mqhmr.lite.network import LiteNetwork
from biopose_live.mqhmr.person_crop import Crop
from biopose_live.pipeline.sockets import MAX_MESSAGE_BYTES
from biopose_live.settings import Settings

DEMO = Path(biopose_live.__file__).parent / "assets" / "demo" / "demo.mp4"
FRAME_NS = 33_333_333
CROP = Crop(np.array([320.0, 240.0]), 300.0, 0.1)


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    with av.open(str(DEMO)) as container:
        return [frame.to_ndarray(format="rgb24") for _, frame in zip(range(3), container.decode(video=0), strict=False)]


def made_up(rng: np.random.Generator) -> list[np.ndarray]:
    levels = LiteNetwork.load().architecture.levels
    return [rng.uniform(0.0, LARGEST, tuple(level)).astype(np.float32) for level in levels]


def test_little_is_lost_on_the_way() -> None:
    maps = made_up(np.random.default_rng(0))
    maps[0][0, 0, :2] = 0.0, LARGEST
    back, crop = unpack(pack(maps, CROP, "this"))
    for sent, got in zip(maps, back, strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, sent, atol=2e-4)
    assert (crop.centre.tolist(), crop.size, crop.angle) == ([320.0, 240.0], 300.0, 0.1)


def test_the_shipped_network_reads_the_detectors_maps() -> None:
    assert LiteNetwork.load().architecture.encoder == ENCODER
    assert are_wanted(Settings(demo=True))
    assert not are_wanted(Settings(demo=True, image="off"))
    assert not are_wanted(Settings(demo=True, detector="lite"))


def test_a_persons_maps_are_those_of_the_crop_they_were_seen_in(frames: list[np.ndarray]) -> None:
    encoder = LandmarkEncoder(ENCODER, landmarks=False)
    with LandmarkTracker(ENCODER, maps=True) as tracker:
        for i, frame in enumerate(frames):
            (person,) = tracker(frame, i * FRAME_NS)
            assert person.maps is not None
            maps, crop = unpack(person.maps)
            assert person.maps.encoder == encoder.fingerprint
            for found, expected in zip(maps, encoder(crop.cut(frame)).maps, strict=True):
                np.testing.assert_allclose(found, expected, atol=1e-3)


def test_maps_change_nothing_else_and_come_only_when_wanted(frames: list[np.ndarray]) -> None:
    with LandmarkTracker("lite", maps=True) as one, LandmarkTracker("lite") as other:
        for i, frame in enumerate(frames):
            (with_maps,), (without,) = one(frame, i * FRAME_NS), other(frame, i * FRAME_NS)
            np.testing.assert_array_equal(with_maps.keypoints, without.keypoints)
            np.testing.assert_array_equal(with_maps.world, without.world)
            assert with_maps.maps is not None
            assert without.maps is None


def test_each_person_keeps_their_own(frames: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    with LandmarkTracker("lite") as looks:
        (person,) = looks(frames[0], 0)
    left, right = int(person.keypoints[:, 0].min()) - 60, int(person.keypoints[:, 0].max()) + 60
    alone = frames[0][:, max(left, 0) : right]
    both = np.ascontiguousarray(np.concatenate([alone, alone], 1))
    tracker = Tracker(2)
    with LandmarkTracker("lite", people=2, maps=True) as looks:
        for i in range(12):
            people = looks(both, i * FRAME_NS)
            detected = tracker.update(people, i * FRAME_NS / 1e9, both.shape[1], both.shape[0], both)
        assert len(detected) == 2
        for person in detected:
            assert person.maps is not None
            hips = person.keypoints[[23, 24], :2].mean(0)
            assert np.linalg.norm(person.maps.centre - hips) < 0.05 * person.maps.size
        monkeypatch.setattr(handed_maps, "MOST_PEOPLE", 1)
        assert [one.maps is None for one in looks(both, 12 * FRAME_NS)] == [False, True]


def test_the_most_people_fit_one_message() -> None:
    rng = np.random.default_rng(0)
    keypoints = np.zeros((33, 3), np.float32)
    people = [
        Detected(i, 0.9, np.zeros(4), keypoints, keypoints, pack(made_up(rng), CROP, "x" * 64))
        for i in range(MOST_PEOPLE)
    ]
    sent = encode(Detections(FrameRef(0, 1, 640, 480, 0, 2), people))
    assert len(sent) < MAX_MESSAGE_BYTES
    last = Decoder(Detections).decode(sent).people[-1]
    assert last.maps is not None
    assert people[-1].maps is not None
    for found, expected in zip(last.maps.levels, people[-1].maps.levels, strict=True):
        np.testing.assert_array_equal(found, expected)
