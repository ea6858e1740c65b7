"""The stage: descriptors in, people out, lost frames counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from biopose_live.messages import Decoder, Detections, FrameRef, encode
from biopose_live.settings import Settings
from biopose_live.stages.detection import DetectionStage


class Frames:
    """A frame store that holds pictures by slot."""

    def __init__(self, pictures: list[NDArray[np.uint8] | None]) -> None:
        self.pictures = pictures

    def pixels(self, frame: FrameRef) -> NDArray[np.uint8] | None:
        return self.pictures[frame.slot]


def ref(seq: int, width: int = 640, height: int = 480) -> FrameRef:
    return FrameRef(seq, 5_000_000_000 + seq * 33_333_333, width, height, slot=seq, generation=1)


def run(pictures: list[NDArray[np.uint8] | None], **options: object) -> tuple[list[Detections | None], int]:
    stage = DetectionStage(Settings(demo=True, detector="lite", **options), Frames(pictures))  # type: ignore[arg-type]
    try:
        return [stage.process(ref(k)) for k in range(len(pictures))], stage.lost
    finally:
        stage.close()


def test_a_person_is_followed_under_one_id(draw_person) -> None:
    drawings = [draw_person(5.0 * k) for k in range(5)]
    found, lost = run([d.image for d in drawings])
    assert lost == 0
    for k, (detections, drawing) in enumerate(zip(found, drawings, strict=True)):
        assert detections is not None
        assert detections.frame == ref(k)
        (person,) = detections.people
        assert person.id == 0
        assert person.confidence > 0.8
        assert person.keypoints.shape == person.world.shape == (33, 3)
        x, y, w, h = person.box
        for joint in drawing.joints.values():
            assert x < joint[0] < x + w
            assert y < joint[1] < y + h
        assert detections.stages["detection"] > 0


def test_a_frame_with_nobody_has_an_empty_list() -> None:
    found, _ = run([np.full((480, 640, 3), 90, np.uint8)])
    assert found[0] is not None
    assert found[0].people == []


def test_an_overwritten_frame_is_dropped_and_counted(draw_person) -> None:
    image = draw_person().image
    found, lost = run([image, None, None, image])
    assert [d is None for d in found] == [False, True, True, False]
    assert lost == 2
    assert found[3].people[0].id == 0


def test_the_message_survives_the_wire(draw_person) -> None:
    found, _ = run([draw_person().image])
    back = Decoder(Detections).decode(encode(found[0]))
    np.testing.assert_array_equal(back.people[0].keypoints, found[0].people[0].keypoints)
    np.testing.assert_array_equal(back.people[0].world, found[0].people[0].world)
    assert back.frame == found[0].frame


def test_the_same_frames_give_the_same_numbers(draw_person) -> None:
    pictures = [draw_person(5.0 * k).image for k in range(4)]
    (first, _), (second, _) = run(pictures), run(pictures)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.people[0].keypoints, b.people[0].keypoints)
        np.testing.assert_array_equal(a.people[0].world, b.people[0].world)
