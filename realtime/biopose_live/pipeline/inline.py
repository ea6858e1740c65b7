"""Runs the same stages one after the other in this process: every frame, nothing dropped, same numbers each time."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import psutil

from biopose_client.schema import Health, Pose
from biopose_live.errors import EXIT_FAILURE, EXIT_OK, UserError
from biopose_live.messages import FrameRef
from biopose_live.pipeline.child import limit_threads
from biopose_live.pipeline.control import settings_to_map
from biopose_live.pipeline.live import Interruption, interruptible, new_session
from biopose_live.pipeline.metrics import Summary
from biopose_live.pipeline.ring import LocalFrames
from biopose_live.pipeline.run_metrics import RunMetrics, StageState
from biopose_live.pipeline.stage_table import CAPTURE, DEFAULT, SINKS, STAGES, Sinks, StageTable, load
from biopose_live.pipeline.supervisor import HEALTH_PERIOD_S
from biopose_live.pipeline.worker import BLINK_S, IDLE_PERIOD_S, publish, stamp
from biopose_live.settings import Settings
from biopose_live.stages import EndOfStream, Stage


class _InlineRun:
    def __init__(self, settings: Settings, table: StageTable, on_progress: Callable[[Health], None] | None) -> None:
        self._settings = settings
        self._table = table
        self._on_progress = on_progress
        self._session = new_session()
        self._metrics = RunMetrics(self._session, settings_to_map(settings))
        self._states = {name: StageState() for name in STAGES}
        self._frames = LocalFrames()
        self._process = psutil.Process()
        self._skipped = 0
        self._first_capture: int | None = None
        self._next_idle = 0.0
        self._next_health = time.monotonic() + HEALTH_PERIOD_S
        self._given_up: list[str] = []

    def run(self, interruption: Interruption) -> Summary:
        reason, exit_code = "failed", EXIT_FAILURE
        sinks: Sinks | None = None
        with ExitStack() as stack:
            try:
                stages: list[tuple[str, Stage]] = []
                for name in STAGES[:-1]:
                    stage = load(self._table.factory(name))(self._settings, self._frames)
                    stack.callback(stage.close)
                    stages.append((name, stage))
                sinks = self._sinks()
                reason, exit_code = self._loop(stages, sinks, interruption)
            except UserError as error:
                reason, exit_code = str(error), error.exit_code
            finally:
                # Also after a failure that is not a user's: what was recorded so far is completed.
                summary = self._summary(reason, exit_code, sinks)
                if sinks is not None:
                    sinks.close(summary)
                    summary.problems = self._problems(sinks)
        return summary

    def _sinks(self) -> Sinks:
        factory: Callable[..., Sinks] = load(self._table.sinks)
        if self._settings.record_video and "frames" in inspect.signature(factory).parameters:
            return factory(self._settings, self._session, frames=self._frames)
        return factory(self._settings, self._session)

    def _loop(self, stages: list[tuple[str, Stage]], sinks: Sinks, interruption: Interruption) -> tuple[str, int]:
        while (ending := interruption()) is None:
            self._do_what_is_due(sinks)
            try:
                started = time.monotonic_ns()
                frame: FrameRef | None = stages[0][1].process(None)
            except EndOfStream as end:
                return str(end) or "end of stream", EXIT_OK
            if frame is None:
                time.sleep(BLINK_S)
                continue
            if self._is_over(frame):
                return "duration reached", EXIT_OK
            fetched = time.monotonic_ns()
            self._count(CAPTURE, (fetched - started) / 1e6)
            self._skipped = frame.dropped
            message: Any = frame
            for name, stage in stages[1:]:
                message = self._step(name, stage, message)
                if message is None:
                    break
            else:
                self._write(sinks, message, fetched)
        return ending.reason, ending.exit_code

    def _step(self, name: str, stage: Stage, message: Any) -> Any:
        started = time.monotonic_ns()
        result = stage.process(message)
        ms = (time.monotonic_ns() - started) / 1e6
        if result is not None:
            stamp(result, message, name, ms)
        self._count(name, ms, produced=result is not None)
        return result

    def _write(self, sinks: Sinks, pose: Pose, fetched: int) -> None:
        before = time.monotonic_ns()
        publish(sinks, pose, self._session, self._states[SINKS].produced + 1, self._given_up)
        after = time.monotonic_ns()
        self._count(SINKS, (after - before) / 1e6, latency_ms=[(pose.t_publish - fetched) / 1e6])

    def _count(self, name: str, ms: float, produced: bool = True, latency_ms: list[float] | None = None) -> None:
        state = self._states[name]
        state.received += name != CAPTURE
        state.produced += produced
        self._metrics.add(name, [ms], latency_ms or [])

    def _is_over(self, frame: FrameRef) -> bool:
        if self._first_capture is None:
            self._first_capture = frame.t_capture
        duration = self._settings.duration
        return duration is not None and frame.t_capture - self._first_capture >= duration * 1e9

    def _do_what_is_due(self, sinks: Sinks) -> None:
        now = time.monotonic()
        if now >= self._next_idle:
            self._next_idle = now + IDLE_PERIOD_S
            sinks.idle()
        if now >= self._next_health:
            self._next_health = now + HEALTH_PERIOD_S
            # All stages share this process: its figures stand in the first stage's row.
            self._states[CAPTURE].cpu = self._process.cpu_percent(None) / 100
            self._states[CAPTURE].rss_mb = self._process.memory_info().rss / 1e6
            health = self._metrics.health(self._states, self._skipped)
            sinks.health(health)
            if self._on_progress is not None:
                self._on_progress(health)

    def _problems(self, sinks: Sinks | None) -> list[str]:
        return [*(sinks.problems if sinks is not None else ()), *self._given_up]

    def _summary(self, reason: str, exit_code: int, sinks: Sinks | None) -> Summary:
        return self._metrics.summary(self._states, self._skipped, reason, exit_code, self._problems(sinks))


def run_inline(
    settings: Settings, table: StageTable = DEFAULT, on_progress: Callable[[Health], None] | None = None
) -> Summary:
    """Runs until the source ends, `--duration` of video is over, Ctrl-C or SIGTERM.

    `on_progress` is called about once a second.  In the summary a frame's latency counts from the moment it was
    fetched, since nothing here happens at the pace of a clock.  A UserError of a stage ends the run: its sentence and
    exit code are the summary's `end_reason` and `exit_code`; the sinks are completed in any case.
    """
    limit_threads(os.environ)
    with interruptible(None) as interruption:
        return _InlineRun(settings, table, on_progress).run(interruption)
