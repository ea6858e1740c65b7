"""The capture stage: the newest frame of the source into the frame store.

Back-pressure: none is passed on to a live source.  The newest frame wins and those nobody took are counted; a file with
`--every-frame` waits for its caller instead.  `seq` is the index of the decoded frame, so frames handed on so far plus
`dropped` always equals `seq`.
"""

from __future__ import annotations

import time

from biopose_live.capture.opening import open_source
from biopose_live.capture.source import Clock, Sleep, Source
from biopose_live.capture.timeline import NS
from biopose_live.capture.upright import UprightRGB
from biopose_live.messages import FrameRef
from biopose_live.settings import Settings
from biopose_live.stages import EndOfStream, FrameWriter

WAIT_S = 0.2  # so that a stage process can look after its heartbeat and its orders


class CaptureStage:
    """Captures from the one source that the settings name, opened at the first `process`."""

    name = "capture"

    def __init__(
        self,
        settings: Settings,
        writer: FrameWriter,
        *,
        resumed: bool = False,
        source: Source | None = None,
        clock: Clock = time.monotonic_ns,
        sleep: Sleep | None = None,
    ) -> None:
        """`resumed`: this stage is being restarted, so a live source may be away.  `source`, `clock` and `sleep` stand
        in for the real ones in tests."""
        self._settings = settings
        self._writer = writer
        self._resumed = resumed
        self._source = source
        self._clock = clock
        self._sleep = sleep
        self._convert = UprightRGB()
        self._t_end: int | None = None

    def process(self, message: None = None) -> FrameRef | None:
        """-> a frame newer than the last, or None when none came within about 0.2 s.

        Raises EndOfStream after the last frame or after `--duration` seconds of capture time, UserError for what the
        user must put right.
        """
        if self._source is None:
            self._source = open_source(self._settings, clock=self._clock, sleep=self._sleep, resumed=self._resumed)
        frame = self._source.read(WAIT_S)
        if frame is None:
            # A live source that stopped delivering still ends on time.
            if self._t_end is not None and self._clock() >= self._t_end:
                raise EndOfStream
            return None
        if self._settings.duration is not None:
            if self._t_end is None:
                self._t_end = frame.t_capture + round(self._settings.duration * NS)
            if frame.t_capture >= self._t_end:
                raise EndOfStream
        return self._writer.write(frame.index, frame.t_capture, self._convert.pixels(frame.picture), frame.dropped)

    def close(self) -> None:
        """Ends the source; returns promptly even while a camera or a server is not answering."""
        if self._source is not None:
            self._source.close()
