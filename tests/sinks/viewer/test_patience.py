"""What hangs, waits for ever or comes in crowds is let go, and what nobody has fetched is kept."""

from __future__ import annotations

import asyncio
import json
import logging
import zipfile
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from shown_run import Show
from watching import Watcher

from biopose_client import schema
from biopose_live.sinks.recording import Recording
from biopose_live.sinks.viewer import page_server, peer, recordings, server
from biopose_live.sinks.viewer.recordings import RecordingDesk


async def ends(reader: asyncio.StreamReader) -> bytes:
    """-> what was said until the connection was closed."""
    try:
        return await asyncio.wait_for(reader.read(), 10.0)
    except ConnectionError:
        return b""


def test_a_connection_that_asks_for_nothing_is_closed(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_server, "FIRST_REQUEST_S", 0.2)

    async def run() -> None:
        for said in (b"", b"GET / HTTP/1.1\r\nHost: "):
            reader, writer = await asyncio.open_connection(show.access.host, show.access.port)
            writer.write(said)
            assert await ends(reader) == b""
            writer.close()

    asyncio.run(run())


def test_a_body_that_does_not_come_is_not_waited_for(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BODY_S", 0.2)

    async def run() -> bytes:
        reader, writer = await asyncio.open_connection(show.access.host, show.access.port)
        writer.write(
            f"POST /whep HTTP/1.1\r\nHost: 127.0.0.1:{show.access.port}\r\nContent-Type: application/sdp\r\n"
            f"Authorization: Bearer {show.access.token}\r\nContent-Length: 1000\r\n\r\nv=0".encode()
        )
        said = await asyncio.wait_for(reader.readline(), 10.0)
        writer.close()
        return said

    assert b" 408 " in asyncio.run(run())


def test_connections_beyond_the_cap_are_closed_at_once(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_server, "MOST_CONNECTIONS", 5)

    async def run() -> None:
        held = [await asyncio.open_connection(show.access.host, show.access.port) for _ in range(5)]
        await asyncio.sleep(0.2)
        reader, writer = await asyncio.open_connection(show.access.host, show.access.port)
        assert await ends(reader) == b""
        for _, other in [*held, (reader, writer)]:
            other.close()

    asyncio.run(run())


def test_an_offer_that_leads_to_no_connection_is_given_up(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "HANDSHAKE_S", 0.5)

    async def run() -> None:
        async with aiohttp.ClientSession() as web:
            watcher = Watcher(show.base, show.bearer)
            assert (await watcher.offer(web)).status == 201
            for _ in range(100):
                async with web.get(f"{show.base}/api/status", headers=show.bearer) as response:
                    if (await response.json())["viewers"] == 0:
                        break
                await asyncio.sleep(0.05)
            else:
                raise AssertionError("it is still counted")
            await watcher.close()

    asyncio.run(run())


def test_a_recording_that_nobody_has_fetched_is_kept(
    meta: schema.Meta,
    make_pose: Callable[..., schema.Pose],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(recordings.tempfile, "mkdtemp", lambda prefix: str(tmp_path))
    desk = RecordingDesk(meta, {})
    first = desk.start()
    for seq in range(3):
        pose = make_pose(seq)
        desk.feed(pose, schema.pack(pose)[len(schema.TOPIC_POSE) :])
    assert desk.stop().frames == 3
    desk.downloaded(first)
    second = desk.start()
    pose = make_pose(3)
    desk.feed(pose, schema.pack(pose)[len(schema.TOPIC_POSE) :])
    with caplog.at_level(logging.WARNING):
        desk.close()  # the run ends while it goes on
    assert f"kept in {tmp_path}" in caplog.text
    archive = desk.archive(second)
    assert archive is not None
    assert archive.is_file()


def test_a_recording_that_was_fetched_leaves_nothing_behind(
    meta: schema.Meta, make_pose: Callable[..., schema.Pose], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    monkeypatch.setattr(recordings.tempfile, "mkdtemp", lambda prefix: str(folder))
    desk = RecordingDesk(meta, {})
    name = desk.start()
    desk.stop()
    desk.downloaded(name)
    desk.close()
    assert not folder.exists()


def test_a_queue_that_is_full_costs_poses_and_says_so(
    meta: schema.Meta, make_pose: Callable[..., schema.Pose], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings.tempfile, "mkdtemp", lambda prefix: str(tmp_path))
    monkeypatch.setattr(recordings, "QUEUE", 4)
    desk = RecordingDesk(meta, {})
    name = desk.start()
    for seq in range(500):
        pose = make_pose(seq)
        desk.feed(pose, schema.pack(pose)[len(schema.TOPIC_POSE) :])
    frames = desk.stop().frames
    archive = desk.archive(name)
    assert archive is not None
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path / "out")
    (problem,) = json.loads((tmp_path / "out" / "session.json").read_text())["problems"]
    assert problem.startswith(f"{500 - frames} frames were left out")
    assert len(list(Recording(tmp_path / "out"))) == frames < 500


def test_a_full_disk_refuses_to_begin(meta: schema.Meta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings.tempfile, "mkdtemp", lambda prefix: str(tmp_path))
    monkeypatch.setattr(recordings, "LEAST_FREE_BYTES", 10**18)
    desk = RecordingDesk(meta, {})
    with pytest.raises(recordings.UserError, match="MB free"):
        desk.start()
    assert desk.running is None
