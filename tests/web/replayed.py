"""A recording with numbered pictures, and the real server of recordings in a thread."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import msgspec
import numpy as np
from barcode import stamp
from fake_server import walk

from biopose_client import schema
from biopose_live.sinks.film import Film, next_video
from biopose_live.sinks.frame_index import FrameIndex
from biopose_live.sinks.recorded_video import playable_video
from biopose_live.sinks.viewer.access import listening_socket, reserve
from biopose_live.sinks.viewer.encoding import VideoEncoder
from biopose_live.sinks.viewer.replay import ReplayServer

SIZE = (640, 480)
FPS = 30
START = 24_113_385_883_618  # ns
ROUNDS = 8


def record(folder: Path, filmed: range | None) -> int:
    """Makes a recording: the walk to and fro; picture and pose n carry the same number.  -> how many frames.

    `filmed`: the frames that the video has, None: there is no video.
    """
    meta, poses = walk()
    order = [*range(len(poses)), *range(len(poses) - 2, 0, -1)] * ROUNDS
    folder.mkdir()
    (folder / "meta.json").write_bytes(msgspec.json.encode({**msgspec.to_builtins(meta), "settings": {}}))
    film = None if filmed is None else Film(next_video(folder))
    encoder, messages = VideoEncoder(), b""
    for n, number in enumerate(order):
        # As unevenly as a camera's.
        t = START + n * 10**9 // FPS + 4_000_000 * (n % 3)
        pose = msgspec.structs.replace(poses[number], seq=n, t_capture=t, t_publish=t + 24_000_000)
        messages += schema.pack(pose)[len(schema.TOPIC_POSE) :]
        if film is None or filmed is None or n not in filmed:
            continue
        pixels = np.full((SIZE[1], SIZE[0], 3), 110, np.uint8)
        stamp(pixels, n)
        picture = encoder.encode(pixels, t, False, to_send=False)
        assert picture is not None
        film.add(picture)
    if film is not None:
        film.close()
    (folder / "frames.msgpack").write_bytes(messages)
    return len(order)


class ReplayedServer:
    """Serves the recording in `folder` with the page in `page` until `stop`."""

    def __init__(self, page: Path, folder: Path, scratch: Path, port: int = 0) -> None:
        self.index = FrameIndex(folder)
        video, notes = playable_video(folder, scratch)
        self.access = reserve("127.0.0.1", port or 18_765)
        if self.index.damage is not None:
            notes.append(self.index.damage)
        self._server = ReplayServer(self.access, self.index, video, notes, folder.name, page)
        self._started, self._finish = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def start(self) -> ReplayedServer:
        self._thread.start()
        assert self._started.wait(10)
        return self

    async def _serve(self) -> None:
        await self._server.start(listening_socket(self.access.host, self.access.port))
        self._started.set()
        while not self._finish.is_set():
            await asyncio.sleep(0.05)
        await self._server.stop()

    def stop(self) -> None:
        self._finish.set()
        self._thread.join(10)
