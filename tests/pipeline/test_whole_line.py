"""`biopose-live` with its real stages, as a user starts it: what only the whole line can show.

Live and inline give the same numbers for the same frames; clips with nobody, with odd sizes or in pieces end as they
should; mistakes are one sentence and an exit code.
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import opensim
import pytest
from background_run import leftovers

from biopose_client.schema import Pose
from biopose_live.capture.demo import demo_clip
from biopose_live.errors import EXIT_OK, EXIT_SINK, EXIT_SOURCE, EXIT_USAGE
from biopose_live.sinks.recording import Recording

SLOW_FRAMES, SLOW_RATE = 16, 3  # a rate at which a busy machine keeps up too
ATTEMPTS = 3  # at a live run that drops nothing


def write_video(
    path: Path, frames: Sequence[np.ndarray], rate: int = 10, codec: str = "libx264", pix_fmt: str = "yuv420p"
) -> Path:
    """Writes RGB frames (height, width, 3) uint8."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))
    return path


def demo_frames(start: int, stop: int, step: int) -> list[np.ndarray]:
    with av.open(str(demo_clip())) as container:
        chosen = itertools.islice(container.decode(video=0), start, stop, step)
        return [frame.to_ndarray(format="rgb24") for frame in chosen]


def biopose_live(runtime: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "XDG_STATE_HOME": str(runtime / "state")}
    return subprocess.run(
        [sys.executable, "-m", "biopose_live.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=200,  # the first run of a fresh installation compiles
        env=environment,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole_line")


@pytest.fixture(scope="module")
def runtime_directory() -> Iterator[Path]:
    """A short path: sockets lie in it."""
    import tempfile

    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        yield Path(path)


class Recorded:
    """A run that ended well, and what it recorded."""

    def __init__(self, runtime: Path, folder: Path, *arguments: object) -> None:
        done = biopose_live(runtime, *arguments, "--publish", "off", "--record", folder)
        assert done.stderr == ""
        assert done.returncode == EXIT_OK
        self.output = done.stdout
        self.folder = folder
        recording = Recording(folder)
        self.poses: list[Pose] = list(recording)
        assert recording.damage is None
        self.summary: dict[str, Any] = msgspec.json.decode((folder / "session.json").read_bytes())
        assert leftovers(runtime, recording.meta.session) == []


@pytest.fixture(scope="module")
def slow_clip(folder: Path) -> Path:
    return write_video(folder / "slow.mp4", demo_frames(0, 10 * SLOW_FRAMES, 10), SLOW_RATE)


@pytest.fixture(scope="module")
def inline(slow_clip: Path, folder: Path, runtime_directory: Path) -> Recorded:
    return Recorded(runtime_directory, folder / "inline", "--video", slow_clip, "--every-frame")


@pytest.fixture(scope="module")
def live(slow_clip: Path, folder: Path, runtime_directory: Path) -> Recorded:
    """A live run in which nothing was dropped: on a machine that is busy with other things one may need another go."""
    for attempt in range(ATTEMPTS):
        run = Recorded(runtime_directory, folder / f"live{attempt}", "--video", slow_clip)
        if len(run.poses) == SLOW_FRAMES:
            return run
    pytest.fail(f"the machine is too busy: frames of a {SLOW_RATE} fps file were dropped in {ATTEMPTS} live runs")


def without_the_moment(pose: Pose, first: Pose) -> dict[str, Any]:
    """-> a pose with its capture time counted from `first`'s, and without what each run has of its own."""
    plain: dict[str, Any] = msgspec.to_builtins(pose)
    plain["t_capture"] -= first.t_capture
    for name in ("session", "t_publish", "stages"):
        del plain[name]
    return plain


def test_live_and_inline_give_the_same_numbers(live: Recorded, inline: Recorded) -> None:
    assert len(live.poses) == len(inline.poses) == SLOW_FRAMES
    assert live.poses[0].session != inline.poses[0].session
    assert sum(bool(pose.people) for pose in inline.poses) > SLOW_FRAMES // 2  # or there would be little to compare
    for here, there in zip(live.poses, inline.poses, strict=True):
        assert without_the_moment(here, live.poses[0]) == without_the_moment(there, inline.poses[0])
    for name in ("angles.mot", "markers.trc", "skeleton.osim"):
        assert (live.folder / name).read_bytes() == (inline.folder / name).read_bytes()


def test_a_run_again_gives_the_same_numbers(
    slow_clip: Path, inline: Recorded, folder: Path, runtime_directory: Path
) -> None:
    again = Recorded(runtime_directory, folder / "again", "--video", slow_clip, "--every-frame")
    for here, there in zip(again.poses, inline.poses, strict=True):
        assert without_the_moment(here, again.poses[0]) == without_the_moment(there, inline.poses[0])


def test_opensim_reads_what_was_recorded(inline: Recorded) -> None:
    rows = sum(bool(pose.people) for pose in inline.poses)
    angles = opensim.TimeSeriesTable(str(inline.folder / "angles.mot"))
    assert angles.getNumRows() == rows
    model = opensim.Model(str(inline.folder / "skeleton.osim"))
    model.initSystem()
    assert model.getBodySet().getSize() == 24
    assert opensim.TimeSeriesTableVec3(str(inline.folder / "markers.trc")).getNumRows() == rows


@pytest.mark.parametrize("how", [["--every-frame"], []], ids=["inline", "live"])
def test_nobody_in_the_whole_clip(folder: Path, runtime_directory: Path, how: list[str]) -> None:
    y, x = np.mgrid[:120, :160]
    pictures = [np.stack([x + 3 * i, x + y, 2 * y], -1).astype(np.uint8) for i in range(10)]
    clip = write_video(folder / "nobody.mp4", pictures)
    run = Recorded(runtime_directory, folder / f"nobody{len(how)}", "--video", clip, *how)
    assert 1 <= len(run.poses) <= 10
    assert len(run.poses) == 10 or not how
    assert all(pose.people == [] and pose.image == [160, 120] for pose in run.poses)
    assert f"Nobody was seen in any of the {len(run.poses)} frames" in run.output
    assert sorted(path.name for path in run.folder.iterdir()) == ["frames.msgpack", "meta.json", "session.json"]


@pytest.mark.parametrize(
    ("size", "codec", "pix_fmt", "seen_as"),
    [((1, 1), "ffv1", "bgr0", [1, 1]), ((7680, 4320), "mjpeg", "yuvj420p", [1920, 1080])],
    ids=["1x1", "8K"],
)
def test_the_smallest_and_the_largest_picture(
    folder: Path, runtime_directory: Path, size: tuple[int, int], codec: str, pix_fmt: str, seen_as: list[int]
) -> None:
    name = f"{size[0]}x{size[1]}"
    clip = write_video(folder / f"{name}.mkv", [np.full((*size[::-1], 3), 90, np.uint8)], 10, codec, pix_fmt)
    run = Recorded(runtime_directory, folder / name, "--video", clip, "--every-frame")
    assert [(pose.image, pose.people) for pose in run.poses] == [(seen_as, [])]


def test_a_change_of_resolution_on_the_way(folder: Path, runtime_directory: Path) -> None:
    frames = demo_frames(0, 48, 3)
    large = write_video(folder / "large.ts", frames)
    small = write_video(folder / "small.ts", [frame[::2, ::2].copy() for frame in frames])
    both = folder / "both.ts"
    both.write_bytes(large.read_bytes() + small.read_bytes())
    run = Recorded(runtime_directory, folder / "both", "--video", both, "--every-frame")
    height, width = frames[0].shape[:2]
    assert [pose.image for pose in run.poses] == [[width, height]] * 16 + [[width // 2, height // 2]] * 16
    # Somebody of half the size at half the place is another person, who is believed once the first is forgotten.
    before, after = run.poses[15].people, run.poses[-1].people
    assert len(before) == len(after) == 1
    np.testing.assert_allclose(2 * np.array(after[0].box), before[0].box, atol=0.05 * width)  # the same picture


def test_a_file_that_was_cut_off_is_used_as_far_as_it_goes(
    slow_clip: Path, folder: Path, runtime_directory: Path
) -> None:
    whole = folder / "whole.mkv"
    with av.open(str(slow_clip)) as source, av.open(str(whole), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    cut = folder / "cut.mkv"
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) * 3 // 4])
    run = Recorded(runtime_directory, folder / "cut", "--video", cut, "--every-frame")
    assert 1 <= len(run.poses) < SLOW_FRAMES
    assert "broke off at" in run.output


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """-> standard error, which must be one line, the only thing said about what went wrong."""
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith((".\n", "?\n"))
    assert "Traceback" not in done.stdout
    return done.stderr


@pytest.mark.parametrize("how", [["--every-frame"], []], ids=["inline", "live"])
@pytest.mark.parametrize(
    ("kind", "words"),
    [("missing", "There is no file"), ("empty", "is empty (0 bytes)"), ("cut", "cut off"), ("audio", "only audio")],
)
def test_a_file_that_gives_nothing_is_one_sentence(
    folder: Path, runtime_directory: Path, kind: str, words: str, how: list[str]
) -> None:
    path = folder / f"{kind}.mp4"
    if kind == "empty":
        path.touch()
    elif kind == "cut":
        path.write_bytes(demo_clip().read_bytes()[:1000])
    elif kind == "audio":
        with av.open(str(path), "w") as container:
            sound = container.add_stream("aac", rate=8000, layout="mono")
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
            silence.rate = 8000
            container.mux(sound.encode(silence))
            container.mux(sound.encode(None))
    record = folder / f"of-{kind}"
    done = biopose_live(runtime_directory, "--video", path, *how, "--publish", "off", "--record", record)
    said = one_sentence(done)
    assert words in said
    assert str(path) in said
    assert done.returncode == EXIT_SOURCE
    assert not record.exists()


@pytest.mark.parametrize("how", [["--every-frame"], []], ids=["inline", "live"])
def test_a_port_in_use_is_one_sentence(runtime_directory: Path, how: list[str]) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        address = f"tcp://127.0.0.1:{holder.getsockname()[1]}"
        done = biopose_live(runtime_directory, "--demo", "--publish", address, *how)
    said = one_sentence(done)
    assert address in said
    assert done.returncode == EXIT_SINK
    assert list(runtime_directory.glob("biopose-live-*")) == []


def test_an_unknown_name_in_the_config_file_is_one_sentence(folder: Path, runtime_directory: Path) -> None:
    config = folder / "run.toml"
    config.write_text("demo = true\nmax_poeple = 2\n")
    done = biopose_live(runtime_directory, "--config", config)
    said = one_sentence(done)
    assert "max_poeple" in said
    assert "max_people" in said  # what was probably meant
    assert str(config) in said
    assert done.returncode == EXIT_USAGE
    assert done.stdout == ""
