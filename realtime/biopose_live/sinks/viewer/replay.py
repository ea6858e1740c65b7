"""A recording in place of a run: poses by number, and the video as a file that a browser winds to and fro itself.

The page asks for what it shows, so nothing here has a pace of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from aiohttp import web

from biopose_client import schema
from biopose_live import __version__
from biopose_live.sinks.frame_index import FrameIndex
from biopose_live.sinks.recorded_video import RecordedVideo
from biopose_live.sinks.viewer.access import ViewAccess
from biopose_live.sinks.viewer.encoding import ticks
from biopose_live.sinks.viewer.page_server import PAGE, PageServer

MOST_POSES = 128  # in one answer


class ReplayServer(PageServer):
    """Serves one recording."""

    def __init__(
        self,
        access: ViewAccess,
        frames: FrameIndex,
        video: RecordedVideo | None,
        notes: Iterable[str],
        source: str,
        page: Path = PAGE,
        body: Path | None = None,
    ) -> None:
        """`notes`: what the reader has to know about this recording."""
        super().__init__(access, page, body)
        self._frames = frames
        self._video = video
        self._notes = list(notes)
        self._source = source

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/status", self._status),
            web.get("/api/replay/meta", self._meta),
            web.get("/api/replay/times", self._times),
            web.get("/api/replay/poses", self._poses),
            web.get("/api/replay/video.mp4", self._film),
        ]

    async def _status(self, request: web.Request) -> web.Response:
        self.authorise(request)
        first = ticks(self._frames.times[0])
        video = self._video
        content = {
            "v": 1,
            "version": __version__,
            "source": self._source,
            "t": time.monotonic_ns(),
            "recording": None,
            "replay": {
                "frames": len(self._frames),
                # Ticks of 90 kHz from the first pose to the first picture.
                "video": None if video is None else {"offset": ticks(video.t_first) - first, "seconds": video.seconds},
                "notes": self._notes,
            },
        }
        return web.json_response(content)

    async def _meta(self, request: web.Request) -> web.Response:
        self.authorise(request)
        return _binary(schema.pack(self._frames.meta))

    async def _times(self, request: web.Request) -> web.Response:
        """Ticks of 90 kHz since the first pose, as 64-bit floats, little-endian."""
        self.authorise(request)
        first = ticks(self._frames.times[0])
        return _binary(np.array([ticks(t) - first for t in self._frames.times], "<f8").tobytes())

    async def _poses(self, request: web.Request) -> web.Response:
        """Poses `from` … `from` + `count`: each with its topic, behind its length (4 bytes, little-endian)."""
        self.authorise(request)
        try:
            first, count = int(request.query["from"]), int(request.query["count"])
        except (KeyError, ValueError) as error:
            raise web.HTTPBadRequest(text="Poses are asked for by ?from=NUMBER&count=NUMBER.") from error
        if first < 0 or not 0 < count <= MOST_POSES:
            raise web.HTTPBadRequest(text=f"There can be 1 to {MOST_POSES} poses in one answer.")
        try:
            found = await asyncio.to_thread(self._frames.read, first, count)
        except OSError as error:
            raise web.HTTPGone(text=f"The recording cannot be read any more ({error.strerror}).") from error
        messages = [schema.TOPIC_POSE + pose for pose in found]
        return _binary(b"".join(len(message).to_bytes(4, "little") + message for message in messages))

    async def _film(self, request: web.Request) -> web.StreamResponse:
        self.authorise(request, by_address=True)  # a video element sends no header
        if self._video is None:
            raise web.HTTPNotFound(text="This recording holds no video.")
        return web.FileResponse(self._video.path)


def _binary(content: bytes) -> web.Response:
    return web.Response(body=content, content_type="application/octet-stream")
