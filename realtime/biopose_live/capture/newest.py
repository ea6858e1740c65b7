"""The hand-over from the decoding thread: one frame, always the newest, and a count of those nobody took."""

from __future__ import annotations

import threading
from typing import Any

from biopose_live.capture.source import Captured


class NewestFrame:
    """One slot.  `put` never waits and `take` never returns the same frame twice."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: Captured | None = None
        self._outcome: BaseException | None = None
        self._decoded = 0
        self._dropped = 0

    def put(self, picture: Any, t_capture: int) -> None:
        with self._changed:
            if self._waiting is not None:
                self._dropped += 1
            self._waiting = Captured(self._decoded, t_capture, picture, self._dropped)
            self._decoded += 1
            self._changed.notify_all()

    def finish(self, outcome: BaseException) -> None:
        """What `take` raises once the last frame has been taken; the first outcome stays."""
        with self._changed:
            if self._outcome is None:
                self._outcome = outcome
            self._changed.notify_all()

    def take(self, timeout: float) -> Captured | None:
        """-> the newest frame, or None after `timeout` seconds; raises the outcome given to `finish`."""
        with self._changed:
            if self._waiting is None and self._outcome is None:
                self._changed.wait(timeout)
            frame, self._waiting = self._waiting, None
            if frame is None and self._outcome is not None:
                raise self._outcome
            return frame
