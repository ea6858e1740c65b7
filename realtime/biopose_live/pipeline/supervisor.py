"""Keeps the five processes alive and ends them in order.

A process that died, fell silent or hangs is killed and started anew while the others go on; one that keeps dying ends
the run with a sentence.  The end is always the same: capture stops, the last frame drains through the links, the sinks
complete their files, everybody leaves, and what does not leave in time is killed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from itertools import pairwise

import zmq

from biopose_client.schema import Health
from biopose_live.errors import EXIT_FAILURE, EXIT_OK
from biopose_live.pipeline.child import Child
from biopose_live.pipeline.control import Assignment, Beat, Command, ControlHub, settings_to_map
from biopose_live.pipeline.live_calibration import CalibrationState, CalibrationWish
from biopose_live.pipeline.metrics import Summary
from biopose_live.pipeline.ring import FrameRing
from biopose_live.pipeline.run_metrics import RunMetrics, StageState
from biopose_live.pipeline.session_directory import SessionDirectory
from biopose_live.pipeline.stage_table import CAPTURE, MQHMR, NEURIK, SINKS, STAGES, StageTable
from biopose_live.settings import Settings
from biopose_live.sinks.viewer.access import ViewAccess

TICK_MS = 50
HEALTH_PERIOD_S = 1.0
HELD_UP_S = 0.25  # a longer tick than this was the machine's or a Ctrl-Z's doing, not the children's
# At the end of a stream there is time to work off what is there; a user who pressed Ctrl-C is gone in under 5 s.
PATIENT_DRAIN_S, PATIENT_CLOSE_S = 20.0, 60.0
HASTY_DRAIN_S, HASTY_CLOSE_S = 1.0, 2.5
STANDSTILL_S = 1.0
LEAVE_S, TERMINATE_S = 0.6, 0.4

log = logging.getLogger(__name__)


class Ending:
    """Why a run is over, and how much time that leaves."""

    def __init__(self, reason: str, exit_code: int = EXIT_OK, patient: bool = False) -> None:
        self.reason = reason
        self.exit_code = exit_code
        self.patient = patient


class Supervisor:
    """One live run; `run()` may be called once."""

    def __init__(
        self,
        settings: Settings,
        table: StageTable,
        session: str,
        parent: int,
        directory: SessionDirectory,
        ring: FrameRing,
        context: zmq.Context[zmq.Socket[bytes]],
        view: ViewAccess | None = None,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._ring = ring
        self._hub = ControlHub(context, directory.path)
        values = settings_to_map(settings)
        self._metrics = RunMetrics(session, values)
        self._children = {
            name: Child(
                Assignment(
                    name,
                    table.factory(name),
                    values,
                    session,
                    str(directory.path),
                    ring.name,
                    parent,
                    view if name == SINKS else None,
                ),
                directory.log(name),
                ring.counters(row),
            )
            for row, name in enumerate(STAGES)
        }
        self._problems: list[str] = []
        self._wish: CalibrationWish | None = None
        self._calibration: CalibrationState | None = None
        self._going = False
        self._first_frame = 0.0
        self._next_health = 0.0
        self._last_tick = 0.0

    def run(self, asked_to_stop: Callable[[], Ending | None], on_health: Callable[[Health], None] | None) -> Summary:
        """Runs until the source ends, somebody asks to stop, or the run cannot go on."""
        ending = Ending("failed", EXIT_FAILURE)
        try:
            # The sinks first and capture last: what is downstream should be there when frames come.
            for name in reversed(STAGES):
                self._children[name].start()
            self._last_tick = time.monotonic()
            while (found := asked_to_stop() or self._tick(on_health)) is None:
                pass
            ending = found
            self._command(CAPTURE, Command("stop"))
            if self._going:
                self._drain(PATIENT_DRAIN_S if ending.patient else HASTY_DRAIN_S, asked_to_stop)
            self._close_sinks(ending, asked_to_stop)
        finally:
            self._end_all()
            self._hub.close()
        return self._summary(ending)

    def _tick(self, on_health: Callable[[Health], None] | None) -> Ending | None:
        """Hears the children, judges them, starts what is due; -> an Ending when the run is over."""
        self._hear(TICK_MS)
        now = time.monotonic()
        held_up = now - self._last_tick
        if held_up > HELD_UP_S:
            for child in self._children.values():
                child.forgive(held_up)
        self._last_tick = now
        for child in self._children.values():
            if child.beat is not None and child.beat.failure is not None:
                failure = child.beat.failure
                return Ending(failure.sentence, failure.exit_code, patient=True)
        for child in self._children.values():
            ending = self._look_after(child)
            if ending is not None:
                return ending
        self._let_go()
        capture = self._children[CAPTURE].beat
        if capture is not None and capture.state == "ended":
            return Ending(capture.reason, patient=True)
        if self._is_over(now):
            return Ending("duration reached", patient=True)
        if now >= self._next_health:
            self._next_health = now + HEALTH_PERIOD_S
            health = self._metrics.health(self._states(usage=True), self._ring.dropped)
            self._command(SINKS, Command("health", health=health))
            if on_health is not None:
                on_health(health)
        return None

    def _hear(self, timeout_ms: int) -> None:
        for beat in self._hub.beats(timeout_ms):
            child = self._children.get(beat.stage)
            if child is None or beat.pid != child.pid:
                continue  # from a process that has been replaced since
            child.hear(beat)
            self._metrics.add(beat.stage, beat.ms, beat.latency_ms)
            self._note(beat)

    def _note(self, beat: Beat) -> None:
        for notice in beat.notices:
            log.warning("%s", notice)
        self._problems.extend(problem for problem in beat.problems if problem not in self._problems)
        if beat.wish is not None and beat.wish != self._wish:
            self._wish = beat.wish
            self._command(MQHMR, Command("calibrate", wish=beat.wish))
        news = beat.calibration
        if news is not None and (news != self._calibration or news.phase in ("measuring", "computing")):
            if news.phase == "done" and self._settings.max_people == 1:  # also for who has to be started anew
                for name in (MQHMR, NEURIK):
                    self._children[name].change_settings(calibration=news.file, height=None)
            self._calibration = news
            self._command(SINKS, Command("calibration", calibration=news))

    def _look_after(self, child: Child) -> Ending | None:
        if not child.pid:
            if child.due:
                child.start()
            return None
        complaint = child.complaint()
        if complaint is None:
            return None
        child.kill()
        if not child.may_restart():
            return Ending(
                f"The {child.name} stage {complaint} again and again and is given up; its log "
                f"{self._keep_logs(child)}ends with: {child.last_words()}",
                EXIT_FAILURE,
                patient=True,
            )
        log.warning("The %s stage %s: starting it again.", child.name, complaint)
        child.bury()
        return None

    def _keep_logs(self, child: Child) -> str:
        try:
            return f"({self._directory.keep_logs() / child.log.name}) "
        except OSError as error:
            log.warning("The stages' logs could not be kept: %s", error)
            return ""

    def _let_go(self) -> None:
        """Tells capture to start, once everybody was ready and linked; a restarted capture starts at once."""
        beats = {name: child.beat for name, child in self._children.items()}
        if not self._going:
            self._going = all(beat is not None and beat.state == "ready" and beat.linked for beat in beats.values())
        capture = beats[CAPTURE]
        if self._going and capture is not None and capture.state == "ready":
            self._command(CAPTURE, Command("go"))

    def _is_over(self, now: float) -> bool:
        """The wall clock's half of `--duration`: a source that stands still must not run for ever."""
        if self._settings.duration is None or not self._ring.first_capture:
            return False
        self._first_frame = self._first_frame or now
        return now - self._first_frame > self._settings.duration + 1.0

    def _drain(self, limit: float, asked_to_stop: Callable[[], Ending | None]) -> None:
        """Waits until no stage has anything left to do or to take."""
        until = time.monotonic() + limit
        since = time.monotonic()
        before: list[int] = []
        calm = 0
        while calm < 2 and time.monotonic() < until:
            self._hear(TICK_MS)
            if any(not child.alive for child in self._children.values()):
                return
            calm = calm + 1 if self._is_drained() else 0
            # A message that died with its stage never arrives: when nothing moves any more, nothing is left.
            progress = [value for child in self._children.values() for value in child.progress]
            if progress != before:
                before, since = progress, time.monotonic()
            elif time.monotonic() - since > STANDSTILL_S and not any(c.row.busy_since for c in self._children.values()):
                return
            if limit > HASTY_DRAIN_S and asked_to_stop() is not None:
                until = min(until, time.monotonic() + HASTY_DRAIN_S)

    def _is_drained(self) -> bool:
        capture = self._children[CAPTURE].beat
        if capture is None or capture.state != "ended":
            return False
        rows = [self._children[name].row for name in STAGES]
        return all(
            downstream.last_in >= upstream.last_out and not downstream.busy_since
            for upstream, downstream in pairwise(rows)
        )

    def _close_sinks(self, ending: Ending, asked_to_stop: Callable[[], Ending | None]) -> None:
        """The others may leave at once; the sinks get the summary and the time to complete their files."""
        for name in STAGES[:-1]:
            self._command(name, Command("exit"))
        sinks = self._children[SINKS]
        until = time.monotonic() + (PATIENT_CLOSE_S if ending.patient else HASTY_CLOSE_S)
        told = False
        while time.monotonic() < until and sinks.alive:
            state = sinks.beat.state if sinks.beat is not None else "starting"
            if state in ("closed", "ended") or (state == "starting" and not self._going):
                break
            if state == "ready" and not told:
                told = True
                self._command(SINKS, Command("close", summary=self._summary(ending)))
            self._hear(TICK_MS)
            if ending.patient and asked_to_stop() is not None:
                until = min(until, time.monotonic() + HASTY_CLOSE_S)
        beat = sinks.beat
        if told and (beat is None or beat.state != "closed"):
            why = beat.failure.sentence if beat is not None and beat.failure is not None else sinks.last_words()
            self._problems.append(f"The outputs were not completed: {why}")

    def _end_all(self) -> None:
        for name in STAGES:
            self._command(name, Command("exit"))
        self._wait(LEAVE_S)
        for child in self._children.values():
            child.terminate()
        self._wait(TERMINATE_S)
        for child in self._children.values():
            child.kill()

    def _wait(self, limit: float) -> None:
        until = time.monotonic() + limit
        while time.monotonic() < until and any(child.alive for child in self._children.values()):
            self._hear(20)

    def _command(self, stage: str, command: Command) -> None:
        child = self._children[stage]
        if child.alive and child.beat is not None:
            self._hub.command(stage, child.pid, command)

    def _states(self, usage: bool = False) -> dict[str, StageState]:
        states = {}
        for name, child in self._children.items():
            cpu, rss_mb = child.usage() if usage else (0.0, 0.0)
            row = child.row
            states[name] = StageState(child.alive, child.restarts, row.received, row.produced, rss_mb, cpu)
        return states

    def _summary(self, ending: Ending) -> Summary:
        return self._metrics.summary(
            self._states(), self._ring.dropped, ending.reason, ending.exit_code, self._problems
        )
