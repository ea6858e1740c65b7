"""Times and counts of a run: percentiles over the last seconds and over the whole run, and the run's summary.

All times are milliseconds unless a name says otherwise.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

WINDOW_S = 5.0
_SMALLEST_MS = 1e-3
_GROWTH = math.log(1.01)  # bins are 1 % wide, so a percentile is right to within 0.5 %
_BINS = 2100  # up to 1e6 ms


class Percentiles(msgspec.Struct):
    """Of `count` samples, ms; zeros when there were none."""

    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    count: int = 0


class StageSummary(msgspec.Struct):
    """One stage over the whole run.

    `ms` are processing times (capture: the frame's age when it is handed on); `received` and `produced` count messages;
    `lost` counts those that the stage before produced and this one never took up.
    """

    ms: Percentiles
    received: int
    produced: int
    lost: int
    restarts: int


class Summary(msgspec.Struct):
    """A whole run.  `captured` = `processed` + `dropped`; `latency` is capture -> publish."""

    session: str
    settings: dict[str, Any]
    captured: int
    processed: int
    dropped: int
    seconds: float  # first to last published pose
    fps: float
    latency: Percentiles
    stages: dict[str, StageSummary]
    end_reason: str
    exit_code: int = 0
    problems: list[str] = []  # outputs that were given up while running, a sentence each


class Histogram:
    """Counts in logarithmic bins: percentiles of any number of samples in constant memory."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, np.int64)

    def add(self, values: Sequence[float]) -> None:
        """Values below 1 µs or above 17 min land in the outermost bins."""
        if not values:
            return
        bins = np.log(np.maximum(values, _SMALLEST_MS) / _SMALLEST_MS) / _GROWTH
        np.add.at(self._counts, np.minimum(bins.astype(np.int64), _BINS - 1), 1)

    def percentiles(self) -> Percentiles:
        total = int(self._counts.sum())
        if not total:
            return Percentiles()
        below = np.cumsum(self._counts)
        # The smallest bin with at least that share of the samples at or below it ("nearest rank").
        found = np.searchsorted(below, np.ceil(np.array([0.50, 0.95, 0.99]) * total))
        p50, p95, p99 = _SMALLEST_MS * np.exp((found + 0.5) * _GROWTH)
        return Percentiles(float(p50), float(p95), float(p99), total)


class Window:
    """The samples of the last `seconds`, exactly."""

    def __init__(self, seconds: float = WINDOW_S) -> None:
        self._seconds = seconds
        self._samples: deque[tuple[float, float]] = deque(maxlen=10_000)

    def add(self, values: Iterable[float], now: float | None = None) -> None:
        at = time.monotonic() if now is None else now
        self._samples.extend((at, value) for value in values)

    def percentiles(self, now: float | None = None) -> Percentiles:
        values = self._values(now)
        if not len(values):
            return Percentiles()
        p50, p95, p99 = np.percentile(values, [50, 95, 99], method="inverted_cdf")
        return Percentiles(float(p50), float(p95), float(p99), len(values))

    def rate(self, now: float | None = None) -> float:
        """-> samples per second, counted from the oldest one that is still in the window."""
        at = time.monotonic() if now is None else now
        count = len(self._values(at))
        if count < 2:
            return 0.0
        return (count - 1) / max(at - self._samples[0][0], 1e-3)

    def _values(self, now: float | None) -> NDArray[np.float64]:
        at = time.monotonic() if now is None else now
        while self._samples and self._samples[0][0] < at - self._seconds:
            self._samples.popleft()
        return np.array([value for _, value in self._samples], np.float64)


class Series:
    """One quantity, both over the last seconds and over the whole run."""

    def __init__(self) -> None:
        self.run = Histogram()
        self.window = Window()

    def add(self, values: Sequence[float], now: float | None = None) -> None:
        self.run.add(values)
        self.window.add(values, now)
