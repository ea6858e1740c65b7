"""From presentation timestamps (pts) to capture times, for files and for live sources.

Files: `MediaTimeline` gives nanoseconds since the first frame, exactly as the pts say.  Live: `ArrivalClock` gives the
monotonic time at which the light was caught, from the frame's arrival and, where it can be trusted, the driver's pts.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from typing import Any

NS = 1_000_000_000
LONGEST_GAP_NS = 10 * NS  # a longer step forward is a broken timestamp, not a pause in the video
OLDEST_DRIVER_STAMP_NS = 1 * NS  # a frame does not wait longer than this in a driver's queue
OFFSET_WINDOW_NS = 10 * NS  # over which the sender's fastest delivery is looked for


def pts_ns(picture: Any, time_base: Fraction | None) -> int | None:
    """-> the frame's pts (else its dts) in ns, rounded to the nearest; None when it carries neither."""
    ticks = picture.pts if picture.pts is not None else picture.dts
    base = picture.time_base or time_base
    if ticks is None or not base:
        return None
    return round(Fraction(ticks * NS) * Fraction(base))


class MediaTimeline:
    """Nanoseconds since the first frame, strictly increasing.

    Sound timestamps come out unchanged, so differences are those of the pts.  A missing one is one nominal interval
    after the frame before it.  One that does not advance is put half an interval after the frame before it; a second
    one in a row, or a step of more than 10 s, starts a new count one interval after the frame before it.
    """

    def __init__(self, time_base: Fraction | None, interval_ns: int) -> None:
        self._time_base = time_base
        self._interval = interval_ns
        self._origin: int | None = None  # ns of pts at time 0
        self._last = -1
        self._went_back = False
        self.repaired = 0  # frames whose own timestamp could not be used

    def advance(self, picture: Any) -> int:
        """-> this frame's time, ns since the first frame."""
        stamp = pts_ns(picture, self._time_base)
        if self._last < 0:
            self._origin = stamp
            self._last = 0
            self.repaired += stamp is None
            return 0
        if stamp is not None and self._origin is None:
            self._origin = stamp - self._last - self._interval
        time = self._last + self._interval if stamp is None else stamp - (self._origin or 0)
        went_back = time <= self._last
        if stamp is None:
            self.repaired += 1
        elif went_back and not self._went_back:
            self.repaired += 1
            time = self._last + max(1, self._interval // 2)
        elif went_back or time - self._last > LONGEST_GAP_NS:
            self.repaired += 1
            time = self._last + self._interval
            self._origin = stamp - time
            went_back = False
        self._went_back = went_back
        self._last = time
        return time


class ArrivalClock:
    """Capture times of a live source, strictly increasing, never later than the frame's arrival.

    `driver_clock`: the pts may be readings of our own monotonic clock (v4l2 and AVFoundation stamp with it); they are
    used as they are while each lies between 0 and 1 s before its arrival.  Otherwise the pts only tell the spacing: the
    smallest arrival - pts of the last 10 s is the offset of the sender's clock, which takes network jitter out.
    `use_pts=False` for sources whose pts are made up by the demuxer.
    """

    def __init__(self, time_base: Fraction | None, *, driver_clock: bool = False, use_pts: bool = True) -> None:
        self._time_base = time_base
        self._driver_clock = driver_clock
        self._use_pts = use_pts
        self._offsets: deque[tuple[int, int]] = deque()  # (arrival, offset), offsets increasing: a sliding minimum
        self._last_stamp: int | None = None
        self._last = 0

    def capture_time(self, picture: Any, arrival: int) -> int:
        """-> ns, monotonic, of a frame that arrived at `arrival`."""
        stamp = pts_ns(picture, self._time_base) if self._use_pts else None
        time = arrival
        if stamp is not None:
            if self._driver_clock and 0 <= arrival - stamp < OLDEST_DRIVER_STAMP_NS:
                time = stamp
            else:
                time = self._spaced(stamp, arrival)
        self._last = max(time, self._last + 1)
        return self._last

    def _spaced(self, stamp: int, arrival: int) -> int:
        if self._last_stamp is not None and not 0 < stamp - self._last_stamp < LONGEST_GAP_NS:
            self._offsets.clear()  # the sender started a new count
        self._last_stamp = stamp
        offset = arrival - stamp
        while self._offsets and self._offsets[-1][1] >= offset:
            self._offsets.pop()
        self._offsets.append((arrival, offset))
        while self._offsets[0][0] < arrival - OFFSET_WINDOW_NS:
            self._offsets.popleft()
        return stamp + self._offsets[0][1]
