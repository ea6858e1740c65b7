"""What runs inside a child process: builds one stage, then receives, processes and sends until told to leave.

Back-pressure: see `sockets`: the newest message wins and nothing waits.  A `UserError` is reported and the process
stays until it is told to leave, so that the program ends with that one sentence; any other exception is logged with its
traceback and ends the process, and the supervisor starts a new one.
"""

from __future__ import annotations

import faulthandler
import inspect
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import zmq

from biopose_client.schema import Pose
from biopose_live.errors import EXIT_FAILURE, UserError
from biopose_live.messages import Decoder, FrameRef, encode
from biopose_live.pipeline.control import GOODBYE_MS, Assignment, Failure, settings_from_map
from biopose_live.pipeline.heartbeat import Heartbeat, NoticeHandler, die_with_parent
from biopose_live.pipeline.live_calibration import CalibrationWish, LiveCalibration
from biopose_live.pipeline.metrics import Summary
from biopose_live.pipeline.ring import FrameRing
from biopose_live.pipeline.run_metrics import RunMetrics, StageState
from biopose_live.pipeline.sockets import PICTURES, Announcements, Receiver, Sender
from biopose_live.pipeline.stage_table import CAPTURE, INPUT_TYPES, MQHMR, SINKS, STAGES, Sinks, load
from biopose_live.settings import Settings
from biopose_live.stages import EndOfStream, Stage

POLL_MS = 50  # how long a stage waits for a message before it looks at its orders
IDLE_PERIOD_S = 0.1  # how often sinks may do what is due without a pose
BLINK_S = 0.002  # slept when a stage returns at once with nothing, so that no source can make a busy loop

log = logging.getLogger(__name__)


