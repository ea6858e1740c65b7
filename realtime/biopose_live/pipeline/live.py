"""Runs the pipeline as five supervised processes: what happens on the way, newest frame first."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from types import FrameType

import zmq

from biopose_client.schema import Health
from biopose_live.errors import EXIT_FAILURE, EXIT_INTERRUPTED, UserError
from biopose_live.pipeline.metrics import Summary
from biopose_live.pipeline.ring import SLOT_BYTES, SLOTS, FrameRing
from biopose_live.pipeline.session_directory import SessionDirectory
from biopose_live.pipeline.stage_table import DEFAULT, StageTable
from biopose_live.pipeline.supervisor import Ending, Supervisor
from biopose_live.settings import Settings
from biopose_live.sinks.viewer.access import ViewAccess

FEWEST_SLOTS = 3  # one being written, one being read, one in between
_SHARED_MEMORY = Path("/dev/shm")


class Interruption:
    """What made a run end early: a signal or the caller's event.  Calling it gives the Ending, or None."""

    def __init__(self, stop: threading.Event | None) -> None:
        self._stop = stop
        self.signal: int | None = None

    def __call__(self) -> Ending | None:
        if self.signal == signal.SIGINT:
            return Ending("interrupted", EXIT_INTERRUPTED)
        if self.signal is not None:
            return Ending(f"ended by {signal.Signals(self.signal).name}", 128 + self.signal)
        if self._stop is not None and self._stop.is_set():
            return Ending("stopped")
        return None


@contextmanager
def interruptible(stop: threading.Event | None) -> Iterator[Interruption]:
    """Turns Ctrl-C, SIGTERM and a closed terminal into a question that can be asked (signals: main thread only)."""
    interruption = Interruption(stop)
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    def take(number: int, frame: FrameType | None) -> None:
        interruption.signal = number

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # `nohup` means it
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, take) for number in numbers}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start_tracker() -> None:
    """Starts Python's own clean-up process for shared memory, for the case that this one is killed.

    It must survive a closed terminal, whose signal reaches the whole group: an ignored signal stays ignored in it.
    """
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            resource_tracker.ensure_running()
        finally:
            signal.signal(signal.SIGHUP, before)


def slots_that_fit(free: int, wanted: int = SLOTS, slot_bytes: int = SLOT_BYTES) -> int:
    """-> how many slots `free` bytes of shared memory hold; raises UserError when they are too few to work with.

    A page of shared memory that the system cannot provide kills whoever touches it, so this is asked beforehand.
    """
    slots = min(wanted, (free - 65_536) // slot_bytes)
    if slots < FEWEST_SLOTS:
        raise UserError(
            f"Shared memory has {free / 1e6:.0f} MB free, {FEWEST_SLOTS * slot_bytes / 1e6:.0f} MB are needed for the "
            f"frames: free some in {_SHARED_MEMORY}, or start the container with --shm-size=256m.",
            EXIT_FAILURE,
        )
    return slots


def new_session() -> str:
    """-> a fresh run id."""
    return uuid.uuid4().hex[:12]


def run_live(
    settings: Settings,
    table: StageTable = DEFAULT,
    on_health: Callable[[Health], None] | None = None,
    stop: threading.Event | None = None,
    view: ViewAccess | None = None,
) -> Summary:
    """Runs until the source ends, `--duration` is over, Ctrl-C, SIGTERM, SIGHUP or `stop`.

    `on_health` is called about once a second, from this thread; browsers may watch at `view`.  A stage's UserError ends
    the run: its sentence and exit code are the summary's `end_reason` and `exit_code`.  Raises UserError only when the
    run cannot begin at all (no shared memory).
    """
    session = new_session()
    ring_name = f"biopose_{session}"
    free = shutil.disk_usage(_SHARED_MEMORY).free if sys.platform == "linux" else SLOTS * SLOT_BYTES * 2
    slots = slots_that_fit(free)
    with interruptible(stop) as interruption:
        _start_tracker()
        directory = SessionDirectory(ring_name)
        try:
            ring = FrameRing.create(ring_name, slots)
            try:
                context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
                try:
                    supervisor = Supervisor(settings, table, session, os.getpid(), directory, ring, context, view)
                    return supervisor.run(interruption, on_health)
                finally:
                    context.destroy(linger=0)
            finally:
                ring.close()
        finally:
            directory.remove()
