"""What is refused in an offer and what is taken out of it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biopose_live.sinks.viewer.offers import OfferRefused, cleaned

VIDEO = "m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:0\r\na=recvonly\r\na=rtpmap:102 H264/90000\r\n"
OFFER = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n" + VIDEO
HIDDEN = "a=candidate:1 1 udp 2113937151 4f2a7a3e-0c6e.local 50000 typ host\r\n"
PLAIN = "a=candidate:1 1 udp 2113937151 192.0.2.2 50000 typ host\r\n"
TCP = "a=candidate:2 1 tcp 1518280447 192.0.2.2 9 typ host tcptype active\r\n"


def test_hidden_and_tcp_addresses_and_the_end_of_candidates_are_taken_out() -> None:
    assert cleaned(OFFER + HIDDEN + PLAIN + TCP + "a=end-of-candidates\r\n") == OFFER + PLAIN


def test_line_ends_do_not_matter() -> None:
    assert cleaned(OFFER.replace("\r\n", "\n")) == OFFER


@pytest.mark.parametrize(
    ("offer", "status"),
    [
        ("", 400),
        ("hello", 400),
        ("v=0\r\n", 400),
        (OFFER.replace("recvonly", "sendrecv"), 400),
        (OFFER.replace("a=recvonly\r\n", ""), 400),
        (OFFER + VIDEO, 400),
        (OFFER + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=sendrecv\r\n", 400),
        (OFFER + "m=image 9 UDP 1\r\n", 400),
        (OFFER + 2 * "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n", 400),
        (OFFER + 21 * PLAIN, 400),
        (OFFER + 1000 * "a=x\r\n", 400),
        (OFFER.replace("H264", "VP8"), 406),
    ],
)
def test_refused(offer: str, status: int) -> None:
    with pytest.raises(OfferRefused) as refused:
        cleaned(offer)
    assert refused.value.status == status


@given(
    st.text()
    | st.lists(st.sampled_from([*OFFER.splitlines(), HIDDEN.strip(), "m=", "a=candidate:", "\r"])).map("\n".join)
)
def test_anything_is_cleaned_or_refused(offer: str) -> None:
    with contextlib.suppress(OfferRefused):
        assert ".local " not in cleaned(offer)
