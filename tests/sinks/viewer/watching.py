"""A peer that watches through aiortc, as a browser would."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from biopose_client import schema

SDP = {"Content-Type": "application/sdp"}


class Watcher:
    """Offers, receives, and keeps what came."""

    def __init__(self, base: str, bearer: dict[str, str], decode: bool = True) -> None:
        self.base, self.bearer = base, bearer
        self.decode = decode
        self.stamps: set[int] = set()  # RTP timestamps on the wire
        self.pictures: list[tuple[int, int]] = []  # width, height
        self.messages: list[Any] = []
        self.location = ""
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._tasks: list[asyncio.Task[None]] = []
        channel = self.connection.createDataChannel("pose", negotiated=True, id=1, ordered=False, maxRetransmits=0)
        channel.on("message", lambda data: self.messages.append(schema.unpack(data)))
        receiver: Any = self.connection.addTransceiver("video", "recvonly").receiver
        handle = receiver._handle_rtp_packet

        async def look_at(packet: Any, arrival_time_ms: int) -> None:
            self.stamps.add(packet.timestamp)
            await handle(packet, arrival_time_ms)

        receiver._handle_rtp_packet = look_at
        self.connection.on("track", self._receive)

    def _receive(self, track: Any) -> None:
        async def run() -> None:
            try:
                while self.decode:
                    frame = await track.recv()
                    self.pictures.append((frame.width, frame.height))
            except MediaStreamError:
                pass

        self._tasks.append(asyncio.ensure_future(run()))

    @property
    def poses(self) -> list[schema.Pose]:
        return [message for message in self.messages if isinstance(message, schema.Pose)]

    async def offer(self, web: aiohttp.ClientSession) -> aiohttp.ClientResponse:
        """-> the answer's response, its body read."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        body = self.connection.localDescription.sdp
        response = await web.post(f"{self.base}/whep", data=body, headers={**SDP, **self.bearer})
        self.location = response.headers.get("Location", "")
        await response.read()
        return response

    async def connect(self, web: aiohttp.ClientSession) -> None:
        response = await self.offer(web)
        assert response.status == 201, await response.text()
        await self.connection.setRemoteDescription(RTCSessionDescription(await response.text(), "answer"))

    async def close(self) -> None:
        await self.connection.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def until(condition: Any, seconds: float = 15.0) -> None:
    """Waits until `condition()` holds; fails after `seconds`."""
    for _ in range(round(seconds / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("what was waited for has not happened")
