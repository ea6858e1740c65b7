"""A container's frames, one after another, through what a damaged stream does to a decoder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import av

from biopose_live.capture.source import Clock
from biopose_live.capture.timeline import NS

DEFAULT_RATE = 30.0  # frames/s, where a container tells none
MOST_BAD_PACKETS = 300  # in a row: then it is not a damaged video but none at all
DRIVER_PAUSE_S = 0.005  # AVFoundation answers "try again" instead of waiting for the next frame


def video_stream(container: Any) -> Any | None:
    """-> the first stream of moving pictures; None when there is none (cover art of an audio file is not one)."""
    cover = av.stream.Disposition.attached_pic
    return next((s for s in container.streams.video if s.codec_context and not s.disposition & cover), None)


def frame_interval_ns(stream: Any) -> int:
    """-> the nominal time between frames, ns."""
    rate = float(stream.guessed_rate or stream.average_rate or DEFAULT_RATE)
    return round(NS / rate) if 0.5 <= rate <= 1000 else round(NS / DEFAULT_RATE)


class Pictures:
    """Iterates over the decoded frames of one video stream.

    A packet that does not decode is skipped and counted in `bad_packets`.  Raises av.error.FFmpegError when the
    container itself cannot be read on, or nothing at all decodes any more.
    """

    def __init__(
        self,
        container: Any,
        stream: Any,
        stopped: Callable[[], bool] = lambda: False,
        clock: Clock = time.monotonic_ns,
    ) -> None:
        self._container = container
        self._stream = stream
        self._stopped = stopped
        self._clock = clock
        self.bad_packets = 0
        self.arrival = 0  # ns, when the packet of the present frame came, before it was decoded

    def __iter__(self) -> Iterator[Any]:
        bad_in_a_row = 0
        packets = self._container.demux(self._stream)
        while not self._stopped():
            try:
                packet = next(packets, None)
            except av.error.BlockingIOError:
                time.sleep(DRIVER_PAUSE_S)
                packets = self._container.demux(self._stream)
                continue
            if packet is None:
                return
            self.arrival = self._clock()
            try:
                pictures = packet.decode()
            except av.error.InvalidDataError:
                self.bad_packets += 1
                bad_in_a_row += 1
                if bad_in_a_row >= MOST_BAD_PACKETS:
                    raise
                continue
            if pictures:
                bad_in_a_row = 0
            yield from pictures
