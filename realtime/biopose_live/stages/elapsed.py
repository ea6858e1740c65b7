"""Time as the stages reckon with it: from the first frame on.

Capture times count from the machine's start.  As seconds in a float their last digits depend on how long that has been,
and MediaPipe's whole milliseconds on where in a millisecond a run began; either makes two runs of one file differ.
Differences of capture times are the file's own, so times from the first frame are the same in every run.
"""

from __future__ import annotations


class Elapsed:
    """`elapsed(t_capture) -> ns` since the first time it was given."""

    def __init__(self) -> None:
        self._first: int | None = None

    def __call__(self, t_capture: int) -> int:
        if self._first is None:
            self._first = t_capture
        return t_capture - self._first
