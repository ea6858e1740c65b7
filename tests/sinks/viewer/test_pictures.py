"""When a picture is encoded: as soon as its pose is being worked on, and while something is filmed with its pose."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from biopose_live.messages import FrameRef
from biopose_live.pipeline.ring import LocalFrames
from biopose_live.sinks.viewer.audience import Audience
from biopose_live.sinks.viewer.encoding import EncodedPicture
from biopose_live.sinks.viewer.pictures import Pictures

WIDTH, HEIGHT = 64, 48
PATIENCE_S = 20.0


class Announced:
    """An announcer that is told what to say."""

    def __init__(self) -> None:
        self.said: queue.Queue[FrameRef] = queue.Queue()
        self.asked = threading.Event()  # by the thread, after the last thing that was said
        self.closed = False

    def next(self, timeout_ms: int) -> FrameRef | None:
        if self.said.empty():
            self.asked.set()
        try:
            return self.said.get(timeout=timeout_ms / 1000)
        except queue.Empty:
            return None

    def close(self) -> None:
        self.closed = True


class Watching:
    """A viewer that keeps what it is sent."""

    wants_video, wants_jpeg = True, False

    def __init__(self) -> None:
        self.seen: queue.Queue[int] = queue.Queue()

    def message(self, packed: bytes) -> None: ...

    def video(self, picture: EncodedPicture) -> None:
        self.seen.put(picture.t_capture)

    def jpeg(self, t_capture: int, data: bytes) -> None: ...

    async def close(self) -> None: ...


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    found = asyncio.new_event_loop()
    thread = threading.Thread(target=found.run_forever)
    thread.start()
    yield found
    found.call_soon_threadsafe(found.stop)
    thread.join()
    found.close()


@pytest.fixture
def capture() -> tuple[LocalFrames, Callable[[int], FrameRef]]:
    frames = LocalFrames()
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    return frames, lambda number: frames.write(number, 1_000_000_000 + 33_333_333 * number, picture, 0)


def test_announced_frames_are_shown_before_they_have_a_pose(
    loop: asyncio.AbstractEventLoop, capture: tuple[LocalFrames, Callable[[int], FrameRef]]
) -> None:
    frames, caught = capture
    announced, viewer, audience = Announced(), Watching(), Audience(b"")
    audience.join(viewer)
    pictures = Pictures(frames, announced=announced)
    pictures.attach(audience, loop)
    for number in range(3):
        frame = caught(number)
        announced.said.put(frame)
        assert viewer.seen.get(timeout=PATIENCE_S) == frame.t_capture
        pictures.show(frame.seq, frame.t_capture)  # its pose: the picture is there already
    pictures.close()
    assert viewer.seen.empty()
    assert announced.closed


def test_what_is_filmed_waits_for_its_pose(
    loop: asyncio.AbstractEventLoop, capture: tuple[LocalFrames, Callable[[int], FrameRef]], tmp_path: Path
) -> None:
    """A frame that never gets a pose is in no film, and viewers go on meanwhile."""
    frames, caught = capture
    announced, viewer, audience = Announced(), Watching(), Audience(b"")
    audience.join(viewer)
    pictures = Pictures(frames, announced=announced)
    pictures.attach(audience, loop)
    film = pictures.film(tmp_path / "film.mp4")
    shown = []
    for number in range(6):
        frame = caught(number)
        announced.said.put(frame)
        if number % 2 == 0:
            pictures.show(frame.seq, frame.t_capture)
            assert viewer.seen.get(timeout=PATIENCE_S) == frame.t_capture
            shown.append(number)
    announced.said = queue.Queue()
    pictures.end_film(film)
    later = caught(6)
    announced.said.put(later)
    assert viewer.seen.get(timeout=PATIENCE_S) == later.t_capture
    pictures.close()
    with av.open(str(tmp_path / "film.mp4")) as written:
        assert len(list(written.decode(video=0))) == len(shown)


def test_nobody_watches_and_nothing_is_encoded(
    monkeypatch: pytest.MonkeyPatch, capture: tuple[LocalFrames, Callable[[int], FrameRef]]
) -> None:
    def encode(*_: object, **__: object) -> None:
        raise AssertionError("nobody wants it")

    monkeypatch.setattr("biopose_live.sinks.viewer.encoding.VideoEncoder.encode", encode)
    frames, caught = capture
    announced = Announced()
    pictures = Pictures(frames, announced=announced)
    announced.said.put(caught(0))
    announced.asked.clear()
    assert announced.asked.wait(PATIENCE_S)
    pictures.close()
    assert pictures.problem is None
