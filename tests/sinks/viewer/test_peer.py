"""What aiortc is made to do otherwise for a viewer."""

from __future__ import annotations

import asyncio
import struct

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import RtpPacket, unpack_header_extensions
from aiortc.utils import uint32_add

from biopose_live.sinks.viewer.audience import Audience
from biopose_live.sinks.viewer.encoding import EncodedPicture
from biopose_live.sinks.viewer.offers import cleaned
from biopose_live.sinks.viewer.peer import PLAYOUT_DELAY, QUEUE, Peer, _AtOnce, _CaptureTimestamp

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"


def test_timestamps_keep_their_value_where_aiortc_adds_an_origin() -> None:
    assert uint32_add(123_456_789, _CaptureTimestamp(42)) == 42


@pytest.mark.parametrize("offered", [True, False])
def test_packets_ask_to_be_shown_at_once_where_that_was_offered(offered: bool) -> None:
    extensions = [RTCRtpHeaderExtensionParameters(1, MID)]
    extensions += [RTCRtpHeaderExtensionParameters(9, PLAYOUT_DELAY)] if offered else []
    header = _AtOnce()
    header.configure(RTCRtpParameters(headerExtensions=extensions))
    packet = RtpPacket(payload_type=102, payload=b"picture")
    packet.extensions.mid = "0"
    data = packet.serialize(header)
    profile, words = struct.unpack_from("!HH", data, 12)  # RFC 3550: after the fixed header
    found = dict(unpack_header_extensions(profile, data[16 : 16 + 4 * words]))
    assert found == ({1: b"0", 9: b"\0\0\0"} if offered else {1: b"0"})
    assert data.endswith(b"picture")


async def offer(extra: str = "") -> str:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver("video", "recvonly")
    connection.createDataChannel("pose", negotiated=True, id=1)
    await connection.setLocalDescription(await connection.createOffer())
    made = connection.localDescription.sdp
    await connection.close()
    return cleaned(made.replace("a=recvonly\r\n", f"a=recvonly\r\n{extra}", 1))


@pytest.mark.parametrize(("host", "address"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("localhost", "127.0.0.1")])
def test_media_leave_from_where_the_server_listens(host: str, address: str) -> None:
    async def run() -> str:
        peer = Peer(Audience(b"meta "), host)
        try:
            return await peer.answer(await offer())
        finally:
            await peer.close()

    answer = asyncio.run(run())
    addresses = {line.split()[4] for line in answer.splitlines() if line.startswith("a=candidate:")}
    if not addresses and ":" in address:
        pytest.skip("this machine has no IPv6")
    assert addresses == {address}
    assert "H264" in answer
    assert "VP8" not in answer
    assert "a=sendonly" in answer


def test_the_answer_takes_up_the_playout_delay() -> None:
    async def run(extra: str) -> str:
        peer = Peer(Audience(b"meta "), "127.0.0.1")
        try:
            return await peer.answer(await offer(extra))
        finally:
            await peer.close()

    assert f"a=extmap:12 {PLAYOUT_DELAY}" in asyncio.run(run(f"a=extmap:12 {PLAYOUT_DELAY}\r\n"))
    assert PLAYOUT_DELAY not in asyncio.run(run(""))


def test_a_full_queue_is_dropped_and_begins_again_at_a_keyframe() -> None:
    async def run() -> None:
        audience = Audience(b"meta ")
        peer = Peer(audience, "127.0.0.1")
        peer.wants_video = True

        def picture(n: int, key: bool) -> EncodedPicture:
            return EncodedPicture(n, n, key, [b"x"])

        for n in range(QUEUE + 3):
            peer.video(picture(n, key=n == 0))
        assert audience.take_key_wish()  # everything was dropped and a keyframe asked for
        peer.video(picture(20, key=False))
        peer.video(picture(21, key=True))
        peer.video(picture(22, key=False))
        sent = [(await peer._next_picture(None)).timestamp for _ in range(2)]
        assert sent == [21, 22]
        await peer.close()

    asyncio.run(run())


def test_keyframes_are_not_granted_more_often_than_four_times_a_second() -> None:
    now = [0.0]
    audience = Audience(b"meta ", clock=lambda: now[0])
    granted = 0
    for tick in range(100):  # somebody asks a hundred times in a second
        now[0] = tick / 100
        audience.ask_for_key()
        granted += audience.take_key_wish()
    assert granted == 4
