"""The capture stage: sequence numbers, counts, the end."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from biopose_live.capture.source import Captured
from biopose_live.errors import UserError
from biopose_live.messages import FrameRef
from biopose_live.settings import Settings
from biopose_live.stages import EndOfStream
from biopose_live.stages.capture import CaptureStage

NS = 1_000_000_000


class Store:
    """A frame store that keeps everything."""

    def __init__(self) -> None:
        self.frames: list[tuple[FrameRef, np.ndarray]] = []

    def write(self, seq: int, t_capture: int, pixels: np.ndarray, dropped: int) -> FrameRef:
        height, width, _ = pixels.shape
        frame = FrameRef(seq, t_capture, width, height, len(self.frames), 0, dropped)
        self.frames.append((frame, pixels.copy()))
        return frame


def run(stage: CaptureStage) -> list[FrameRef]:
    frames = []
    try:
        while True:
            if (frame := stage.process(None)) is not None:
                frames.append(frame)
    except EndOfStream:
        return frames
    finally:
        stage.close()


def write_single(path: Path, width: int, height: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png" if width == 1 else "mjpeg", rate=30)  # PNG takes seconds for 8K
        stream.width, stream.height, stream.pix_fmt = width, height, "rgb24" if width == 1 else "yuvj420p"
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[:, :, 1] = 200
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def write_grey(path: Path, count: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(count):
            pixels = np.full((48, 64, 3), 10 + 10 * index % 200, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_every_frame_numbers_the_decoded_frames(tmp_path: Path) -> None:
    path, store = write_grey(tmp_path / "clip.mp4", 15), Store()
    frames = run(CaptureStage(Settings(video=path, every_frame=True), store))
    assert [f.seq for f in frames] == list(range(15))
    assert {f.dropped for f in frames} == {0}
    with av.open(str(path)) as container:
        for (_, got), expected in zip(store.frames, container.decode(video=0), strict=True):
            np.testing.assert_array_equal(got, expected.to_ndarray(format="rgb24"))


def test_every_frame_gives_the_same_twice(tmp_path: Path) -> None:
    path, runs = write_grey(tmp_path / "clip.mp4", 10), []
    for _ in range(2):
        store = Store()
        frames = run(CaptureStage(Settings(video=path, every_frame=True), store))
        runs.append(([f.t_capture - frames[0].t_capture for f in frames], [p for _, p in store.frames]))
    assert runs[0][0] == runs[1][0]
    np.testing.assert_array_equal(runs[0][1], runs[1][1])


def test_real_time_counts_what_it_drops(tmp_path: Path) -> None:
    frames = run(CaptureStage(Settings(video=write_grey(tmp_path / "clip.mp4", 12)), Store()))
    assert frames[-1].seq == 11
    for handed, frame in enumerate(frames):
        assert handed + frame.dropped == frame.seq


@pytest.mark.parametrize(("size", "expected"), [((1, 1), (1, 1)), ((7680, 4320), (1920, 1080))])
def test_the_smallest_and_the_largest_frame(tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]) -> None:
    store = Store()
    path = write_single(tmp_path / "single.mov", *size)
    (frame,) = run(CaptureStage(Settings(video=path, every_frame=True), store))
    assert (frame.width, frame.height) == expected
    assert np.abs(store.frames[0][1].astype(int) - [0, 200, 0]).max() <= 2


@pytest.mark.parametrize("every_frame", [True, False])
def test_duration_is_counted_in_capture_time(tmp_path: Path, every_frame: bool) -> None:
    path = write_grey(tmp_path / "clip.mp4", 30)
    frames = run(CaptureStage(Settings(video=path, every_frame=every_frame, duration=0.2), Store()))
    assert frames[-1].t_capture - frames[0].t_capture < 0.2 * NS
    if every_frame:
        assert len(frames) == 6


def test_test_sources_are_paced() -> None:
    frames = run(CaptureStage(Settings(url="lavfi:testsrc2=size=64x48:rate=30", duration=0.3), Store()))
    assert 1 <= len(frames) <= 9
    for before, after in pairwise(frames):
        step = (after.t_capture - before.t_capture) * 30 / NS
        assert step == pytest.approx(after.seq - before.seq, abs=1e-6)


def test_a_bad_test_source_gets_a_sentence() -> None:
    with pytest.raises(UserError, match="not a filter graph"):
        run(CaptureStage(Settings(url="lavfi:no_such_filter"), Store()))


def test_errors_come_from_process_not_from_making_the_stage(tmp_path: Path) -> None:
    stage = CaptureStage(Settings(video=tmp_path / "gone.mp4"), Store())
    with pytest.raises(UserError, match="no file"):
        stage.process(None)
    stage.close()


class OneFrameThenSilence:
    def __init__(self) -> None:
        self.frames = [Captured(0, 7 * NS, av.VideoFrame(4, 2, "rgb24"), 0)]
        self.closed = False

    def read(self, timeout: float) -> Captured | None:
        return self.frames.pop() if self.frames else None

    def close(self) -> None:
        self.closed = True


def test_a_silent_camera_still_ends_on_time() -> None:
    now, source = [7 * NS], OneFrameThenSilence()
    stage = CaptureStage(Settings(camera="0", duration=2.0), Store(), source=source, clock=lambda: now[0])
    assert stage.process(None) is not None
    now[0] += 2 * NS - 1
    assert stage.process(None) is None
    now[0] += 1
    with pytest.raises(EndOfStream):
        stage.process(None)
    stage.close()
    assert source.closed


def test_without_a_source_there_is_nothing_to_close() -> None:
    CaptureStage(Settings(camera="0"), Store()).close()


def test_no_settings_no_source() -> None:
    with pytest.raises(UserError, match="No source"):
        CaptureStage(Settings(), Store()).process(None)
