"""A recording's video, made ready for a browser: its pictures, unchanged, in one MP4 that can be wound to and fro.

What a crash cut short, and the parts of a run whose output process was restarted, come out as one file.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av

from biopose_live.sinks.film import COMMENT
from biopose_live.sinks.viewer.encoding import TICKS, ticks

LAST_PICTURE = TICKS // 30
NO_VIDEO = "This recording holds no video: record with --record-video to see it here."
_COMMENT = re.compile(re.escape(COMMENT).replace(r"\{\}", r"(\d{1,19})"))
_UNREADABLE = (OSError, ValueError, av.error.FFmpegError)


class RecordedVideo(NamedTuple):
    """A video file, the capture time (ns) of its first picture, how many pictures it has, and for how long (s)."""

    path: Path
    t_first: int
    pictures: int
    seconds: float


def playable_video(folder: Path, out: Path) -> tuple[RecordedVideo | None, list[str]]:
    """Writes the video of the recording `folder` to `out`; -> it, None when there is none, and what has to be said."""
    parts = sorted(folder.glob("video*.mp4"), key=lambda path: (len(path.name), path.name))
    if not parts:
        return None, [NO_VIDEO]
    notes: list[str] = []
    copy = _Copy(out)
    for part in parts:
        fault = copy.add(part)
        if fault is not None:
            notes.append(fault)
    try:
        return copy.finish(), notes
    except _UNREADABLE as error:
        return None, [*notes, f"The video could not be made ready ({_reason(error)}): it is not shown."]


class _Copy:
    """Packets of one part after another into one file."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._container: Any = None
        self._stream: Any = None
        self._parameters: tuple[Any, ...] = ()
        self._t_first = self._last = 0
        self._pictures = 0

    def add(self, part: Path) -> str | None:
        """-> what is wrong with the part, None when all is well."""
        try:
            with av.open(f"file:{part}") as source:
                said = _COMMENT.fullmatch(source.metadata.get("comment", ""))
                if said is None or not source.streams.video:
                    return f"{part.name} was not recorded by biopose-live: it is not shown."
                stream = source.streams.video[0]
                context = stream.codec_context
                parameters = (context.extradata, context.width, context.height)
                if self._container is None:
                    self._begin(stream, parameters, int(said[1]))
                if parameters != self._parameters:
                    return f"{part.name} has another size than the part before it: it is not shown."
                shift = ticks(int(said[1])) - ticks(self._t_first)
                for packet in source.demux(stream):
                    self._take(packet, shift)
        except _UNREADABLE as error:
            return f"The video {part.name} cannot be read ({_reason(error)})."
        return None

    def _begin(self, stream: Any, parameters: tuple[Any, ...], t_first: int) -> None:
        self._container = av.open(str(self._out), "w", format="mp4", options={"movflags": "faststart"})
        self._stream = self._container.add_stream_from_template(stream)
        self._stream.time_base = Fraction(1, TICKS)
        self._parameters, self._t_first, self._last = parameters, t_first, -1

    def _take(self, packet: Any, shift: int) -> None:
        if packet.pts is None or packet.size == 0:
            return
        at = round(Fraction(packet.pts) * Fraction(packet.time_base) * TICKS) + shift
        if at <= self._last:
            return
        made = av.Packet(bytes(packet))
        made.pts = made.dts = at
        made.duration = LAST_PICTURE  # of use for the last one alone: browsers cannot be wound to one without
        made.time_base, made.is_keyframe, made.stream = Fraction(1, TICKS), packet.is_keyframe, self._stream
        self._container.mux(made)
        self._last = at
        self._pictures += 1

    def finish(self) -> RecordedVideo | None:
        if self._container is None:
            return None
        self._container.close()
        if not self._pictures:
            return None
        return RecordedVideo(self._out, self._t_first, self._pictures, self._last / TICKS)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