class Worker:
    """One stage in its process."""

    def __init__(self, assignment: Assignment, heartbeat: Heartbeat, ring: FrameRing, settings: Settings) -> None:
        self._assignment = assignment
        self._name = assignment.stage
        self._heartbeat = heartbeat
        self._ring = ring
        self._settings = settings
        self._row = ring.counters(STAGES.index(self._name))
        self._row.busy_since = 0  # the process before this one may have died over a message

    def run(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        """Returns when told to leave; raises what the stage raises, except UserError."""
        try:
            factory = load(self._assignment.factory)
            if self._name == SINKS:
                self._run_sinks(context, self._build_sinks(factory, context))
            else:
                self._run_stage(context, self._build(factory))
        except UserError as error:
            self._fail(error)
            self._heartbeat.leave.wait()

    def _build(self, factory: Callable[..., Stage]) -> Stage:
        # A capture that goes on after another has to wait for a source that may be away, instead of refusing to start.
        if self._name == CAPTURE and self._ring.first_capture and "resumed" in inspect.signature(factory).parameters:
            return factory(self._settings, self._ring, resumed=True)
        return factory(self._settings, self._ring)

    def _build_sinks(self, factory: Callable[..., Sinks], context: zmq.Context[zmq.Socket[bytes]]) -> Sinks:
        view = self._assignment.view
        pictures = view is not None or self._settings.record_video
        if not pictures or "frames" not in inspect.signature(factory).parameters:
            return factory(self._settings, self._assignment.session)
        announced = Announcements(context, Path(self._assignment.directory))
        return factory(self._settings, self._assignment.session, frames=self._ring, view=view, announced=announced)

    def _fail(self, error: UserError) -> None:
        self._row.busy_since = 0
        self._heartbeat.failure = Failure(str(error), error.exit_code)
        self._heartbeat.state = "ended"

    def _run_stage(self, context: zmq.Context[zmq.Socket[bytes]], stage: Stage) -> None:
        directory = Path(self._assignment.directory)
        sender = Sender(context, directory, STAGES[STAGES.index(self._name) + 1])
        try:
            try:
                if self._name == CAPTURE:
                    self._capture(stage, sender)
                else:
                    announcer = Sender(context, directory, PICTURES) if self._name == MQHMR else None
                    self._transform(stage, Receiver(context, directory, self._name), sender, announcer)
            except UserError as error:
                self._fail(error)
            finally:
                stage.close()
            # What was sent last may still be on its way: keep the link open until the supervisor has seen it through.
            self._heartbeat.leave.wait()
        finally:
            sender.close()

    def _capture(self, stage: Stage, sender: Sender) -> None:
        beat, row = self._heartbeat, self._row
        beat.state = "ready"
        while not beat.go.wait(POLL_MS / 1000):
            beat.linked = sender.linked
            if beat.leave.is_set() or beat.stop.is_set():
                break
        beat.state = "running"
        while not (beat.leave.is_set() or beat.stop.is_set()):
            called = time.monotonic_ns()
            row.busy_since = called
            try:
                frame: FrameRef | None = stage.process(None)
            except EndOfStream as end:
                beat.reason = str(end) or "end of stream"
                break
            finally:
                row.busy_since = 0
            now = time.monotonic_ns()
            if frame is None:
                time.sleep(BLINK_S if now - called < BLINK_S * 1e9 else 0)
                continue
            if self._is_over(frame):
                beat.reason = "duration reached"
                break
            row.produced += 1
            row.finished += 1
            row.last_out = frame.seq
            sender.send(encode(frame))
            beat.sample((now - frame.t_capture) / 1e6)
        beat.state = "ended"

    def _is_over(self, frame: FrameRef) -> bool:
        duration = self._settings.duration
        return duration is not None and frame.t_capture - self._ring.first_capture >= duration * 1e9

    def _transform(self, stage: Stage, receiver: Receiver, sender: Sender, announcer: Sender | None) -> None:
        beat, row = self._heartbeat, self._row
        decoder: Decoder[Any] = Decoder(INPUT_TYPES[self._name])
        calibration: LiveCalibration | None = None
        try:
            beat.state = "ready"
            while not beat.leave.is_set():
                while beat.commands:
                    calibration = self._calibrate(beat.commands.popleft().wish, stage, calibration)
                if not beat.linked:
                    beat.linked = sender.linked
                data = receiver.receive(POLL_MS)
                if data is None:
                    continue
                message = decoder.decode(data)
                row.busy_since = started = time.monotonic_ns()
                row.received += 1
                row.last_in = seq_of(message)
                if announcer is not None:
                    announcer.send(encode(message.frame))
                result = stage.process(message)
                if calibration is not None and result is not None:
                    calibration.take(result)
                    beat.calibration = calibration.state
                ms = (time.monotonic_ns() - started) / 1e6
                if result is not None:
                    stamp(result, message, self._name, ms)
                    row.produced += 1
                    row.last_out = seq_of(result)
                    sender.send(encode(result))
                row.finished += 1
                row.busy_since = 0
                beat.sample(ms)
        finally:
            receiver.close()
            if announcer is not None:
                announcer.close()

    def _calibrate(
        self, wish: CalibrationWish | None, stage: Any, running: LiveCalibration | None
    ) -> LiveCalibration | None:
        """-> the measurement that goes on after a wish."""
        if wish is None:
            return running
        if running is not None:
            running.cancel()
            self._heartbeat.calibration = running.state
        return running if wish.out is None else LiveCalibration(wish, stage, self._settings)

    def _run_sinks(self, context: zmq.Context[zmq.Socket[bytes]], sinks: Sinks) -> None:
        beat, row = self._heartbeat, self._row
        receiver = Receiver(context, Path(self._assignment.directory), SINKS)
        decoder = Decoder(Pose)
        given_up: list[str] = []
        due = 0.0
        try:
            beat.state = "ready"
            beat.linked = True
            while not beat.leave.is_set():
                data = receiver.receive(POLL_MS)
                if data is not None:
                    pose = decoder.decode(data)
                    row.busy_since = started = time.monotonic_ns()
                    row.received += 1
                    row.last_in = pose.seq
                    publish(sinks, pose, self._assignment.session, row.received, given_up)
                    row.produced += 1
                    row.last_out = pose.seq
                    row.finished += 1
                    row.busy_since = 0
                    now = time.monotonic_ns()
                    beat.sample((now - started) / 1e6, (pose.t_publish - pose.t_capture) / 1e6)
                if time.monotonic() >= due:
                    due = time.monotonic() + IDLE_PERIOD_S
                    sinks.idle()
                    beat.problems = [*sinks.problems, *given_up]
                    beat.wish = getattr(sinks, "wish", None)  # only those that show the run have wishes
                while beat.commands:
                    command = beat.commands.popleft()
                    if command.calibration is not None and hasattr(sinks, "calibration"):
                        sinks.calibration(command.calibration)
                    if command.health is not None:
                        sinks.health(command.health)
                    elif command.summary is not None:
                        sinks.close(command.summary)
                        beat.problems = [*sinks.problems, *given_up]
                        beat.state = "closed"
                        beat.leave.wait()
            if beat.state != "closed":
                # Told to leave without a word, or orphaned: what was recorded so far is completed all the same.
                sinks.close(self._own_summary())
        finally:
            receiver.close()

    def _own_summary(self) -> Summary:
        rows = {name: self._ring.counters(row) for row, name in enumerate(STAGES)}
        states = {name: StageState(received=row.received, produced=row.produced) for name, row in rows.items()}
        metrics = RunMetrics(self._assignment.session, self._assignment.settings)
        return metrics.summary(states, self._ring.dropped, "the program was ended", EXIT_FAILURE, ())


def seq_of(message: Any) -> int:
    """-> the seq number of the frame that a message is about."""
    if isinstance(message, FrameRef | Pose):
        return message.seq
    seq: int = message.frame.seq
    return seq


def stamp(result: Any, source: Any, stage: str, ms: float) -> None:
    """Writes a stage's time beside the times of the stages before it."""
    result.stages = {**getattr(source, "stages", {}), **result.stages, stage: ms}


def publish(sinks: Sinks, pose: Pose, session: str, count: int, given_up: list[str]) -> None:
    """Completes a pose, the run's `count`-th, and writes it; a UserError ends the output that raised it and no more."""
    pose.session = session
    pose.dropped = max(pose.seq + 1 - count, 0)  # seq counts every captured frame: this covers all drops on the way
    pose.t_publish = time.monotonic_ns()
    try:
        sinks.write(pose)
    except UserError as error:
        if str(error) not in given_up:
            given_up.append(str(error))


def main() -> int:
    """Entry point of a child; returns its exit code."""
    faulthandler.enable()
    # Ctrl-C and a closed terminal reach the whole group; the parent decides what they mean.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    die_with_parent()
    assignment = msgspec.json.decode(sys.stdin.buffer.read(), type=Assignment)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    if os.getppid() != assignment.parent:
        return 1
    ring = FrameRing.attach(assignment.ring)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    row = ring.counters(STAGES.index(assignment.stage))
    heartbeat = Heartbeat(context, Path(assignment.directory), assignment.stage, row, assignment.parent)

    def leave(number: int, frame: FrameType | None) -> None:
        heartbeat.leave.set()

    signal.signal(signal.SIGTERM, leave)
    logging.getLogger("biopose_live").addHandler(NoticeHandler(heartbeat))
    heartbeat.start()
    try:
        Worker(assignment, heartbeat, ring, settings_from_map(assignment.settings)).run(context)
    except Exception:
        log.exception("stage %s ends", assignment.stage)
        return 1
    finally:
        heartbeat.finish()
        context.destroy(linger=GOODBYE_MS)
        ring.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
