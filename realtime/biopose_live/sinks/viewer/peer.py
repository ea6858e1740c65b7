"""One viewer over WebRTC: video that is already encoded, and poses on an unreliable data channel.

aiortc encodes per connection; here its sender is handed finished payloads instead: all viewers share one encode.
Back-pressure: a short queue; when it is full everything in it is dropped and the viewer goes on at the next keyframe.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
from collections import deque
from typing import Any

from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtcrtpsender import RTCEncodedFrame
from aiortc.rtp import HeaderExtensions, HeaderExtensionsMap, pack_header_extensions, unpack_header_extensions

from biopose_live.sinks.viewer.access import is_loopback
from biopose_live.sinks.viewer.audience import Audience
from biopose_live.sinks.viewer.encoding import EncodedPicture

QUEUE = 6  # pictures
HANDSHAKE_S = 10.0
CLOSE_S = 5.0
CHANNEL_ID, CHANNEL_LABEL = 1, "pose"
PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
NO_DELAY = bytes(3)  # least and most, 12 bits each
MOST_BUFFERED = 64 * 1024  # bytes of messages on their way; beyond it they are skipped

log = logging.getLogger(__name__)


class _CaptureTimestamp(int):
    """An RTP timestamp that aiortc leaves alone: it adds a random origin to every timestamp, and here it must not."""

    def __radd__(self, origin: int) -> int:
        return int(self)


class _AtOnce(HeaderExtensionsMap):
    """Adds to every packet that its picture should be shown as soon as it is decoded (the playout-delay extension).

    Otherwise a browser holds pictures back to smooth their pace, two or three frames long.
    """

    def __init__(self) -> None:
        super().__init__()
        self._id = 0

    def configure(self, parameters: RTCRtpParameters) -> None:
        super().configure(parameters)
        self._id = next((ext.id for ext in parameters.headerExtensions if ext.uri == PLAYOUT_DELAY), 0)

    def set(self, values: HeaderExtensions) -> tuple[int, bytes]:
        profile, packed = super().set(values)
        if not self._id:
            return profile, packed
        extensions = unpack_header_extensions(profile, packed)
        return pack_header_extensions([*extensions, (self._id, NO_DELAY)])


class _Track(MediaStreamTrack):
    """Stands for the video in the session description; its pictures never pass through it."""

    kind = "video"

    async def recv(self) -> Any:
        raise MediaStreamError


class Peer:
    """A WebRTC connection; `answer` begins it."""

    wants_jpeg = False

    def __init__(self, audience: Audience, host: str) -> None:
        """`host`: where the server listens, which is where media is sent from."""
        self.wants_video = False  # until it is connected
        self._audience = audience
        self._host = host
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._channel: RTCDataChannel | None = None
        self._pictures: deque[EncodedPicture] = deque()
        self._arrived = asyncio.Event()
        self._needs_key = True
        self._closing: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None

    async def answer(self, offer: str) -> str:
        """-> the SDP answer to a cleaned offer.  Raises what aiortc raises at nonsense; `close` it then."""
        connection = self._connection
        connection.on("connectionstatechange", self._state_changed)
        self._watch = asyncio.get_running_loop().call_later(HANDSHAKE_S, self._give_up_waiting)
        transceiver = connection.addTransceiver(_Track(), "sendonly")
        h264 = [c for c in RTCRtpSender.getCapabilities("video").codecs if c.mimeType == "video/H264"]
        transceiver.setCodecPreferences(h264)
        sender: Any = transceiver.sender
        sender._next_encoded_frame = self._next_picture
        sender._send_keyframe = self._audience.ask_for_key  # what a receiver asks for when it has lost a picture
        await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        offered = re.search(rf"^a=extmap:(\d{{1,2}})(?:/\w+)? {re.escape(PLAYOUT_DELAY)}\s*$", offer, re.MULTILINE)
        if offered is not None:
            transceiver._headerExtensions.append(RTCRtpHeaderExtensionParameters(int(offered[1]), PLAYOUT_DELAY))
            sender._RTCRtpSender__rtp_header_extensions_map = _AtOnce()
        if connection.sctp is not None:  # other WHEP players have no data channel
            self._channel = connection.createDataChannel(
                CHANNEL_LABEL, negotiated=True, id=CHANNEL_ID, ordered=False, maxRetransmits=0
            )
            self._channel.on("open", self._channel_opened)
        self._listen_where_the_server_does()
        await connection.setLocalDescription(await connection.createAnswer())
        return connection.localDescription.sdp

    def _listen_where_the_server_does(self) -> None:
        """aioice never uses 127.0.0.1 and always uses every other address: for us it must follow `--view`."""
        transports: set[Any] = {t.sender.transport.transport for t in self._connection.getTransceivers()}
        if self._connection.sctp is not None:
            transports.add(self._connection.sctp.transport.transport)
        for transport in transports:
            ice = transport.iceGatherer._connection
            gather = ice.get_component_candidates
            ice.get_component_candidates = functools.partial(_gather_on, self._host, gather)

    def message(self, packed: bytes) -> None:
        channel = self._channel
        if channel is not None and channel.readyState == "open" and channel.bufferedAmount < MOST_BUFFERED:
            channel.send(packed)

    def _channel_opened(self) -> None:
        self.message(self._audience.meta)

    def video(self, picture: EncodedPicture) -> None:
        if len(self._pictures) >= QUEUE:
            self._pictures.clear()
            self._needs_key = True
        if self._needs_key:
            if not picture.key:
                self._audience.ask_for_key()
                return
            self._needs_key = False
        self._pictures.append(picture)
        self._arrived.set()

    def jpeg(self, t_capture: int, data: bytes) -> None:
        raise AssertionError("not wanted")

    async def _next_picture(self, codec: object) -> RTCEncodedFrame:
        """Takes the place of aiortc's encoder; first called once the connection stands."""
        if not self.wants_video:
            self.wants_video = True
            self._audience.changed()
            self._audience.ask_for_key()
        while not self._pictures:
            self._arrived.clear()
            await self._arrived.wait()
        picture = self._pictures.popleft()
        return RTCEncodedFrame(picture.payloads, _CaptureTimestamp(picture.timestamp), 0)

    def _state_changed(self) -> None:
        state = self._connection.connectionState
        if state == "connected" and self._watch is not None:
            self._watch.cancel()
        elif state in ("failed", "closed"):
            self._begin_closing()

    def _give_up_waiting(self) -> None:
        if self._connection.connectionState != "connected":
            log.info("a viewer did not connect within %g s", HANDSHAKE_S)
            self._begin_closing()

    def _begin_closing(self) -> asyncio.Task[None]:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        return self._closing

    async def _close(self) -> None:
        self.wants_video = False
        self._audience.leave(self)
        if self._watch is not None:
            self._watch.cancel()
        try:
            await asyncio.wait_for(self._connection.close(), CLOSE_S)
        except TimeoutError:
            log.warning("A viewer's connection did not close within %g s.", CLOSE_S)

    async def close(self) -> None:
        await asyncio.shield(self._begin_closing())


async def _gather_on(host: str, gather: Any, *, component: int, addresses: list[str], **more: Any) -> Any:
    wanted = addresses
    if is_loopback(host):
        wanted = ["::1" if ":" in host else "127.0.0.1"]
    elif host in ("0.0.0.0", "::"):
        wanted = ["127.0.0.1", *addresses]
    elif host in addresses:
        wanted = [host]
    return await gather(component=component, addresses=wanted, **more)
