"""One supervised process: starting it, hearing from it, ending it, and how often it may be started again.

A child is a fresh interpreter (never a fork: ZeroMQ and most numeric libraries do not survive one) that runs `worker`
with the parent's import path.  Its standard output and error go to its log file, crashes of native code included.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import msgspec
import psutil

from biopose_live.pipeline.control import Assignment, Beat
from biopose_live.pipeline.counters import StageCounters

START_GRACE_S = 30.0  # silence, or over one message, until the first is done: imports may hold the interpreter's lock
READY_LIMIT_S = 120.0  # until a stage that reports is ready: numba's first compilation on a slow machine
STOPPED_LIMIT_S = 0.3  # silence of a process that the kernel says is stopped
SILENT_LIMIT_S = 3.0  # silence of one that seems to run: on a busy machine its thread may just not have had its turn
HUNG_LIMIT_S = 15.0  # over one message
REAP_S = 2.0
RESTARTS = 5
RESTART_WINDOW_S = 30.0
STILLBORN = 4  # deaths in a row, none of which had done a message or lived long
LONG_LIFE_S = 60.0
FIRST_BACKOFF_S = 0.1

log = logging.getLogger(__name__)

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def limit_threads(environment: MutableMapping[str, str]) -> None:
    """One computing thread per process, unless the user says otherwise: stages run side by side already.

    Thread counts change the order of sums, so inline runs need the same limit to give the same numbers.
    """
    for name in THREAD_VARIABLES:
        environment.setdefault(name, "1")


class Child:
    """The process of one stage."""

    def __init__(self, assignment: Assignment, log: Path, row: StageCounters) -> None:
        self.name = assignment.stage
        self.restarts = 0
        self.beat: Beat | None = None  # the latest from the present process
        self.row = row
        self._assignment = assignment
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._usage: psutil.Process | None = None
        self._started = 0.0
        self._heard = 0.0
        self._finished_before = 0
        self._starts: deque[float] = deque()
        self._stillborn = 0
        self._not_before = 0.0

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def has_finished_one(self) -> bool:
        """Whether the present process has got through a message."""
        return self.row.finished > self._finished_before

    @property
    def progress(self) -> tuple[int, int, int]:
        """Numbers that change whenever the stage takes or makes something."""
        return self.row.received, self.row.produced, self.row.finished

    def start(self) -> None:
        """Raises OSError when no process can be made."""
        environment = dict(os.environ)
        limit_threads(environment)
        environment["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        environment["PYTHONUNBUFFERED"] = "1"
        self.beat = None
        self._finished_before = self.row.finished
        with self.log.open("ab") as log:
            # -P: a user's folder full of `numpy.py` and the like must not get in front.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "biopose_live.pipeline.worker", self.name],  # the name is for `ps`
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
            )
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(self._assignment))
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it died at once: the next look finds out
        self._usage = psutil.Process(self._process.pid)
        self._started = self._heard = time.monotonic()
        self._starts.append(self._started)

    def change_settings(self, **values: Any) -> None:
        """From the next start on."""
        settings = {**self._assignment.settings, **values}
        self._assignment = msgspec.structs.replace(self._assignment, settings=settings)

    def hear(self, beat: Beat) -> None:
        """Takes a report, which must be from the present process."""
        self.beat = beat
        self._heard = time.monotonic()

    def forgive(self, seconds: float) -> None:
        """Does not count that much silence: the supervisor itself was held up and could not listen."""
        self._heard += seconds

    def complaint(self) -> str | None:
        """-> why the process must be replaced, or None while all is well."""
        assert self._process is not None
        code = self._process.poll()
        if code is not None:
            return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        now = time.monotonic()
        silent = now - self._heard
        if silent > STOPPED_LIMIT_S and self._is_stopped():
            return f"is frozen (stopped, silent for {silent:.1f} s)"
        settled = self.has_finished_one
        if silent > (SILENT_LIMIT_S if settled else START_GRACE_S):
            return f"is frozen (silent for {silent:.1f} s)"
        busy_since = self.row.busy_since
        if busy_since and self.beat is not None:
            busy = (time.monotonic_ns() - busy_since) / 1e9
            if busy > (HUNG_LIMIT_S if settled else START_GRACE_S):
                return f"hangs (over one message for {busy:.1f} s)"
        if self.beat is not None and self.beat.state == "starting" and now - self._started > READY_LIMIT_S:
            return f"does not get ready (for {now - self._started:.0f} s)"
        return None

    def may_restart(self) -> bool:
        """Counts a death; -> False when there have been too many.  The next start must wait for `due`."""
        now = time.monotonic()
        lived = self.has_finished_one or now - self._started > LONG_LIFE_S
        self._stillborn = 0 if lived else self._stillborn + 1
        while self._starts and self._starts[0] < now - RESTART_WINDOW_S:
            self._starts.popleft()
        recent = len(self._starts)
        if recent > RESTARTS or self._stillborn >= STILLBORN:
            return False
        self._not_before = now + (FIRST_BACKOFF_S * 2 ** (recent - 2) if recent > 1 else 0.0)
        self.restarts += 1
        return True

    @property
    def due(self) -> bool:
        """Whether a dead child's next start need wait no longer."""
        return time.monotonic() >= self._not_before

    def terminate(self) -> None:
        if self.alive:
            assert self._process is not None
            self._process.terminate()

    def kill(self) -> None:
        """Ends the process for certain and reaps it."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.kill()
        try:
            self._process.wait(REAP_S)
        except subprocess.TimeoutExpired:
            # A driver that hangs inside the kernel (some cameras do) keeps even a killed process.
            log.warning("The %s stage's process %d is held by the system and stays behind.", self.name, self.pid)

    def bury(self) -> None:
        """Forgets the process that has ended; `start` makes the next one."""
        self._process = None
        self.beat = None

    def usage(self) -> tuple[float, float]:
        """-> CPU share since the last call (1.0: one core), resident memory in MB; zeros when the process is gone."""
        if self._usage is None or not self.alive:
            return 0.0, 0.0
        try:
            return self._usage.cpu_percent(None) / 100, self._usage.memory_info().rss / 1e6
        except psutil.Error:
            return 0.0, 0.0

    def last_words(self) -> str:
        """-> the last line of the log that is not empty."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")

    def _is_stopped(self) -> bool:
        try:
            return self._usage is not None and self._usage.status() == psutil.STATUS_STOPPED
        except psutil.Error:
            return False
