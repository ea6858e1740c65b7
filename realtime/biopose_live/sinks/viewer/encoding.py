"""Pictures for viewers: H.264, ready to send as RTP payloads (RFC 6184), and JPEG for where UDP is blocked.

A picture is encoded once for all viewers.  Its RTP timestamp is its capture time in ticks of 90 kHz, modulo 2^32, so
that a page can find the pose of the very frame it shows.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import av
import numpy as np
from av.video.frame import PictureType
from numpy.typing import NDArray

from biopose_live.errors import EXIT_SINK, UserError

TICKS = 90_000  # per second, the clock of video in RTP
LONG_SIDE, SHORT_SIDE = 1280, 720
JPEG_LONG_SIDE, JPEG_SHORT_SIDE = 960, 540
GROUP = 60  # pictures from one keyframe to the next at most; who joins or has lost one asks for another
RATE = 3_000_000  # bit/s at most
ENCODERS: tuple[tuple[str, dict[str, str]], ...] = (
    (
        "libx264",
        {"preset": "superfast", "tune": "zerolatency", "level": "3.1", "crf": "24", "forced-idr": "1", "refs": "1"},
    ),
    ("libopenh264", {}),
)
_TIME_BASE = Fraction(1, TICKS)


class EncodedPicture(NamedTuple):
    """One picture as RTP payloads."""

    t_capture: int  # ns
    timestamp: int  # RTP, see `rtp_timestamp`
    key: bool  # can be decoded without those before it
    payloads: list[bytes]


def rtp_timestamp(t_capture: int) -> int:
    """Capture time (ns, monotonic) -> ticks of 90 kHz modulo 2^32."""
    return t_capture * 9 // 100_000 % 2**32


def fitted(width: int, height: int, long_side: int = LONG_SIDE, short_side: int = SHORT_SIDE) -> tuple[int, int]:
    """-> the even size of the same shape, reduced to the limits where it is beyond them."""
    share = min(1.0, long_side / max(width, height), short_side / min(width, height))
    return max(2, round(width * share / 2) * 2), max(2, round(height * share / 2) * 2)


class VideoEncoder:
    """H.264, constrained baseline, without delay: one picture in, the same picture out."""

    def __init__(self) -> None:
        # Imported here: aiortc costs 0.3 s, which a run that nobody watches does not pay.
        from aiortc.codecs.h264 import H264Encoder

        self._context: Any = None
        self._packer = H264Encoder()  # only packs here: aiortc's own split into RTP payloads
        self._last = -1

    def encode(self, pixels: NDArray[np.uint8], t_capture: int, force_key: bool) -> EncodedPicture | None:
        """`pixels` (height, width, 3) RGB -> the picture, None when its time is not after the last one's.

        Raises UserError (sink) when no H.264 encoder is there.
        """
        ticks = t_capture * 9 // 100_000
        if ticks <= self._last:
            return None
        self._last = ticks
        width, height = fitted(pixels.shape[1], pixels.shape[0])
        if self._context is None or (self._context.width, self._context.height) != (width, height):
            self._context = _open_encoder(width, height)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
            width, height, "yuv420p", interpolation="FAST_BILINEAR"
        )
        frame.pts, frame.time_base = ticks, _TIME_BASE
        frame.pict_type = PictureType.I if force_key else PictureType.NONE
        packets = self._context.encode(frame)
        if not packets:
            return None
        payloads: list[bytes] = []
        for packet in packets:
            payloads += self._packer.pack(packet)[0]
        return EncodedPicture(t_capture, rtp_timestamp(t_capture), any(p.is_keyframe for p in packets), payloads)


def _open_encoder(width: int, height: int) -> Any:
    for name, options in ENCODERS:
        if name not in av.codecs_available:
            continue
        context: Any = av.CodecContext.create(name, "w")
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base, context.framerate = _TIME_BASE, Fraction(30, 1)
        context.profile = "Baseline" if name == "libx264" else "Constrained Baseline"
        context.gop_size = GROUP
        context.thread_count = 1  # the stages need the other cores
        if name == "libx264":
            context.options = {**options, "maxrate": str(RATE), "bufsize": str(RATE // 4)}
        else:
            context.bit_rate = RATE
        return context
    raise UserError("The installed PyAV has no H.264 encoder: `pip install --upgrade av`.", EXIT_SINK)


class JpegEncoder:
    """Whole pictures for the WebSocket."""

    def __init__(self) -> None:
        self._context: Any = None

    def encode(self, pixels: NDArray[np.uint8]) -> bytes:
        """`pixels` (height, width, 3) RGB -> JPEG."""
        width, height = fitted(pixels.shape[1], pixels.shape[0], JPEG_LONG_SIDE, JPEG_SHORT_SIDE)
        if self._context is None or (self._context.width, self._context.height) != (width, height):
            context: Any = av.CodecContext.create("mjpeg", "w")
            context.width, context.height, context.pix_fmt = width, height, "yuvj420p"
            context.time_base = Fraction(1, 30)
            context.thread_count = 1
            context.options = {"qmin": "4", "qmax": "4"}
            self._context = context
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(width, height, "yuvj420p")
        frame.pts = None
        return b"".join(bytes(packet) for packet in self._context.encode(frame))
