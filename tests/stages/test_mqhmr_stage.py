"""Keypoints in, bodies out: fields, frames, several people, a known height and a known pitch."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biopose_live.body.model import EMBEDDED_BODY, BodyModel
from biopose_live.capture.intrinsics import intrinsics_for
from biopose_live.errors import UserError
from biopose_live.messages import Decoder, Detected, Detections, FrameRef, Meshes, encode
from biopose_live.mqhmr import handed_maps
from biopose_live.mqhmr.encoder import LandmarkEncoder
from biopose_live.mqhmr.gravity import pitched
from biopose_live.mqhmr.landmarks import Landmarks
from biopose_live.mqhmr.person_crop import person_crop
from biopose_live.neurik.person_file import Made, PersonFile, Quality, write_person_file
from biopose_live.rotations import to_matrix
from biopose_live.settings import Settings
from biopose_live.stages.mqhmr import FORGET_S, MqhmrStage

SETTINGS = Settings(video=None, demo=True)
WIDTH, HEIGHT = 1280, 720
CAMERA = intrinsics_for(SETTINGS, WIDTH, HEIGHT)


@pytest.fixture
def stage() -> MqhmrStage:
    return MqhmrStage(SETTINGS)


def frame(n: int, t: float) -> FrameRef:
    return FrameRef(n, round(1e9 * t), WIDTH, HEIGHT, 0, 0)


def detected(clip: Any, n: int, number: int = 1) -> Detected:
    keypoints = np.column_stack([clip.keypoints[n], clip.scores[n]]).astype(np.float32)
    world = (clip.points[n] - clip.points[n, 23:25].mean(0)).astype(np.float32)
    return Detected(number, 0.8, np.array([1.0, 2.0, 3.0, 4.0]), keypoints, world)


def run(stage: MqhmrStage, clip: Any) -> list[Meshes]:
    return [stage.process(Detections(frame(n, t), [detected(clip, n)])) for n, t in enumerate(clip.t)]


def test_the_fields_agree_with_each_other(
    stage: MqhmrStage, body: BodyModel, landmarks: Landmarks, make_clip: Callable[..., Any]
) -> None:
    clip = make_clip(0.7, camera=CAMERA)
    for n, meshes in enumerate(run(stage, clip)):
        assert meshes.intrinsics == CAMERA
        assert meshes.frame.seq == n
        one = meshes.people[0]
        assert (one.id, one.confidence) == (1, 0.8)
        rotations = to_matrix(one.theta)
        joints, markers, _ = body.pose_markers(rotations, one.betas, one.translation)
        np.testing.assert_allclose(one.joints, joints, atol=1e-6)
        np.testing.assert_allclose(one.markers, markers, atol=1e-6)
        np.testing.assert_allclose(one.landmarks, landmarks.place(rotations, one.betas) + one.translation, atol=1e-6)
        np.testing.assert_array_equal(one.keypoints, detected(clip, n).keypoints)
        assert np.linalg.norm(one.up) == pytest.approx(1.0)
        assert one.theta_sigma.shape == (24, 3)
        assert one.joints[:, 2].min() > 0.3  # in front of the camera
        for name in ("theta", "theta_sigma", "betas", "translation", "joints", "landmarks", "markers"):
            assert np.isfinite(getattr(one, name)).all(), name
        again = Decoder(Meshes).decode(encode(meshes))
        np.testing.assert_array_equal(again.people[0].theta, one.theta)


def test_inline_and_over_a_socket_are_the_same(make_clip: Callable[..., Any]) -> None:
    clip, decoder = make_clip(0.4, camera=CAMERA), Decoder(Detections)
    one, other = MqhmrStage(SETTINGS), MqhmrStage(SETTINGS)
    for n, t in enumerate(clip.t):
        message = Detections(frame(n, t), [detected(clip, n)])
        a, b = one.process(message), other.process(decoder.decode(encode(message)))
        np.testing.assert_array_equal(a.people[0].theta, b.people[0].theta)
        np.testing.assert_array_equal(a.people[0].translation, b.people[0].translation)


def test_a_known_pitch_is_every_persons_up(make_clip: Callable[..., Any]) -> None:
    stage = MqhmrStage(Settings(video=None, demo=True, camera_pitch=12.0))
    clip = make_clip(0.3, camera=CAMERA, pitch=math.radians(12))
    for meshes in run(stage, clip):
        np.testing.assert_allclose(meshes.people[0].up, pitched(math.radians(12.0)))
        np.testing.assert_allclose(meshes.people[0].up, clip.up, atol=1e-12)


@pytest.mark.parametrize("height", [1.6, 1.85])
def test_a_known_height_stays_known(body: BodyModel, make_clip: Callable[..., Any], height: float) -> None:
    stage = MqhmrStage(Settings(video=None, demo=True, height=height))
    clip = make_clip(12.0, fps=12, camera=CAMERA, betas=body.betas_for_height(height))
    last = run(stage, clip)[-1].people[0]
    assert last.settled
    assert body.stature(last.betas) == pytest.approx(height, abs=0.008)


def test_a_given_height_sets_the_distance_too(make_clip: Callable[..., Any]) -> None:
    """One picture, two sizes: who is told to be larger by a tenth stands farther away by a tenth."""
    clip, found = make_clip(7.0, fps=12, camera=CAMERA), []
    for height in (1.65, 1.815):
        found.append(run(MqhmrStage(Settings(demo=True, height=height)), clip)[-1].people[0].translation[2])
    assert found[1] / found[0] == pytest.approx(1.1, abs=0.02)


def test_a_calibration_is_held_from_the_first_frame_on(
    body: BodyModel, make_clip: Callable[..., Any], tmp_path: Path
) -> None:
    betas = [0.5, -0.4, 0.3, 0.0, 0.1, 0.0, 0.0, -0.2, 0.0, 0.6]
    person = PersonFile(
        body=Made.of(EMBEDDED_BODY),
        skeleton=Made("bsk24.osim", ""),
        betas=betas,
        height=body.stature(np.array(betas)),
        body_names=[],
        scales=[],
        quality=Quality(1, 1.0, 1.0, 1.0),
    )
    write_person_file(person, tmp_path / "person.json")
    stage = MqhmrStage(Settings(demo=True, calibration=tmp_path / "person.json"))
    for meshes in run(stage, make_clip(0.5, camera=CAMERA)):
        one = meshes.people[0]
        assert one.settled
        assert one.calibrated == 1.0
        np.testing.assert_array_equal(one.betas, betas)
    person.body.sha256 = "another"
    write_person_file(person, tmp_path / "other.json")
    with pytest.raises(UserError, match="made with the body"):
        MqhmrStage(Settings(demo=True, calibration=tmp_path / "other.json"))


def test_people_are_kept_apart_and_forgotten(stage: MqhmrStage, make_clip: Callable[..., Any]) -> None:
    first, second = make_clip(0.3, camera=CAMERA, seed=1), make_clip(0.3, camera=CAMERA, seed=2, heading=2.0)
    alone = [m.people[0].theta for m in run(MqhmrStage(Settings(demo=True, camera_pitch=0.0)), first)]
    both = MqhmrStage(Settings(demo=True, camera_pitch=0.0))
    for n, t in enumerate(first.t):
        meshes = both.process(Detections(frame(n, t), [detected(first, n, 4), detected(second, n, 9)]))
        assert [p.id for p in meshes.people] == [4, 9]
        np.testing.assert_array_equal(meshes.people[0].theta, alone[n])
    assert both.process(Detections(frame(9, 1.0), [])).people == []
    assert len(both._people) == 2
    both.process(Detections(frame(10, 2.0 + FORGET_S), []))
    assert not both._people
    both.close()


def test_refinement_off_still_gives_bodies(make_clip: Callable[..., Any]) -> None:
    stage = MqhmrStage(Settings(demo=True, refine_iterations=0))
    for meshes in run(stage, make_clip(0.3, camera=CAMERA)):
        assert np.isfinite(meshes.people[0].joints).all()


def test_a_missing_body_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nobody\.npz"):
        MqhmrStage(Settings(demo=True, body=tmp_path / "nobody.npz"))


class Pictures:
    """A frame store with one picture, or none any more."""

    def __init__(self, image: np.ndarray | None) -> None:
        self.image = image
        self.asked = 0

    def pixels(self, frame: FrameRef) -> np.ndarray | None:
        self.asked += 1
        return self.image


def test_the_picture_is_looked_at_once_a_frame(make_clip: Callable[..., Any]) -> None:
    """Whatever it shows, the pose differs from the one of keypoints alone, and is a pose."""
    clip = make_clip(0.2, camera=CAMERA)
    store = Pictures(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8))
    with_picture = run(MqhmrStage(SETTINGS, store), clip)
    assert store.asked == len(with_picture)
    without = run(MqhmrStage(Settings(demo=True, image="off"), store), clip)
    assert store.asked == len(with_picture)
    for a, b in zip(with_picture, without, strict=True):
        assert np.isfinite(a.people[0].markers).all()
        assert not np.allclose(a.people[0].theta, b.people[0].theta)


def test_a_picture_that_is_gone_is_done_without(make_clip: Callable[..., Any]) -> None:
    clip = make_clip(0.2, camera=CAMERA)
    stage = MqhmrStage(SETTINGS, Pictures(None))
    for a, b in zip(run(stage, clip), run(MqhmrStage(Settings(demo=True, image="off")), clip), strict=True):
        np.testing.assert_array_equal(a.people[0].theta, b.people[0].theta)
    assert stage.unseen == len(clip.t)


def with_maps(clip: Any, image: np.ndarray, fingerprint: str | None = None) -> list[Detected]:
    """What the detector hands over of a picture that it cut where mqhmr itself would."""
    encoder = LandmarkEncoder("full", landmarks=False)
    people = []
    for n in range(len(clip.t)):
        person = detected(clip, n)
        crop = person_crop(person.keypoints[:, :2].astype(np.float64))
        person.maps = handed_maps.pack(encoder(crop.cut(image)).maps, crop, fingerprint or encoder.fingerprint)
        people.append(person)
    return people


def test_maps_that_came_along_take_the_pictures_place(make_clip: Callable[..., Any]) -> None:
    """Same crop, same maps, same pose, and the pixels are not fetched."""
    clip = make_clip(0.2, camera=CAMERA)
    image = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    store = Pictures(image)
    own = run(MqhmrStage(SETTINGS, store), clip)
    looked = store.asked
    stage = MqhmrStage(SETTINGS, store)
    for n, (t, person) in enumerate(zip(clip.t, with_maps(clip, image), strict=True)):
        found = stage.process(Detections(frame(n, t), [person]))
        np.testing.assert_allclose(found.people[0].theta, own[n].people[0].theta, atol=1e-3)
    assert store.asked == looked


def test_maps_of_another_network_are_left_alone(make_clip: Callable[..., Any]) -> None:
    clip = make_clip(0.1, camera=CAMERA)
    image = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    own = run(MqhmrStage(SETTINGS, Pictures(image)), clip)
    store = Pictures(image)
    stage = MqhmrStage(SETTINGS, store)
    for n, (t, person) in enumerate(zip(clip.t, with_maps(clip, image, "of another"), strict=True)):
        found = stage.process(Detections(frame(n, t), [person]))
        np.testing.assert_array_equal(found.people[0].theta, own[n].people[0].theta)
    assert store.asked == len(clip.t)


def test_nobody_in_the_frame_needs_no_look() -> None:
    store = Pictures(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    MqhmrStage(SETTINGS, store).process(Detections(frame(0, 0.0), []))
    assert store.asked == 0
