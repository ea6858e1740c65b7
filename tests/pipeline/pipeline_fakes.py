"""Small stages for the pipeline's tests, importable by child processes.

A frame's pixels encode its seq, and everything downstream is computed from the pixels, so a torn or wrong frame shows.
`Settings.height` is free to carry a number for a fake (the subject's height means nothing here).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from biopose_client.schema import Camera, Health, Person, Pose
from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.messages import Detected, Detections, FrameRef, Intrinsics, Meshes, MeshPerson
from biopose_live.settings import Settings
from biopose_live.stages import EndOfStream, FrameStore, FrameWriter

WIDTH, HEIGHT = 64, 48
PERIOD_S = 0.02


def picture(seq: int) -> np.ndarray:
    """(HEIGHT, WIDTH, 3): every pixel spells the seq number."""
    return np.broadcast_to(np.array([seq & 255, seq >> 8 & 255, seq >> 16 & 255], np.uint8), (HEIGHT, WIDTH, 3)).copy()


def spelled(pixels: np.ndarray) -> int:
    """-> the seq that all pixels agree on; raises ValueError when they do not."""
    first = pixels[0, 0].astype(int)
    if not (pixels == pixels[0, 0]).all():
        raise ValueError("torn frame")
    return int(first[0] | first[1] << 8 | first[2] << 16)


class Capture:
    """Frames at 50 Hz for ever."""

    name = "capture"
    period = PERIOD_S
    frames: int | None = None

    def __init__(self, settings: Settings, writer: FrameWriter) -> None:
        self._writer = writer
        self._seq = 0
        self._next = 0.0

    def process(self, message: None) -> FrameRef | None:
        if self.frames is not None and self._seq >= self.frames:
            raise EndOfStream
        now = time.monotonic()
        self._next = max(self._next + self.period, now) if self._next else now
        time.sleep(max(self._next - now, 0))
        frame = self._writer.write(self._seq, time.monotonic_ns(), picture(self._seq), 0)
        self._seq += 1
        return frame

    def close(self) -> None:
        pass


class ShortCapture(Capture):
    """30 frames, slow enough that nothing is dropped."""

    frames = 30
    period = 0.08


class BriefCapture(Capture):
    """3 frames at once, then the end."""

    frames = 3
    period = 0.001


class Detection:
    """One person, made from the pixels."""

    name = "detection"

    def __init__(self, settings: Settings, frames: FrameStore) -> None:
        self._frames = frames

    def process(self, message: FrameRef) -> Detections | None:
        pixels = self._frames.pixels(message)
        if pixels is None:
            return None
        seed = spelled(pixels)
        rng = np.random.default_rng(seed)
        person = Detected(
            id=1,
            confidence=0.9,
            box=np.array([1.0, 2.0, 3.0, seed]),
            keypoints=rng.normal(size=(33, 3)).astype(np.float32),
            world=rng.normal(size=(33, 3)).astype(np.float32),
        )
        return Detections(message, [person])

    def close(self) -> None:
        pass


class Mqhmr:
    name = "mqhmr"

    def __init__(self, settings: Settings, frames: FrameStore) -> None:
        pass

    def process(self, message: Detections) -> Meshes:
        people = []
        for person in message.people:
            theta = np.tanh(person.world[:24] @ np.ones((3, 3), np.float32))
            people.append(
                MeshPerson(
                    id=person.id,
                    confidence=person.confidence,
                    box=person.box,
                    keypoints=person.keypoints,
                    theta=theta,
                    theta_sigma=np.abs(theta),
                    betas=np.zeros(10),
                    translation=np.zeros(3),
                    joints=theta * 2,
                    landmarks=np.zeros((33, 3)),
                    markers=np.zeros((5, 3)),
                    up=np.array([0.0, -1.0, 0.0]),
                    settled=False,
                )
            )
        return Meshes(message.frame, Intrinsics(500.0, (32.0, 24.0)), people)

    def close(self) -> None:
        pass


class Neurik:
    name = "neurik"

    def __init__(self, settings: Settings, frames: FrameStore) -> None:
        pass

    def process(self, message: Meshes) -> Pose:
        frame = message.frame
        people = [
            Person(
                id=p.id,
                confidence=p.confidence,
                box=p.box.tolist(),
                keypoints=p.keypoints.tolist(),
                camera=Camera(message.intrinsics.focal, list(message.intrinsics.centre), p.translation.tolist()),
                joints=p.joints.tolist(),
                q=np.sin(p.theta).ravel().tolist(),
                q_sigma=[],
                scales=[],
                bodies=[],
                root=[0.0, 0.0, 0.0],
                theta=p.theta.tolist(),
                betas=p.betas.tolist(),
            )
            for p in message.people
        ]
        return Pose("", frame.seq, frame.t_capture, 0, [frame.width, frame.height], {}, frame.dropped, people)

    def close(self) -> None:
        pass


class FileSinks:
    """Appends one JSON line per event to `settings.record`."""

    def __init__(self, settings: Settings, session: str) -> None:
        import msgspec

        assert settings.record is not None
        self.problems: list[str] = []
        self._encode = msgspec.json.encode
        self._path = Path(settings.record)

    def _append(self, kind: str, value: object) -> None:
        with self._path.open("ab") as stream:
            stream.write(self._encode({"kind": kind, "value": value}) + b"\n")

    def write(self, pose: Pose) -> None:
        self._append("pose", pose)

    def health(self, health: Health) -> None:
        self._append("health", health)

    def idle(self) -> None:
        pass

    def close(self, summary: object) -> None:
        self._append("summary", summary)


class FullDiskSinks(FileSinks):
    """Its recorder fails at the fifth pose; the rest goes on."""

    def write(self, pose: Pose) -> None:
        super().write(pose)
        if pose.seq >= 5:
            raise UserError("The disk is full: recording has ended.")


class SlowMqhmr(Mqhmr):
    """Five times slower than the camera."""

    def process(self, message: Detections) -> Meshes:
        time.sleep(5 * PERIOD_S)
        return super().process(message)


class SleepyMqhmr(Mqhmr):
    """Half a second for each message: at the end of a short file, its last frames are still to be done."""

    def process(self, message: Detections) -> Meshes:
        time.sleep(0.5)
        return super().process(message)


class NoModelMqhmr(Mqhmr):
    def __init__(self, settings: Settings, frames: FrameStore) -> None:
        raise UserError("The weights are missing: install them.", EXIT_MODEL)


class LateUserErrorNeurik(Neurik):
    def process(self, message: Meshes) -> Pose:
        if message.frame.seq >= 10:
            raise UserError("The skeleton broke: mend it.", EXIT_MODEL)
        return super().process(message)


class CrashingMqhmr(Mqhmr):
    def process(self, message: Detections) -> Meshes:
        raise RuntimeError("this always happens")


class CrashingStartMqhmr(Mqhmr):
    def __init__(self, settings: Settings, frames: FrameStore) -> None:
        raise RuntimeError("cannot even start")


class HardExitNeurik(Neurik):
    """Dies without a word once, at frame 10 (of a seq that is only seen once)."""

    def process(self, message: Meshes) -> Pose:
        if message.frame.seq == 10:
            os._exit(7)
        return super().process(message)


class HangingMqhmr(Mqhmr):
    """Never comes back from frame 5."""

    def process(self, message: Detections) -> Meshes:
        while message.frame.seq == 5:
            time.sleep(1)
        return super().process(message)


class EmptyCapture(Capture):
    """Nothing for a second, without waiting; says at the end how often it was asked."""

    def process(self, message: None) -> FrameRef | None:
        self._seq += 1
        self._next = self._next or time.monotonic() + 1.0
        if time.monotonic() > self._next:
            raise EndOfStream(str(self._seq))
        return None
