"""Small videos made with PyAV, and a scripted camera with PyAV's container interface."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from biopose_live.capture.live import Connection
from biopose_live.capture.source import Captured
from biopose_live.capture.timeline import ArrivalClock

NS = 1_000_000_000


def write_video(
    path: Path,
    count: int = 10,
    size: tuple[int, int] = (64, 48),
    *,
    codec: str = "mpeg4",
    rate: int = 30,
    pts: list[int] | None = None,
    time_base: Fraction | None = None,
    pix_fmt: str = "yuv420p",
    rotation: tuple[float, bool] | None = None,
    options: dict[str, str] | None = None,
    picture: np.ndarray | None = None,
) -> Path:
    """`count` frames of rising brightness (or `picture`), at `pts` ticks of `time_base`."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        if codec == "mpeg4":
            stream.codec_context.gop_size = 1
        if rotation is not None:
            stream.set_display_rotation(rotation[0], hflip=rotation[1])
        if time_base is not None:
            stream.time_base = time_base
            stream.codec_context.time_base = time_base
        for index in range(count):
            if picture is None:
                rgb = np.full((size[1], size[0], 3), 20 + 20 * index % 200, np.uint8)
            else:
                rgb = picture
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pix_fmt)
            frame.pts = index if pts is None else pts[index]
            frame.time_base = time_base or Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def video(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "clip.mp4", **what: Any) -> Path:
        return write_video(tmp_path / name, **what)

    return make


class FakeClock:
    """A monotonic clock that moves when told to, or when somebody sleeps."""

    def __init__(self, now: int = 5 * NS) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += round(seconds * NS)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)


@pytest.fixture
def read_for() -> Callable[[Any], list[Captured]]:
    """Reads until the source raises, or for about 20 s."""
    return lambda source: [frame for _ in range(400) if (frame := source.read(0.05)) is not None]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class ScriptedCamera:
    """Connects again and again, each time following the next script.

    A script is a list of steps: an int (a frame with that pts, ms), "block" (for ever, until `release`), "gate" (until
    `open_gate` is called), or an exception.  A script that is itself an exception makes opening fail.
    """

    def __init__(self, *scripts: Any) -> None:
        self.scripts = list(scripts)
        self.opened = 0
        self.closed = 0
        self.released = threading.Event()
        self.gate = threading.Semaphore(0)

    def connect(self) -> Connection:
        script = self.scripts.pop(0) if self.scripts else OSError(19, "No such device")
        self.opened += 1
        if script == "block":
            self.released.wait()
            raise OSError(5, "released")
        if isinstance(script, BaseException):
            raise script
        base = Fraction(1, 1000)
        stream = SimpleNamespace(
            thread_type="AUTO", time_base=base, average_rate=Fraction(30), guessed_rate=Fraction(30)
        )
        return Connection(ScriptedContainer(self, script), stream, ArrivalClock(base, use_pts=False))

    def open_gate(self) -> None:
        self.gate.release()


class ScriptedContainer:
    def __init__(self, camera: ScriptedCamera, script: list[Any]) -> None:
        self.camera = camera
        self.script = script

    def demux(self, stream: Any) -> Iterator[Any]:
        for step in self.script:
            if isinstance(step, BaseException):
                raise step
            if step == "block":
                self.camera.released.wait()
                raise OSError(5, "released")
            if step == "gate":
                self.camera.gate.acquire()
                continue
            frame = av.VideoFrame(8, 6, "rgb24")
            frame.pts = step
            frame.time_base = stream.time_base
            yield SimpleNamespace(decode=lambda frame=frame: [frame])

    def close(self) -> None:
        self.camera.closed += 1


@pytest.fixture
def scripted() -> Iterator[Callable[..., ScriptedCamera]]:
    made: list[ScriptedCamera] = []

    def make(*scripts: Any) -> ScriptedCamera:
        made.append(ScriptedCamera(*scripts))
        return made[-1]

    yield make
    for camera in made:
        camera.released.set()
        for _ in range(100):
            camera.open_gate()
