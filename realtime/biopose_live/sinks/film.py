"""The recording's video: `video.mp4`, the pictures as they were encoded, at their capture times.

A fragmented MP4 (ISO/IEC 14496-12, movie fragments) with one picture per fragment: whenever the program or the machine
stops, what was written plays, less the last picture.  Times count in ticks of 90 kHz from the first picture, whose
capture time (ns) stands in the comment; so every picture is found by the pose of the very same capture time.

Back-pressure: none of its own; it writes in the thread of whoever encodes.  A full disk ends the film, not the run.
"""

from __future__ import annotations

import io
import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from biopose_live.sinks.viewer.encoding import TICKS, EncodedPicture, ticks

VIDEO_FILE = "video.mp4"
COMMENT = "biopose-live: first picture captured at {} ns (monotonic clock)"
_OPTIONS = {"movflags": "frag_every_frame+empty_moov+default_base_moof", "flush_packets": "1"}

log = logging.getLogger(__name__)


def next_video(folder: Path) -> Path:
    """-> where a recording's video goes: a process that was restarted begins another beside the first."""
    path, number = folder / VIDEO_FILE, 1
    while path.exists():
        number += 1
        path = folder / f"video-{number}.mp4"
    return path


class Film:
    """Writes one video; begins at the first keyframe that it is given."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: str | None = None
        self.pictures = 0
        self._container: Any = None
        self._stream: Any = None
        self._first = 0
        self._size = (0, 0)

    def add(self, picture: EncodedPicture) -> None:
        """Writes one picture; never raises."""
        if self.problem is not None or (self._container is None and not picture.key):
            return
        try:
            if self._container is None:
                self._begin(picture)
            if picture.size != self._size:
                raise ValueError("the picture has another size than at first")
            packet = av.Packet(picture.data)
            packet.pts = packet.dts = ticks(picture.t_capture) - self._first
            packet.time_base = Fraction(1, TICKS)
            packet.is_keyframe = picture.key
            packet.stream = self._stream
            self._container.mux(packet)
            self.pictures += 1
        except (OSError, ValueError, av.error.FFmpegError) as error:
            self._give_up(error)

    def _begin(self, picture: EncodedPicture) -> None:
        self._first, self._size = ticks(picture.t_capture), picture.size
        self._container = av.open(str(self.path), "w", format="mp4", options=_OPTIONS)
        self._container.metadata["comment"] = COMMENT.format(picture.t_capture)
        # The picture itself knows its size and parameter sets.
        with av.open(io.BytesIO(picture.data), format="h264") as probed:
            self._stream = self._container.add_stream_from_template(probed.streams.video[0])
        self._stream.time_base = Fraction(1, TICKS)

    def _give_up(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or str(error)
        self.problem = (
            f"The video {self.path} stopped after {self.pictures} pictures ({reason}): what was recorded until then is "
            f"kept and plays."
        )
        log.warning("%s", self.problem)

    def close(self) -> None:
        """Completes the file; called once, after the last `add`."""
        container, self._container = self._container, None
        if container is None:
            return
        try:
            container.close()
        except (OSError, av.error.FFmpegError) as error:
            if self.problem is None:
                self._give_up(error)
