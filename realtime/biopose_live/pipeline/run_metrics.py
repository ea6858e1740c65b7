"""Gathers what the stages report into Health (the last seconds) and Summary (the whole run)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from biopose_client.schema import Health, StageHealth
from biopose_live.pipeline.metrics import Series, StageSummary, Summary
from biopose_live.pipeline.stage_table import SINKS, STAGES


class StageState(msgspec.Struct):
    """What the pipeline knows of one stage beyond its times."""

    alive: bool = True
    restarts: int = 0
    received: int = 0
    produced: int = 0
    rss_mb: float = 0.0
    cpu: float = 0.0


class RunMetrics:
    """Feed it with `add`; read it with `health` and `summary`."""

    def __init__(self, session: str, settings: dict[str, Any]) -> None:
        self._session = session
        self._settings = settings
        self._stages = {name: Series() for name in STAGES}
        self._latency = Series()
        self._first: float | None = None
        self._last = 0.0

    def add(self, stage: str, ms: Sequence[float], latency_ms: Sequence[float] = ()) -> None:
        """Processing times of a stage and, from the sinks, capture -> publish times, ms."""
        self._stages[stage].add(ms)
        self._latency.add(latency_ms)
        if stage == SINKS and ms:
            self._last = time.monotonic()
            if self._first is None:
                self._first = self._last

    def health(self, states: Mapping[str, StageState], skipped: int) -> Health:
        """-> the state of the last seconds; `skipped` are frames that capture itself could not take."""
        stages = []
        for name, series in self._stages.items():
            state, recent = states[name], series.window.percentiles()
            stages.append(
                StageHealth(
                    name=name,
                    alive=state.alive,
                    restarts=state.restarts,
                    fps=series.window.rate(),
                    ms_p50=recent.p50,
                    ms_p95=recent.p95,
                    rss_mb=state.rss_mb,
                    cpu=state.cpu,
                )
            )
        captured, processed, dropped = _counts(states, skipped)
        latency = self._latency.window.percentiles()
        return Health(
            session=self._session,
            t=time.monotonic_ns(),
            fps=self._stages[SINKS].window.rate(),
            latency_ms_p50=latency.p50,
            latency_ms_p95=latency.p95,
            captured=captured,
            processed=processed,
            dropped=dropped,
            stages=stages,
        )

    def summary(
        self,
        states: Mapping[str, StageState],
        skipped: int,
        end_reason: str,
        exit_code: int,
        problems: Sequence[str],
    ) -> Summary:
        """-> the whole run."""
        captured, processed, dropped = _counts(states, skipped)
        seconds = self._last - self._first if self._first is not None else 0.0
        stages = {}
        upstream = 0
        for name, series in self._stages.items():
            state = states[name]
            stages[name] = StageSummary(
                ms=series.run.percentiles(),
                received=state.received,
                produced=state.produced,
                lost=max(upstream - state.received, 0),
                restarts=state.restarts,
            )
            upstream = state.produced
        return Summary(
            session=self._session,
            settings=self._settings,
            captured=captured,
            processed=processed,
            dropped=dropped,
            seconds=seconds,
            fps=(processed - 1) / seconds if seconds > 0 and processed > 1 else 0.0,
            latency=self._latency.run.percentiles(),
            stages=stages,
            end_reason=end_reason,
            exit_code=exit_code,
            problems=list(problems),
        )


def _counts(states: Mapping[str, StageState], skipped: int) -> tuple[int, int, int]:
    captured = states[STAGES[0]].produced + skipped
    processed = states[SINKS].produced
    return captured, processed, captured - processed
