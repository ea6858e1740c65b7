"""A recording over HTTP."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from biopose_client import schema
from biopose_live.sinks.film import Film
from biopose_live.sinks.frame_index import FrameIndex
from biopose_live.sinks.record import Recorder
from biopose_live.sinks.recorded_video import playable_video
from biopose_live.sinks.viewer.access import ViewAccess, listening_socket, reserve
from biopose_live.sinks.viewer.encoding import VideoEncoder, ticks
from biopose_live.sinks.viewer.replay import MOST_POSES, ReplayServer

COUNT = 20


@pytest.fixture
def folder(tmp_path: Path, meta: schema.Meta, make_pose: Callable[..., schema.Pose]) -> Path:
    """A recording with video of all frames but the first three."""
    made = tmp_path / "take"
    recorder = Recorder(made, meta, {})
    film, encoder = Film(made / "video.mp4"), VideoEncoder()
    for seq in range(COUNT):
        pose = make_pose(seq)
        recorder.write(pose, schema.pack(pose)[len(schema.TOPIC_POSE) :])
        if seq >= 3:
            picture = encoder.encode(np.full((120, 160, 3), 10 * seq, np.uint8), pose.t_capture, False, False)
            assert picture is not None
            film.add(picture)
    recorder._frames.flush()
    film.close()
    return made


def served(folder: Path, tmp_path: Path, port: int, test: Callable[..., Awaitable[None]]) -> None:
    """Runs `test(web, base, index)` against the recording; the session carries the token."""

    async def run() -> None:
        index = FrameIndex(folder)
        video, notes = playable_video(folder, tmp_path / "out.mp4")
        access: ViewAccess = reserve("127.0.0.1", port)
        server = ReplayServer(access, index, video, notes, "take")
        await server.start(listening_socket(access.host, access.port))
        base = f"http://127.0.0.1:{access.port}"
        try:
            async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {access.token}"}) as web:
                await test(web, base, index)
        finally:
            await server.stop()

    asyncio.run(run())


def test_poses_times_and_video_belong_together(folder: Path, tmp_path: Path, free_port: int, meta: schema.Meta) -> None:
    async def test(web: aiohttp.ClientSession, base: str, index: FrameIndex) -> None:
        async with web.get(f"{base}/api/status") as answer:
            replay = (await answer.json())["replay"]
        assert (replay["frames"], replay["notes"]) == (COUNT, [])
        assert replay["video"]["offset"] == ticks(index.times[3]) - ticks(index.times[0])
        async with web.get(f"{base}/api/replay/meta") as answer:
            assert schema.unpack(await answer.read()) == meta
        async with web.get(f"{base}/api/replay/times") as answer:
            times = np.frombuffer(await answer.read(), "<f8")
        assert times.tolist() == [ticks(t) - ticks(index.times[0]) for t in index.times]
        async with web.get(f"{base}/api/replay/poses?from=4&count=3") as answer:
            data = await answer.read()
        got = []
        while data:
            size = int.from_bytes(data[:4], "little")
            got.append(schema.unpack(data[4 : 4 + size]))
            data = data[4 + size :]
        assert [pose.t_capture for pose in got if isinstance(pose, schema.Pose)] == list(index.times[4:7])

    served(folder, tmp_path, free_port, test)


def test_nothing_is_given_without_the_token(folder: Path, tmp_path: Path, free_port: int) -> None:
    async def test(web: aiohttp.ClientSession, base: str, index: FrameIndex) -> None:
        paths = ("status", "replay/meta", "replay/times", "replay/poses?from=0&count=1", "replay/video.mp4", "mesh")
        async with aiohttp.ClientSession() as stranger:
            for path in paths:
                for query in ("", "token=wrong"):
                    url = f"{base}/api/{path}" + (("&" if "?" in path else "?") + query if query else "")
                    async with stranger.get(url) as answer:
                        assert answer.status == 401, url
            async with stranger.get(f"{base}/api/status", headers={"Host": "evil.example"}) as answer:
                assert answer.status == 421

    served(folder, tmp_path, free_port, test)


def test_the_video_is_given_in_parts(folder: Path, tmp_path: Path, free_port: int) -> None:
    async def test(web: aiohttp.ClientSession, base: str, index: FrameIndex) -> None:
        whole = (tmp_path / "out.mp4").read_bytes()
        token = web.headers["Authorization"].split()[1]
        async with aiohttp.ClientSession() as element:  # which sends no header
            url = f"{base}/api/replay/video.mp4?token={token}"
            async with element.get(url, headers={"Range": "bytes=100-199"}) as answer:
                assert answer.status == 206
                assert answer.headers["Content-Type"] == "video/mp4"
                assert await answer.read() == whole[100:200]

    served(folder, tmp_path, free_port, test)


@pytest.mark.parametrize(
    "query",
    ["", "from=0", "from=-1&count=2", "from=0&count=0", f"from=0&count={MOST_POSES + 1}", "from=x&count=1"],
)
def test_senseless_questions_are_refused(folder: Path, tmp_path: Path, free_port: int, query: str) -> None:
    async def test(web: aiohttp.ClientSession, base: str, index: FrameIndex) -> None:
        async with web.get(f"{base}/api/replay/poses?{query}") as answer:
            assert answer.status == 400

    served(folder, tmp_path, free_port, test)


def biopose_live(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "biopose_live.cli", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_command_serves_until_it_is_interrupted(folder: Path, free_port: int) -> None:
    with (folder / "frames.msgpack").open("ab") as stream:
        stream.write(b"\x85")
    process = biopose_live("--replay", str(folder), "--headless", "--view", f"127.0.0.1:{free_port}")
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("Viewer: http://127.0.0.1:"):
            break
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert f"{COUNT} frames" in said[0]
    assert f"video of {COUNT - 3} pictures" in said[0]
    assert "what is there plays" in said[1]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--replay", "/nowhere"], 3, "/nowhere is no recording"),
        (["--replay", "x", "--view", "off"], 2, "--view off does not go with it"),
        (["--replay", "x", "--demo"], 2, "were given"),
    ],
)
def test_mistakes_are_one_sentence(arguments: list[str], code: int, said: str) -> None:
    process = biopose_live(*arguments)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert said in errors
    assert len(errors.strip().splitlines()) == 1
