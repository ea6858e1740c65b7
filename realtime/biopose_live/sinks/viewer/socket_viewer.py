"""One viewer over a WebSocket, for browsers that cannot get UDP through: the same messages, and pictures as JPEG.

Back-pressure: the newest picture and the newest few messages wait; whoever reads slowly misses what was between, and
whoever does not read at all is let go.
"""

from __future__ import annotations

import asyncio
from collections import deque

from aiohttp import WSMsgType, web

from biopose_live.sinks.viewer.audience import Audience
from biopose_live.sinks.viewer.encoding import EncodedPicture

TOPIC_JPEG = b"jpeg "  # then t_capture, ns, 8 bytes big-endian, then the JPEG
MESSAGES = 4
STUCK_S = 10.0
HEARTBEAT_S = 10.0
MOST_RECEIVED = 1024  # bytes of one message: a page has nothing to say here


class SocketViewer:
    """A WebSocket that `run` serves until it ends."""

    wants_video = False
    wants_jpeg = True

    def __init__(self, audience: Audience) -> None:
        self.socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=MOST_RECEIVED, compress=False)
        self._audience = audience
        self._messages: deque[bytes] = deque(maxlen=MESSAGES)
        self._picture: bytes | None = None
        self._arrived = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    def message(self, packed: bytes) -> None:
        self._messages.append(packed)
        self._arrived.set()

    def video(self, picture: EncodedPicture) -> None:
        raise AssertionError("not wanted")

    def jpeg(self, t_capture: int, data: bytes) -> None:
        self._picture = TOPIC_JPEG + t_capture.to_bytes(8, "big") + data
        self._arrived.set()

    async def run(self, request: web.Request) -> web.WebSocketResponse:
        await self.socket.prepare(request)
        self._transport = request.transport
        sending = asyncio.create_task(self._send())
        try:
            # Nothing that a page says matters, but pings and the end have to be heard.
            while (await self.socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED):
                if self.socket.closed:
                    break
        finally:
            self._audience.leave(self)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return self.socket

    async def _send(self) -> None:
        try:
            await self.socket.send_bytes(self._audience.meta)
            while not self.socket.closed:
                await self._arrived.wait()
                self._arrived.clear()
                while self._messages or self._picture is not None:
                    while self._messages:
                        await asyncio.wait_for(self.socket.send_bytes(self._messages.popleft()), STUCK_S)
                    if self._picture is not None:
                        data, self._picture = self._picture, None
                        await asyncio.wait_for(self.socket.send_bytes(data), STUCK_S)
        except (TimeoutError, ConnectionError):
            await self.close()

    async def close(self) -> None:
        self._audience.leave(self)
        try:
            await asyncio.wait_for(self.socket.close(), 1.0)
        except TimeoutError:
            if self._transport is not None:  # what a stuck reader never takes must not be waited for
                self._transport.abort()
