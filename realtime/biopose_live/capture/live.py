"""Live sources: connect, keep the newest frame, and come back after an unplug or a stall.

Each connection has its own thread, which opens, decodes and closes it.  A driver or a server can block that thread for
ever inside a call that cannot be interrupted, so nobody waits for it: `read` watches the age of the last frame, gives
up a silent connection (its thread closes the container when it wakes) and opens a new one, with a growing pause between
attempts and no limit on their number.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import av

from biopose_live.capture.decoding import Pictures, frame_interval_ns
from biopose_live.capture.newest import NewestFrame
from biopose_live.capture.reason import reason
from biopose_live.capture.source import Captured, Clock
from biopose_live.capture.timeline import NS, ArrivalClock, MediaTimeline
from biopose_live.errors import UserError
from biopose_live.stages import EndOfStream

log = logging.getLogger(__name__)

FIRST_FRAME_S = 15.0  # for opening and the first frame together
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0
MOST_STUCK = 4  # threads that a driver holds; then only a new process helps
RATE_CHECK_S = 3.0
LATE_S = 1.0  # a paced stream this far behind is shown from where it is now


@dataclass(frozen=True, slots=True)
class Connection:
    """An open container and how its timestamps are to be read."""

    container: Any
    stream: Any
    times: ArrivalClock
    rate: float | None = None  # frames/s that were agreed on, to be compared with what comes
    paced: bool = False  # delivered in bursts (HLS, a file over HTTP): shown by its timestamps
    finite: bool = False  # its end is an end, not a failure


class SourceStuck(RuntimeError):
    """The driver holds threads of this process and lets nobody else in: only a new process can go on."""


class _Reader:
    """One connection and its thread."""

    def __init__(
        self, connect: Callable[[], Connection], deliver: Callable[[_Reader, Any, int], None], clock: Clock, name: str
    ) -> None:
        self._connect = connect
        self._deliver = deliver
        self._clock = clock
        self._name = name
        self._given_up = threading.Event()
        self.progress = clock()
        self.frames = 0
        self.finite = False
        self.ended = False
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name="capture-live", daemon=True)
        self.thread.start()

    def give_up(self) -> None:
        self._given_up.set()

    def _run(self) -> None:
        container = None
        try:
            connection = self._connect()
            container = connection.container
            self.finite = connection.finite
            if not self._given_up.is_set():
                self._decode(connection)
        except BaseException as error:  # judged by `read`, in the caller's thread
            self.error = error
        finally:
            if container is not None:
                container.close()
            self.ended = True

    def _decode(self, connection: Connection) -> None:
        # Frame threads would hold back one frame per thread; slices add no delay.
        connection.stream.thread_type = "SLICE"
        pictures = Pictures(connection.container, connection.stream, self._given_up.is_set, self._clock)
        timeline = MediaTimeline(connection.stream.time_base, frame_interval_ns(connection.stream))
        anchor = 0
        first_arrival = 0
        for picture in pictures:
            if connection.paced:
                since_start = timeline.advance(picture)
                if self.frames == 0 or self._clock() - anchor - since_start > LATE_S * NS:
                    anchor = self._clock() - since_start
                t_capture = anchor + since_start
                self._wait_until(t_capture)
            else:
                t_capture = connection.times.capture_time(picture, pictures.arrival)
            if self._given_up.is_set():
                return
            if self.frames == 0:
                first_arrival = pictures.arrival
            self.frames += 1
            self.progress = self._clock()
            self._deliver(self, picture, t_capture)
            if connection.rate and first_arrival and pictures.arrival - first_arrival >= RATE_CHECK_S * NS:
                measured = (self.frames - 1) * NS / (pictures.arrival - first_arrival)
                self._compare_rate(connection.rate, measured)
                first_arrival = 0

    def _compare_rate(self, agreed: float, measured: float) -> None:
        if measured < 0.8 * agreed:
            log.warning(
                "%s delivers %.1f frames/s, %.1f were agreed on: more light lets most cameras go faster",
                self._name,
                measured,
                agreed,
            )
        else:
            log.info("%s delivers %.1f frames/s", self._name, measured)

    def _wait_until(self, due: int) -> None:
        while (remaining := due - self._clock()) > 0 and not self._given_up.wait(min(remaining / NS, 0.5)):
            self.progress = self._clock()


class LiveSource:
    """A camera or a network stream.

    `connect` opens it (called in the connection's own thread); `explain` turns the error of a first attempt, or None
    when it took too long, into the sentence for the user.  Until the first frame has come such an error is raised by
    `read` as that UserError, unless `resumed`; afterwards every failure is logged and tried again until `close`.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Connection],
        explain: Callable[[BaseException | None], UserError],
        *,
        stall_s: float,
        resumed: bool = False,
        clock: Clock = time.monotonic_ns,
    ) -> None:
        self._name = name
        self._connect = connect
        self._explain = explain
        self._stall_s = stall_s
        self._clock = clock
        self._newest = NewestFrame()
        self._lock = threading.Lock()
        self._last_capture = 0
        self._seen = resumed
        self._pause_s = FIRST_PAUSE_S
        self._retry_at = 0
        self._lost_at: int | None = None
        self._stuck: list[_Reader] = []
        self._reader: _Reader | None = None
        self._closed = False
        self._start()

    def read(self, timeout: float) -> Captured | None:
        """-> the newest frame, or None.

        Raises UserError while there never was a frame, EndOfStream after a finite stream, SourceStuck when the driver
        must be freed by ending the process.
        """
        self._oversee()
        return self._newest.take(timeout)

    def close(self) -> None:
        self._closed = True
        self._newest.finish(EndOfStream())
        with self._lock:
            reader, self._reader = self._reader, None
        if reader is not None:
            reader.give_up()
            reader.thread.join(timeout=0.3)  # a camera that answers is free again when we return

    def _start(self) -> None:
        with self._lock:
            self._reader = _Reader(self._connect, self._deliver, self._clock, self._name)

    def _deliver(self, reader: _Reader, picture: Any, t_capture: int) -> None:
        with self._lock:
            if reader is not self._reader:
                return  # given up between decoding and here
            if self._lost_at is not None:
                log.warning("%s is back after %.1f s", self._name, (self._clock() - self._lost_at) / NS)
                self._lost_at = None
            self._seen = True
            self._last_capture = max(t_capture, self._last_capture + 1)
            self._newest.put(picture, self._last_capture)

    def _oversee(self) -> None:
        if self._closed:
            return
        reader = self._reader
        now = self._clock()
        if reader is None:
            if now >= self._retry_at:
                self._start()
        elif reader.ended:
            self._after_end(reader)
        else:
            limit_s = self._stall_s if reader.frames else FIRST_FRAME_S
            if now - reader.progress > limit_s * NS:
                self._give_up(reader)
                if not self._seen and not reader.frames:
                    raise self._explain(None)
                self._lose(reader, f"no frame for {limit_s:g} s")

    def _after_end(self, reader: _Reader) -> None:
        error = reader.error
        if error is not None and not isinstance(error, (UserError, OSError, av.error.FFmpegError)):
            raise error
        if not self._seen and not reader.frames:
            raise error if isinstance(error, UserError) else self._explain(error)
        if reader.finite and reader.frames:
            if error is not None:
                log.warning("%s broke off (%s)", self._name, reason(error))
            self._newest.finish(EndOfStream())
            return
        self._stuck = [stuck for stuck in self._stuck if not stuck.ended]
        if self._stuck and getattr(error, "errno", None) == errno.EBUSY:
            raise SourceStuck(f"{self._name} is held by a call into its driver that does not return")
        self._lose(reader, "the stream ended" if error is None else reason(error))

    def _give_up(self, reader: _Reader) -> None:
        reader.give_up()
        self._stuck = [stuck for stuck in self._stuck if not stuck.ended] + [reader]
        if len(self._stuck) >= MOST_STUCK:
            raise SourceStuck(f"{self._name}: {MOST_STUCK} calls into its driver did not return")

    def _lose(self, reader: _Reader, why: str) -> None:
        if reader.frames:
            self._pause_s = FIRST_PAUSE_S
        log.warning("%s is lost (%s): trying again in %.1f s", self._name, why, self._pause_s)
        with self._lock:
            self._reader = None
            if self._lost_at is None:
                self._lost_at = self._clock()
        self._retry_at = self._clock() + round(self._pause_s * NS)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
