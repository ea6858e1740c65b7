"""Network streams: RTSP over TCP (RFC 7826, interleaved), HTTP (MPEG-TS, MJPEG parts, HLS, plain files) and the like.

RTSP runs over TCP because over UDP a lost packet smears the picture for seconds.  Capture times come from the sender's
timestamps with the network's jitter taken out; MJPEG parts carry none, so their arrival counts.  HLS segments and plain
files come in bursts and are shown by their timestamps.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import av

from biopose_live.capture.decoding import video_stream
from biopose_live.capture.live import Connection, LiveSource
from biopose_live.capture.reason import reason
from biopose_live.capture.source import Clock
from biopose_live.capture.timeline import ArrivalClock
from biopose_live.errors import EXIT_SOURCE, EXIT_USAGE, UserError

SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "tcp", "udp")
OPEN_S = 10.0
READ_S = 5.0
STALL_S = 6.0  # after FFmpeg's own READ_S, for reads that cannot be interrupted
NO_TIMESTAMPS = {"mpjpeg", "mjpeg", "jpeg_pipe", "image2pipe"}  # their demuxers count 25 frames/s, whatever comes
SEGMENTED = {"hls", "dash"}


def open_stream(url: str, *, resumed: bool = False, clock: Clock = time.monotonic_ns) -> LiveSource:
    """-> source of the frames of `url`; raises UserError for an address of a kind that is not supported."""
    scheme = urlsplit(url).scheme.lower()
    if scheme not in SCHEMES:
        raise UserError(
            f"--url {without_password(url)} is not a stream address: it starts with rtsp:// or http://"
            + (f", not {scheme}://." if scheme else "; for a file use --video."),
            EXIT_USAGE,
        )
    shown = without_password(url)
    return LiveSource(
        shown,
        lambda: connect(url),
        lambda error: explain(shown, error),
        stall_s=STALL_S,
        resumed=resumed,
        clock=clock,
    )


def without_password(url: str) -> str:
    """-> `url` with user name and password blotted out, for logs and messages."""
    rest = urlsplit(url)
    if "@" not in rest.netloc:
        return url
    return rest._replace(netloc="***@" + rest.netloc.rpartition("@")[2]).geturl()


def stream_options(url: str) -> dict[str, str]:
    """-> FFmpeg options: a short look at the stream before the first frame.

    Without "nobuffer": it throws the packets of that look away, and with them the first key frame.
    """
    options = {"analyzeduration": "1000000"}
    scheme = urlsplit(url).scheme.lower()
    if scheme.startswith("rtsp"):
        options["rtsp_transport"] = "tcp"
    return options


def connect(url: str, *, open_s: float = OPEN_S, read_s: float = READ_S) -> Connection:
    """-> the stream, open; raises FFmpeg's error, TimeoutError, or UserError when it holds no video."""
    started = time.monotonic()
    try:
        container = av.open(url, options=stream_options(url), timeout=(open_s, read_s))
    except av.error.FFmpegError as error:
        # An interrupted open comes back under many names, "invalid data" among them.
        if time.monotonic() - started >= 0.95 * open_s:
            raise TimeoutError(f"no answer within {open_s:g} s") from error
        raise
    stream = video_stream(container)
    if stream is None:
        container.close()
        raise UserError(f"{without_password(url)} has no video in it: check the address.", EXIT_SOURCE)
    return _connection(url, container, stream)


def _connection(url: str, container: Any, stream: Any) -> Connection:
    name = set(container.format.name.split(","))
    finite = container.duration is not None and container.duration > 0
    over_http = urlsplit(url).scheme.lower().startswith("http")
    return Connection(
        container,
        stream,
        ArrivalClock(stream.time_base, use_pts=not name & NO_TIMESTAMPS),
        paced=bool(name & SEGMENTED) or (finite and over_http),
        finite=finite,
    )


def explain(shown: str, error: BaseException | None) -> UserError:
    """-> the sentence for a stream that did not open (`error`) or gave no frame in time (None)."""
    if error is None:
        text = f"{shown} gave no picture in time: check that the camera is sending"
    elif isinstance(error, ConnectionRefusedError):
        text = f"{shown} refused the connection: check the address and the port, and that the camera is on"
    elif isinstance(error, TimeoutError):
        text = f"{shown} did not answer in time: check the address and the network"
    elif isinstance(error, (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)):
        text = f"{shown} wants a login ({reason(error)}): put it into the address, rtsp://USER:PASSWORD@HOST/…"
    elif isinstance(error, (av.error.HTTPNotFoundError, av.error.HTTPClientError)):
        text = f"{shown} is not there ({reason(error)}): check the path of the address"
    else:
        text = f"{shown} could not be opened ({reason(error)}): check the address and that it is a video stream"
    return UserError(text + ".", EXIT_SOURCE)
