"""The child's side of supervision: a thread that reports ten times a second, also while the stage computes.

It also notices that the parent is gone.  The worker reads `go`, `stop` and `leave` and takes `commands`.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections import deque
from pathlib import Path

import zmq

from biopose_live.pipeline.control import Beat, Command, ControlLink, Failure, State
from biopose_live.pipeline.counters import StageCounters
from biopose_live.pipeline.live_calibration import CalibrationState, CalibrationWish

PERIOD_S = 0.1
ORPHAN_GRACE_S = 2.0  # how long a stage may take to leave once the parent is gone
MAX_NOTICES = 20
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Linux: SIGTERM reaches this process as soon as its parent is gone, however that ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Heartbeat(threading.Thread):
    """Reports until `finish()`; everything the worker sets here travels with the next report."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], directory: Path, stage: str, counters: StageCounters, parent: int
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self.go = threading.Event()
        self.stop = threading.Event()
        self.leave = threading.Event()
        self.commands: deque[Command] = deque(maxlen=8)
        self.state: State = "starting"
        self.linked = False
        self.reason = ""
        self.failure: Failure | None = None
        self.problems: list[str] = []
        self.wish: CalibrationWish | None = None
        self.calibration: CalibrationState | None = None
        self._context = context
        self._directory = directory
        self._stage = stage
        self._counters = counters
        self._parent = parent
        self._lock = threading.Lock()
        self._ms: list[float] = []
        self._latency_ms: list[float] = []
        self._notices: deque[str] = deque(maxlen=MAX_NOTICES)
        self._finished = threading.Event()
        self._orphan_since = 0.0

    def sample(self, ms: float, latency_ms: float | None = None) -> None:
        """Adds one message's processing time (and, for the sinks, its capture -> publish time)."""
        with self._lock:
            self._ms.append(ms)
            if latency_ms is not None:
                self._latency_ms.append(latency_ms)

    def notice(self, text: str) -> None:
        """Adds a warning that the user should see."""
        with self._lock:
            self._notices.append(text)

    def run(self) -> None:
        link = ControlLink(self._context, self._directory, self._stage, os.getpid())
        try:
            while not self._finished.is_set():
                link.report(self._beat())
                for command in link.commands(int(PERIOD_S * 1000)):
                    self._obey(command)
                self._watch_parent()
            link.report(self._beat())
        finally:
            link.close()

    def finish(self) -> None:
        """Sends a last report and ends the thread."""
        self._finished.set()
        self.join()

    def _obey(self, command: Command) -> None:
        match command.kind:
            case "go":
                self.go.set()
            case "stop":
                self.stop.set()
            case "exit":
                self.leave.set()
            case "health" | "close" | "calibrate" | "calibration":
                self.commands.append(command)

    def _beat(self) -> Beat:
        with self._lock:
            ms, self._ms = self._ms, []
            latency_ms, self._latency_ms = self._latency_ms, []
            notices = list(self._notices)
            self._notices.clear()
        row = self._counters
        return Beat(
            stage=self._stage,
            pid=os.getpid(),
            state=self.state,
            linked=self.linked,
            received=row.received,
            produced=row.produced,
            last_in=row.last_in,
            last_out=row.last_out,
            ms=ms,
            latency_ms=latency_ms,
            reason=self.reason,
            failure=self.failure,
            problems=list(self.problems),
            notices=notices,
            wish=self.wish,
            calibration=self.calibration,
        )

    def _watch_parent(self) -> None:
        if os.getppid() == self._parent:
            return
        self.leave.set()
        now = time.monotonic()
        self._orphan_since = self._orphan_since or now
        if now - self._orphan_since > ORPHAN_GRACE_S:
            os._exit(1)  # the stage hangs and nobody is left to kill it


class NoticeHandler(logging.Handler):
    """Passes this program's own warnings on to the supervisor, which has the user's terminal."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        super().__init__(logging.WARNING)
        self._heartbeat = heartbeat

    def emit(self, record: logging.LogRecord) -> None:
        self._heartbeat.notice(record.getMessage())
