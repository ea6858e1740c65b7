"""The whole viewer over real sockets, with aiortc and aiohttp as the viewers."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import av
import psutil
import pytest
from shown_run import HEIGHT, WIDTH, Show
from watching import SDP, Watcher, until

from biopose_client import schema
from biopose_live.sinks.frame_index import FrameIndex
from biopose_live.sinks.recorded_video import playable_video
from biopose_live.sinks.recording import Recording
from biopose_live.sinks.viewer.access import reserve
from biopose_live.sinks.viewer.encoding import rtp_timestamp, ticks


def with_web(test: Callable[[aiohttp.ClientSession], Awaitable[None]]) -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as web:
            await test(web)

    asyncio.run(run())


async def status_of(show: Show, web: aiohttp.ClientSession) -> dict:
    async with web.get(f"{show.base}/api/status", headers=show.bearer) as response:
        assert response.status == 200
        return await response.json()


def test_a_wrong_token_is_refused_everywhere(show: Show) -> None:
    async def test(web: aiohttp.ClientSession) -> None:
        for bearer in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {show.access.token}"}):
            for method, path in (
                ("POST", "/whep"),
                ("DELETE", "/whep/x"),
                ("PATCH", "/whep/x"),
                ("GET", "/api/status"),
                ("POST", "/api/record/start"),
                ("POST", "/api/record/stop"),
                ("GET", "/api/recordings/x.zip"),
            ):
                async with web.request(method, show.base + path, headers=bearer) as response:
                    assert response.status == 401, (method, path)
                    assert show.access.token not in await response.text()
        for query in ("", "?token=wrong"):
            async with web.get(f"{show.base}/ws{query}") as response:
                assert response.status == 401

    with_web(test)


def test_other_hosts_and_origins_are_refused(show: Show) -> None:
    async def test(web: aiohttp.ClientSession) -> None:
        port = show.access.port
        for headers, status in (
            ({"Host": f"evil.example:{port}"}, 421),
            ({"Host": "127.0.0.1:1"}, 421),
            ({"Origin": "http://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": show.base}, 200),
            ({"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}, 200),
        ):
            async with web.get(f"{show.base}/api/status", headers={**show.bearer, **headers}) as response:
                assert response.status == status, headers
                assert "Access-Control-Allow-Origin" not in response.headers
        async with web.get(
            f"{show.base}/ws?token={show.access.token}", headers={"Origin": "http://evil.example"}
        ) as response:
            assert response.status == 403

    with_web(test)


def test_every_answer_forbids_foreign_content(show: Show) -> None:
    async def test(web: aiohttp.ClientSession) -> None:
        for path in ("/", "/api/status", "/nowhere"):
            async with web.get(show.base + path) as response:
                assert "default-src 'self'" in response.headers["Content-Security-Policy"]
                assert response.headers["Referrer-Policy"] == "no-referrer"
                assert response.headers["X-Content-Type-Options"] == "nosniff"

    with_web(test)


def test_offers_that_are_too_large_or_garbage_are_refused(show: Show) -> None:
    async def test(web: aiohttp.ClientSession) -> None:
        sane = "v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\nm=video 9 X 102\na=recvonly\na=rtpmap:102 H264/90000\n"
        for body, status in (
            (b"x" * 1_000_000, 413),
            (b"\xff\xfe\x00", 400),
            (b"", 400),
            (b"v=0\nm=video", 400),
            (sane.encode(), 400),
            (sane.replace("H264", "VP8").encode(), 406),
            (sane.replace("recvonly", "sendrecv").encode(), 400),
        ):
            async with web.post(f"{show.base}/whep", data=body, headers={**SDP, **show.bearer}) as response:
                assert response.status == status, body[:60]
        async with web.post(f"{show.base}/whep", json={}, headers=show.bearer) as response:
            assert response.status == 415
        assert (await status_of(show, web))["viewers"] == 0

    with_web(test)


def test_video_and_poses_belong_together(show: Show) -> None:
    async def test(web: aiohttp.ClientSession) -> None:
        watcher = Watcher(show.base, show.bearer)
        await watcher.connect(web)
        await until(lambda: len(watcher.pictures) >= 20 and len(watcher.poses) >= 30)
        assert (await status_of(show, web))["viewers"] == 1
        assert isinstance(watcher.messages[0], schema.Meta)
        assert set(watcher.pictures) == {(WIDTH, HEIGHT)}
        assert {pose.t_capture for pose in watcher.poses} <= show.captured
        # Every picture carries the very capture time of a frame, and nearly all poses came too.
        sent = {rtp_timestamp(t) for t in show.captured}
        assert watcher.stamps <= sent
        with_pose = {rtp_timestamp(pose.t_capture) for pose in watcher.poses}
        assert len(watcher.stamps & with_pose) >= 0.8 * len(watcher.stamps)
        async with web.patch(
            show.base + watcher.location,
            data="a=end-of-candidates",
            headers={"Content-Type": "application/trickle-ice-sdpfrag", **show.bearer},
        ) as response:
            assert response.status == 204
        async with web.delete(show.base + watcher.location, headers=show.bearer) as response:
            assert response.status == 200
        async with web.delete(show.base + watcher.location, headers=show.bearer) as response:
            assert response.status == 404
        assert (await status_of(show, web))["viewers"] == 0
        await watcher.close()

    with_web(test)


def test_a_viewer_that_leaves_without_a_word_is_noticed(show: Show) -> None:
    async def test(web: aiohttp.ClientSession) -> None:
        watcher = Watcher(show.base, show.bearer)
        await watcher.connect(web)
        await until(lambda: watcher.pictures)
        await watcher.close()
        for _ in range(100):
            if (await status_of(show, web))["viewers"] == 0:
                return
            await asyncio.sleep(0.1)
        raise AssertionError("it is still counted")

    with_web(test)


def test_a_joiner_sees_pictures_beside_somebody_who_watches(show: Show) -> None:
    async def test(web: aiohttp.ClientSession) -> None:
        first, second = Watcher(show.base, show.bearer), Watcher(show.base, show.bearer)
        await first.connect(web)
        await until(lambda: len(first.pictures) >= 5)
        await second.connect(web)
        before = len(first.pictures)
        await until(lambda: len(second.pictures) >= 10)
        assert len(first.pictures) > before
        await first.close()
        await second.close()

    with_web(test)


def test_viewers_beyond_the_cap_are_turned_away(show: Show) -> None:
    async def test(web: aiohttp.ClientSession) -> None:
        url = f"{show.base}/ws?token={show.access.token}"
        sockets = [await web.ws_connect(url) for _ in range(8)]
        async with web.get(url) as response:
            assert response.status == 503
        watcher = Watcher(show.base, show.bearer)
        assert (await watcher.offer(web)).status == 503
        await watcher.close()
        for socket in sockets:
            await socket.close()

    with_web(test)


def test_the_websocket_carries_the_same(show: Show) -> None:
    async def test(web: aiohttp.ClientSession) -> None:
        messages, jpegs = [], []
        async with web.ws_connect(f"{show.base}/ws?token={show.access.token}") as socket:
            while len(jpegs) < 10 or len(messages) < 10:
                data = (await socket.receive_bytes(timeout=10)) or b""
                if data.startswith(b"jpeg "):
                    jpegs.append((int.from_bytes(data[5:13], "big"), data[13:]))
                else:
                    messages.append(schema.unpack(data))
        assert isinstance(messages[0], schema.Meta)
        assert {t for t, _ in jpegs} <= show.captured
        assert all(data[:2] == b"\xff\xd8" and data[-2:] == b"\xff\xd9" for _, data in jpegs)
        poses = {message.t_capture for message in messages if isinstance(message, schema.Pose)}
        assert poses & {t for t, _ in jpegs}

    with_web(test)


def test_a_viewer_that_never_reads_stalls_nobody(show: Show) -> None:
    async def test(web: aiohttp.ClientSession) -> None:
        _, stuck = await asyncio.open_connection(show.access.host, show.access.port, limit=1024)
        stuck.write(
            f"GET /ws?token={show.access.token} HTTP/1.1\r\nHost: 127.0.0.1:{show.access.port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        stuck.transport.pause_reading()
        deaf = Watcher(show.base, show.bearer, decode=False)  # connected, but its pictures are never taken
        await deaf.connect(web)
        watcher = Watcher(show.base, show.bearer)
        await watcher.connect(web)
        await until(lambda: watcher.pictures)
        before = len(watcher.poses), len(show.captured)
        await until(lambda: len(show.captured) >= before[1] + 60)
        seen, captured = len(watcher.poses) - before[0], len(show.captured) - before[1]
        assert seen >= 0.8 * captured
        assert show.longest_write < 0.5  # a second is what a stalled pipeline would show at least
        stuck.transport.abort()
        await watcher.close()
        await deaf.close()

    with_web(test)


def test_a_recording_is_made_and_read_back(show: Show, tmp_path: Path) -> None:
    async def test(web: aiohttp.ClientSession) -> None:
        async def post(path: str, status: int) -> dict:
            async with web.post(f"{show.base}/api/record/{path}", headers=show.bearer) as response:
                assert response.status == status
                return await response.json()

        assert "No recording" in (await post("stop", 409))["error"]
        name = (await post("start", 200))["id"]
        assert "already" in (await post("start", 409))["error"]
        assert (await status_of(show, web))["recording"]["id"] == name
        await until(lambda: show.viewer._recordings.frames >= 20)
        stopped = await post("stop", 200)
        assert stopped["url"] == f"/api/recordings/{name}.zip"
        async with web.get(show.base + stopped["url"]) as response:
            assert response.status == 401
        async with web.get(show.base + stopped["url"], headers=show.bearer) as response:
            assert response.status == 200
            packed = await response.read()
        assert len(packed) == stopped["bytes"]
        zipfile.ZipFile(io.BytesIO(packed)).extractall(tmp_path)
        recording = Recording(tmp_path)
        poses = list(recording)
        assert recording.damage is None
        assert len(poses) == stopped["frames"] == json.loads((tmp_path / "session.json").read_text())["frames"]
        assert {pose.t_capture for pose in poses} <= show.captured
        assert {"angles.mot", "markers.trc", "skeleton.osim"} <= {path.name for path in tmp_path.iterdir()}
        assert (await status_of(show, web))["recording"] is None
        async with web.get(f"{show.base}/api/recordings/..%2F..%2Fetc.zip", headers=show.bearer) as response:
            assert response.status == 404

    with_web(test)


def test_recordings_hold_the_very_pictures_that_viewers_see(
    meta: schema.Meta, make_pose: Callable[..., schema.Pose], free_port: int, tmp_path: Path
) -> None:
    show = Show(reserve("127.0.0.1", free_port), meta, make_pose, record_video=True)
    try:

        async def test(web: aiohttp.ClientSession) -> None:
            await until(lambda: show.viewer._ready is not None)
            watcher = Watcher(show.base, show.bearer)
            await watcher.connect(web)
            await until(lambda: len(watcher.pictures) > 5)
            for take in ("watched", "alone"):  # and when nobody watches
                async with web.post(f"{show.base}/api/record/start", headers=show.bearer) as response:
                    assert response.status == 200
                seen = len(watcher.pictures)
                await until(lambda: show.viewer._recordings.frames >= 30)
                if take == "watched":
                    await until(lambda seen=seen: len(watcher.pictures) > seen + 20)
                async with web.post(f"{show.base}/api/record/stop", headers=show.bearer) as response:
                    stopped = await response.json()
                async with web.get(show.base + stopped["url"], headers=show.bearer) as response:
                    zipfile.ZipFile(io.BytesIO(await response.read())).extractall(tmp_path / take)
                if take == "watched":
                    stamps = set(watcher.stamps)
                    await watcher.close()
            assert stopped["problem"] is None
            for take in ("watched", "alone"):
                index = FrameIndex(tmp_path / take)
                video, notes = playable_video(tmp_path / take, tmp_path / f"{take}.mp4")
                assert video is not None
                assert notes == []
                assert video.pictures >= len(index) - 5
                with av.open(str(video.path)) as container:
                    times = {ticks(video.t_first) + int(f.pts) for f in container.decode(container.streams.video[0])}
                assert times <= {ticks(t) for t in show.captured}
                if take == "watched":
                    assert len({t % 2**32 for t in times} & stamps) >= 0.8 * len(times)

        with_web(test)
    finally:
        show.close()


def test_paths_do_not_lead_out_of_the_page(show: Show) -> None:
    async def test(web: aiohttp.ClientSession) -> None:
        for path in ("/../../settings.py", "/%2e%2e/%2e%2e/settings.py", "//etc/passwd"):
            reader, writer = await asyncio.open_connection(show.access.host, show.access.port)
            host = f"127.0.0.1:{show.access.port}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
            assert b" 404 " in answer.split(b"\r\n")[0] or b" 503 " in answer.split(b"\r\n")[0]
            writer.close()

    with_web(test)


@pytest.mark.slow
def test_connecting_and_leaving_leaks_nothing(show: Show) -> None:
    async def test(web: aiohttp.ClientSession) -> None:
        process = psutil.Process()

        async def cycle(number: int) -> None:
            watcher = Watcher(show.base, show.bearer)
            if number % 3 == 0:
                await watcher.offer(web)  # never connects: given up by the server or ended here
                async with web.delete(show.base + watcher.location, headers=show.bearer):
                    pass
            else:
                await watcher.connect(web)
                await until(lambda: watcher.pictures)
                if number % 3 == 1:
                    async with web.delete(show.base + watcher.location, headers=show.bearer):
                        pass
            await watcher.close()

        async def gone() -> None:
            for _ in range(400):
                if (await status_of(show, web))["viewers"] == 0:
                    return
                await asyncio.sleep(0.1)
            raise AssertionError("viewers are left over")

        for number in range(6):
            await cycle(number)
        await gone()
        gc.collect()
        files, threads, memory = process.num_fds(), process.num_threads(), process.memory_info().rss
        for number in range(50):
            await cycle(number)
        await gone()
        await asyncio.sleep(0.5)
        gc.collect()
        assert process.num_fds() <= files + 3
        assert process.num_threads() <= threads + 2
        assert process.memory_info().rss - memory < 60e6

    with_web(test)
