"""Pictures for viewers: H.264, ready to send as RTP payloads (RFC 6184), and JPEG for where UDP is blocked.

A picture is encoded once for all viewers and recordings.  Its RTP timestamp is its capture time in ticks of 90 kHz,
modulo 2^32, so that a page can find the pose of the very frame it shows.

The encoder is the first of `ENCODERS` that the installed PyAV has and that works here: NVIDIA's own hardware, x264,
OpenH264.  PyAV's wheels bring FFmpeg with x264, which is under the GPL; nothing of it is part of this package, and with
a PyAV that was built without it OpenH264 (BSD) serves.
"""

from __future__ import annotations

import logging
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
_LIMITS = {"maxrate": str(RATE), "bufsize": str(RATE // 4)}
ENCODERS: dict[str, dict[str, str]] = {
    "h264_nvenc": {
        **{"preset": "p2", "tune": "ull", "zerolatency": "1", "delay": "0", "rc": "vbr", "cq": "26", "forced-idr": "1"},
        **{"profile": "baseline", "level": "3.1", **_LIMITS},
    },
    "libx264": {
        **{"preset": "superfast", "tune": "zerolatency", "level": "3.1", "crf": "24", "forced-idr": "1", "refs": "1"},
        **_LIMITS,
    },
    "libopenh264": {},
}
_TIME_BASE = Fraction(1, TICKS)
_unusable: set[str] = set()  # encoders that were tried in vain

log = logging.getLogger(__name__)


class EncodedPicture(NamedTuple):
    """One picture: for recordings as it is, for viewers as RTP payloads."""

    t_capture: int  # ns
    timestamp: int  # RTP, see `rtp_timestamp`
    key: bool  # can be decoded without those before it
    payloads: list[bytes]
    data: bytes = b""  # H.264, Annex B
    size: tuple[int, int] = (0, 0)  # px


def ticks(t_capture: int) -> int:
    """Capture time (ns, monotonic) -> ticks of 90 kHz."""
    return t_capture * 9 // 100_000


def rtp_timestamp(t_capture: int) -> int:
    """Capture time (ns, monotonic) -> ticks of 90 kHz modulo 2^32."""
    return ticks(t_capture) % 2**32


def fitted(width: int, height: int, long_side: int = LONG_SIDE, short_side: int = SHORT_SIDE) -> tuple[int, int]:
    """-> the even size of the same shape, reduced to the limits where it is beyond them."""
    share = min(1.0, long_side / max(width, height), short_side / min(width, height))
    return max(2, round(width * share / 2) * 2), max(2, round(height * share / 2) * 2)


class VideoEncoder:
    """H.264, constrained baseline, without delay: one picture in, the same picture out."""

    def __init__(self) -> None:
        self._context: Any = None
        self._packer: Any = None
        self._last = -1

    def encode(
        self, pixels: NDArray[np.uint8], t_capture: int, force_key: bool, to_send: bool = True
    ) -> EncodedPicture | None:
        """`pixels` (height, width, 3) RGB -> the picture, None when its time is not after the last one's.

        `to_send`: with payloads.  Raises UserError (sink) when no H.264 encoder is there.
        """
        now = ticks(t_capture)
        if now <= self._last:
            return None
        self._last = now
        width, height = fitted(pixels.shape[1], pixels.shape[0])
        if self._context is None or (self._context.width, self._context.height) != (width, height):
            self._context = _open_encoder(width, height)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
            width, height, "yuv420p", interpolation="FAST_BILINEAR"
        )
        frame.pts, frame.time_base = now, _TIME_BASE
        frame.pict_type = PictureType.I if force_key else PictureType.NONE
        packets = self._context.encode(frame)
        if not packets:
            return None
        key = any(packet.is_keyframe for packet in packets)
        data = b"".join(bytes(packet) for packet in packets)
        payloads = self._payloads(packets) if to_send else []
        return EncodedPicture(t_capture, rtp_timestamp(t_capture), key, payloads, data, (width, height))

    def _payloads(self, packets: list[Any]) -> list[bytes]:
        if self._packer is None:
            # Imported here: aiortc costs 0.3 s, which a run that nobody watches does not pay.
            from aiortc.codecs.h264 import H264Encoder

            self._packer = H264Encoder()  # only packs here: aiortc's own split into RTP payloads
        return [payload for packet in packets for payload in self._packer.pack(packet)[0]]


def _open_encoder(width: int, height: int) -> Any:
    for name in ENCODERS:
        if name not in av.codecs_available or name in _unusable:
            continue
        if name != "h264_nvenc":
            return _context(name, width, height)
        # The codec is part of every FFmpeg for this system, the hardware and its driver are not.
        try:
            _context(name, width, height).encode(av.VideoFrame(width, height, "yuv420p"))
        except (OSError, ValueError, av.error.FFmpegError) as error:
            _unusable.add(name)
            log.info("Video is encoded on the processor: NVIDIA's encoder does not work here (%s).", error)
            continue
        log.info("Video is encoded by NVIDIA's hardware.")
        return _context(name, width, height)
    raise UserError("The installed PyAV has no H.264 encoder: `pip install --upgrade av`.", EXIT_SINK)


def _context(name: str, width: int, height: int) -> Any:
    context: Any = av.CodecContext.create(name, "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.framerate = _TIME_BASE, Fraction(30, 1)
    context.gop_size = GROUP
    context.options = ENCODERS[name]
    if name == "h264_nvenc":
        return context
    context.profile = "Baseline" if name == "libx264" else "Constrained Baseline"
    context.thread_count = 1  # the stages need the other cores
    if name == "libopenh264":
        context.bit_rate = RATE
    return context


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
