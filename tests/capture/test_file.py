"""Video files: exact times, pacing, damage.  The files are written by PyAV."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from biopose_live.capture.file import open_video_file
from biopose_live.capture.source import Captured, Source
from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.stages import EndOfStream

NS = 1_000_000_000
Make = Callable[..., Path]


def read_all(source: Source) -> list[Captured]:
    frames = []
    try:
        while True:
            if (frame := source.read(5.0)) is not None:
                frames.append(frame)
    except EndOfStream:
        return frames
    finally:
        source.close()


def sentence(path: Path, every_frame: bool = True) -> str:
    with pytest.raises(UserError) as caught:
        read_all(open_video_file(path, every_frame=every_frame))
    assert caught.value.exit_code == EXIT_SOURCE
    text = str(caught.value)
    assert str(path) in text
    assert text.endswith(".")
    assert "\n" not in text
    return text


def test_every_frame_is_read_once_in_order(video: Make, clock: Any) -> None:
    frames = read_all(open_video_file(video(count=12), every_frame=True, clock=clock))
    assert [f.index for f in frames] == list(range(12))
    assert [f.t_capture - clock.now for f in frames] == [round(i * NS / 30) for i in range(12)]
    assert {f.dropped for f in frames} == {0}


@pytest.mark.parametrize("every_frame", [True, False])
def test_variable_rate_times_are_the_files_own(video: Make, clock: Any, every_frame: bool) -> None:
    pts = [0, 10, 35, 36, 400, 1000]
    path = video("vfr.mkv", count=6, pts=pts, time_base=Fraction(1, 1000), codec="mjpeg", pix_fmt="yuvj420p")
    frames = read_all(open_video_file(path, every_frame=every_frame, clock=clock, sleep=clock.sleep))
    start = 5 * NS
    assert {f.t_capture for f in frames} <= {start + p * 1_000_000 for p in pts}
    assert frames[-1].t_capture == start + 1_000_000_000
    if every_frame:
        assert len(frames) == len(pts)


def test_real_time_waits_until_each_frame_is_due(video: Make, clock: Any) -> None:
    path = video(
        "vfr.mkv", count=4, pts=[0, 40, 100, 1300], time_base=Fraction(1, 1000), codec="mjpeg", pix_fmt="yuvj420p"
    )
    frames = read_all(open_video_file(path, every_frame=False, clock=clock, sleep=clock.sleep))
    assert clock.slept == pytest.approx([0.04, 0.06, 0.5, 0.5, 0.2])
    assert clock.now == 5 * NS + 1_300_000_000 == frames[-1].t_capture


def test_frames_nobody_took_are_dropped_and_counted(video: Make, clock: Any) -> None:
    source = open_video_file(video(count=9), every_frame=False, clock=clock, sleep=clock.sleep)
    source._thread.join()  # type: ignore[attr-defined]
    frame = source.read(0)
    assert frame is not None
    assert (frame.index, frame.dropped) == (8, 8)
    with pytest.raises(EndOfStream):
        source.read(0)


def test_a_loop_goes_on_where_the_file_has_ended(video: Make) -> None:
    source = open_video_file(video(count=6, rate=60), every_frame=False, loop="again")
    times = []
    while len(times) < 15:  # two and a half rounds
        if (frame := source.read(5.0)) is not None:
            assert frame.index == len(times) + frame.dropped
            times.append(frame.t_capture)
    source.close()
    steps = np.diff(times)
    assert (steps > 0).all()
    assert np.median(steps) == pytest.approx(NS / 60, rel=0.01)


def test_to_and_fro_has_no_cut(video: Make) -> None:
    # Each picture of these is brighter than the one before it.
    source = open_video_file(video(count=5, rate=50), every_frame=False, loop="to and fro")
    frames = []
    while len(frames) < 14:
        if (frame := source.read(5.0)) is not None:
            frames.append((frame.index, frame.t_capture, frame.picture.pts))
    source.close()
    seen = [stamp for _, _, stamp in frames]
    steps = dict(zip(sorted(set(seen)), itertools.count(), strict=False))
    order = [0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1]
    assert [steps[stamp] for stamp in seen] == [order[index] for index, _, _ in frames]
    assert np.diff([t for _, t, _ in frames]) == pytest.approx(NS / 50 * np.diff([index for index, _, _ in frames]))


def test_closing_does_not_wait_for_a_frame_that_is_not_due(video: Make) -> None:
    path = video("slow.mkv", count=2, pts=[0, 9000], time_base=Fraction(1, 1000), codec="mjpeg", pix_fmt="yuvj420p")
    source = open_video_file(path, every_frame=False)
    assert source.read(5.0) is not None
    source.close()
    assert not source._thread.is_alive()  # type: ignore[attr-defined]


def test_a_change_of_size_is_followed(video: Make, tmp_path: Path) -> None:
    small = video("small.ts", count=5, size=(64, 48), codec="libx264", options={"preset": "ultrafast"})
    large = video("large.ts", count=5, size=(96, 80), codec="libx264", options={"preset": "ultrafast"})
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    frames = read_all(open_video_file(both, every_frame=True))
    sizes = [(f.picture.width, f.picture.height) for f in frames]
    assert sizes == [(64, 48)] * 5 + [(96, 80)] * 5
    assert all(b.t_capture > a.t_capture for a, b in itertools.pairwise(frames))


def test_missing(tmp_path: Path) -> None:
    assert "no file" in sentence(tmp_path / "gone.mp4")


def test_folder(tmp_path: Path) -> None:
    assert "folder" in sentence(tmp_path)


def test_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    assert "empty" in sentence(path)


def test_not_a_video(tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_bytes(b"these are not pictures\n" * 50)
    assert "not a video" in sentence(path)


def test_name_that_looks_like_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, video: Make) -> None:
    path = video("plain.mkv", codec="mjpeg", pix_fmt="yuvj420p")
    monkeypatch.chdir(tmp_path)
    path.rename(tmp_path / "http:clip.mkv")
    assert len(read_all(open_video_file(Path("http:clip.mkv"), every_frame=True))) == 10


def write_audio(path: Path, cover: bytes | None = None) -> Path:
    with av.open(str(path), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=8000)
        sound.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


def test_audio_only(tmp_path: Path) -> None:
    assert "only audio" in sentence(write_audio(tmp_path / "song.mkv"))


def test_header_without_frames(tmp_path: Path) -> None:
    path = tmp_path / "none.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        container.start_encoding()
    sentence(path)


@pytest.mark.parametrize("every_frame", [True, False])
def test_all_pictures_damaged(video: Make, every_frame: bool) -> None:
    path = video("bad.avi", count=5, codec="png", pix_fmt="rgb24")
    path.write_bytes(path.read_bytes().replace(b"\x89PNG", b"\x00\x00\x00\x00"))
    assert "no picture" in sentence(path, every_frame)


@pytest.mark.parametrize("every_frame", [True, False])
def test_truncated_is_read_as_far_as_it_goes(
    video: Make, caplog: pytest.LogCaptureFixture, every_frame: bool, clock: Any
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    path = video("cut.mp4", count=60, picture=noise, options={"movflags": "+faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with caplog.at_level(logging.WARNING):
        frames = read_all(open_video_file(path, every_frame=every_frame, clock=clock, sleep=clock.sleep))
    last = frames[-1].index + 1
    assert 20 <= last <= 35
    assert f"broke off at {last / 30:.1f} s" in caplog.text


def test_a_whole_file_is_no_cause_for_a_warning(video: Make, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        read_all(open_video_file(video(), every_frame=True))
    assert caplog.text == ""
