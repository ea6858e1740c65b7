"""The recorded video: exact times, whole after a crash, and made ready to be wound to and fro."""

from __future__ import annotations

import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from biopose_live.sinks.film import Film, next_video
from biopose_live.sinks.recorded_video import NO_VIDEO, playable_video
from biopose_live.sinks.viewer.encoding import EncodedPicture, VideoEncoder, ticks

START = 24_113_385_883_618  # ns: a machine that has been up for some hours


def times_of(count: int, seed: int = 1) -> list[int]:
    """-> capture times, ns, as unevenly as a camera's."""
    steps = np.random.default_rng(seed).integers(8_000_000, 60_000_000, count)
    return [START + int(t) for t in np.cumsum(steps)]


def pictures(times: list[int], width: int = 160, height: int = 120) -> list[EncodedPicture]:
    encoder, found = VideoEncoder(), []
    for n, t in enumerate(times):
        pixels = np.full((height, width, 3), 40, np.uint8)
        pixels[:, n % width] = 220
        picture = encoder.encode(pixels, t, force_key=n == 0, to_send=False)
        assert picture is not None
        found.append(picture)
    return found


def filmed(path: Path, made: list[EncodedPicture]) -> Film:
    film = Film(path)
    for picture in made:
        film.add(picture)
    return film


def presented(path: Path) -> list[int]:
    """-> the decoded pictures' times, ticks, by FFmpeg."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [round(frame.pts * frame.time_base * 90_000) for frame in container.decode(stream)]


def test_every_picture_has_its_capture_time(tmp_path: Path) -> None:
    times = times_of(40)
    film = filmed(tmp_path / "video.mp4", pictures(times))
    film.close()
    assert film.problem is None
    video, notes = playable_video(tmp_path, tmp_path / "out.mp4")
    assert video is not None
    assert notes == []
    assert (video.t_first, video.pictures) == (times[0], 40)
    assert [ticks(video.t_first) + t for t in presented(video.path)] == [ticks(t) for t in times]
    # Other players see the same spacing in the file itself.
    shown = presented(film.path)
    assert [b - a for a, b in pairwise(shown)] == [ticks(b) - ticks(a) for a, b in pairwise(times)]


def test_it_begins_at_a_keyframe(tmp_path: Path) -> None:
    made = pictures(times_of(5))
    film = filmed(tmp_path / "video.mp4", [*made[1:], *pictures([t + 10**9 for t in times_of(3)])])
    film.close()
    assert film.pictures == 3


def test_what_a_killed_process_wrote_plays(tmp_path: Path) -> None:
    code = (
        f"import sys, os; sys.path.insert(0, {str(Path(__file__).parent)!r}); from pathlib import Path\n"
        f"from test_film import *\n"
        f"filmed(Path({str(tmp_path)!r}) / 'video.mp4', pictures(times_of(30)))\n"
        f"os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    video, notes = playable_video(tmp_path, tmp_path / "out.mp4")
    assert video is not None
    assert notes == []
    assert video.pictures == 29  # the last one waits for its duration
    assert [ticks(video.t_first) + t for t in presented(video.path)] == [ticks(t) for t in times_of(30)[:29]]


@pytest.mark.parametrize("share", [0.35, 0.8])
def test_what_was_cut_anywhere_plays_up_to_there(tmp_path: Path, share: float) -> None:
    film = filmed(tmp_path / "video.mp4", pictures(times_of(40)))
    film.close()
    data = film.path.read_bytes()
    film.path.write_bytes(data[: int(len(data) * share)])
    video, _ = playable_video(tmp_path, tmp_path / "out.mp4")
    assert video is not None
    assert 5 < video.pictures < 40
    got = presented(video.path)
    assert len(got) >= video.pictures - 1
    assert [ticks(video.t_first) + t for t in got] == [ticks(t) for t in times_of(40)[: len(got)]]


def test_a_restarted_process_goes_on_in_a_second_file(tmp_path: Path) -> None:
    times = times_of(30)
    for part in (times[:12], times[15:]):
        film = filmed(next_video(tmp_path), pictures(part))
        film.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["video-2.mp4", "video.mp4"]
    video, notes = playable_video(tmp_path, tmp_path / "out.mp4")
    assert video is not None
    assert notes == []
    assert [ticks(video.t_first) + t for t in presented(video.path)] == [ticks(t) for t in times[:12] + times[15:]]


def test_a_full_disk_ends_the_film_and_is_said(tmp_path: Path) -> None:
    film = filmed(Path("/dev/full"), pictures(times_of(20)))
    film.close()
    assert film.problem is not None
    assert "stopped after" in film.problem
    assert "No space left" in film.problem


def test_another_size_ends_the_film(tmp_path: Path) -> None:
    film = filmed(
        tmp_path / "video.mp4", [*pictures(times_of(5)), *pictures([t + 10**9 for t in times_of(2)], 320, 240)]
    )
    film.close()
    assert film.problem is not None
    assert "another size" in film.problem
    assert len(presented(film.path)) == 5


def test_recordings_without_video_say_so(tmp_path: Path) -> None:
    assert playable_video(tmp_path, tmp_path / "out.mp4") == (None, [NO_VIDEO])


def test_files_that_are_no_recorded_video_are_named(tmp_path: Path) -> None:
    (tmp_path / "video.mp4").write_bytes(b"no video at all" * 100)
    video, (note,) = playable_video(tmp_path, tmp_path / "out.mp4")
    assert video is None
    assert note.startswith("The video video.mp4 cannot be read")
    demo = Path(__file__).parents[2] / "realtime" / "biopose_live" / "assets" / "demo" / "demo.mp4"
    shutil.copy(demo, tmp_path / "video.mp4")
    video, (note,) = playable_video(tmp_path, tmp_path / "out.mp4")
    assert video is None
    assert "was not recorded by biopose-live" in note
