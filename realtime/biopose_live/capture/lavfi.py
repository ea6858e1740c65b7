"""FFmpeg's synthetic sources (`--url lavfi:testsrc2=size=640x480:rate=30`), for tests and for the doctor.

Filters deliver as fast as they are asked, so they are paced by their timestamps like a file.
"""

from __future__ import annotations

import time

import av

from biopose_live.capture.decoding import video_stream
from biopose_live.capture.file import EveryFrame, Paced
from biopose_live.capture.source import Clock, Sleep, Source
from biopose_live.errors import EXIT_SOURCE, UserError

PREFIX = "lavfi:"


def open_lavfi(
    url: str, *, every_frame: bool = False, clock: Clock = time.monotonic_ns, sleep: Sleep | None = None
) -> Source:
    """-> source of the frames of the filter graph after `lavfi:`; raises UserError when FFmpeg does not accept it."""
    graph = url.removeprefix(PREFIX)
    try:
        container = av.open(graph, format="lavfi")
    except (av.error.FFmpegError, ValueError) as error:
        raise UserError(
            f"{url} is not a filter graph that FFmpeg accepts ({error}): try lavfi:testsrc2=size=640x480:rate=30.",
            EXIT_SOURCE,
        ) from error
    stream = video_stream(container)
    if stream is None:
        container.close()
        raise UserError(f"{url} gives no pictures: try lavfi:testsrc2=size=640x480:rate=30.", EXIT_SOURCE)
    if every_frame:
        return EveryFrame(url, container, stream, clock=clock)
    return Paced(url, container, stream, clock=clock, sleep=sleep)
