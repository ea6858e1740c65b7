"""A viewer's SDP offer: what is refused, and what is taken out of it before it is answered.

A browser hides its addresses behind `.local` names that only multicast can resolve, for about a second per viewer and
often not at all; without them its own checks tell where it is (peer-reflexive candidates, RFC 8445 section 7.3.1.3).
For these to be waited for, the offer must not say that its candidates are complete.
"""

from __future__ import annotations

import re

MAX_OFFER_BYTES = 64 * 1024  # a browser's is 3 to 8 kB
MAX_LINES = 1000
MAX_MEDIA = 4
MAX_CANDIDATES = 20
_H264 = re.compile(r"a=rtpmap:\d{1,3} H264/90000\s*", re.IGNORECASE)


class OfferRefused(ValueError):
    """`str(error)` is the sentence to answer with, `status` the HTTP status."""

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


def cleaned(offer: str) -> str:
    """-> the offer without addresses that cannot be used.  Raises OfferRefused."""
    lines = offer.replace("\r\n", "\n").rstrip("\n").split("\n")
    if not lines or lines[0] != "v=0" or len(lines) > MAX_LINES:
        raise OfferRefused("This is no SDP offer.")
    sections = _sections(lines)
    kinds = [section[0][2:].partition(" ")[0] for section in sections[1:]]
    if len(kinds) > MAX_MEDIA or kinds.count("video") != 1 or kinds.count("application") > 1:
        raise OfferRefused("One video is offered here, and one data channel beside it.")
    if set(kinds) - {"video", "audio", "application"}:
        raise OfferRefused("Only video, audio and a data channel can be part of an offer.")
    for kind, section in zip(kinds, sections[1:], strict=True):
        if kind != "application" and not {"a=recvonly", "a=inactive"} & set(section):
            raise OfferRefused("A viewer only receives: every media of its offer must be recvonly.")
        if kind == "video" and not any(_H264.fullmatch(line) for line in section):
            raise OfferRefused("The video is H.264 and this viewer does not offer to receive it.", 406)
    kept = [line for section in sections for line in section if not _is_useless(line)]
    candidates = [line for line in kept if line.startswith("a=candidate:")]
    if len(candidates) > MAX_CANDIDATES:
        raise OfferRefused(f"An offer may have {MAX_CANDIDATES} candidates, this one has {len(candidates)}.")
    return "\r\n".join(kept) + "\r\n"


def _sections(lines: list[str]) -> list[list[str]]:
    """-> the session's lines, then each media's."""
    found: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("m="):
            found.append([])
        found[-1].append(line)
    return found


def _is_useless(line: str) -> bool:
    if line.startswith("a=candidate:"):
        fields = line.split(" ")
        return len(fields) < 8 or fields[2].lower() != "udp" or fields[4].lower().endswith(".local")
    return line == "a=end-of-candidates"
