"""The figures of one live run and how they are made from what was seen of it.

All times are milliseconds unless a name says otherwise; `at` and `t_...` are `time.monotonic_ns()` of one machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import msgspec
import numpy as np

from biopose_client.schema import Health, Pose

FEWEST_FRAMES = 30  # below this the percentiles mean nothing


class Percentiles(msgspec.Struct):
    """Of `count` samples, ms."""

    p50: float
    p95: float
    p99: float
    count: int


class Figures(msgspec.Struct):
    """One system on one run, its first seconds left out; `dropped` frames were captured and not processed.

    `latency` is capture -> published (for MediaPipe alone: capture -> result in hand), `received` capture -> in the
    subscriber's hands.  `stages` are processing times, `waiting` is the latency that no stage accounts for.  `cpu` is
    the share of one core and `memory_mb` the resident set, per process.
    """

    seconds: float
    fps: float
    processed: int
    dropped: int
    with_person: int
    latency: Percentiles
    received: Percentiles | None
    stages: dict[str, Percentiles]
    waiting: Percentiles | None
    cpu: dict[str, float]
    memory_mb: dict[str, float]
    startup_s: float


class Result(msgspec.Struct):
    """One system: the medians over its runs, and the runs."""

    system: str
    detector: str
    median: Figures
    runs: list[Figures]


class Sample(msgspec.Struct):
    """One finished frame: its capture number and times (ns), and the ms each stage spent on it."""

    seq: int
    t_capture: int
    t_done: int
    at: int
    stages: dict[str, float]
    person: bool


def percentiles(values: Sequence[float]) -> Percentiles:
    """-> of at least one value, ms."""
    p50, p95, p99 = np.percentile(values, [50, 95, 99], method="inverted_cdf")
    return Percentiles(float(p50), float(p95), float(p99), len(values))


def sample_of(pose: Pose, at: int) -> Sample:
    """-> what a received pose tells, received at `at`."""
    return Sample(pose.seq, pose.t_capture, pose.t_publish, at, pose.stages, bool(pose.people))


def figures(
    samples: Sequence[Sample],
    healths: Sequence[Health],
    parent: Mapping[str, tuple[float, float]],
    startup_s: float,
    subscribed: bool = True,
) -> Figures:
    """-> figures of the frames inside the window; `parent` maps further processes to (share of a core, MB).

    Raises ValueError when there are fewer than FEWEST_FRAMES samples.
    """
    if len(samples) < FEWEST_FRAMES:
        raise ValueError(f"only {len(samples)} frames were processed, {FEWEST_FRAMES} are needed")
    first, last = samples[0], samples[-1]
    seconds = (last.t_done - first.t_done) * 1e-9
    latency = [(s.t_done - s.t_capture) * 1e-6 for s in samples]
    stages: dict[str, list[float]] = {}
    for sample in samples:
        for name, ms in sample.stages.items():
            stages.setdefault(name, []).append(ms)
    spent = [sum(s.stages.values()) for s in samples]
    cpu = {name: share for name, (share, _) in parent.items()}
    memory = {name: mb for name, (_, mb) in parent.items()}
    for index in range(len(healths[0].stages) if healths else 0):
        rows = [health.stages[index] for health in healths]
        cpu[rows[0].name] = median(row.cpu for row in rows)
        memory[rows[0].name] = median(row.rss_mb for row in rows)
    return Figures(
        seconds=seconds,
        fps=(len(samples) - 1) / seconds,
        processed=len(samples),
        dropped=last.seq - first.seq + 1 - len(samples),
        with_person=sum(s.person for s in samples),
        latency=percentiles(latency),
        received=percentiles([(s.at - s.t_capture) * 1e-6 for s in samples]) if subscribed else None,
        stages={name: percentiles(values) for name, values in stages.items()},
        waiting=percentiles([a - b for a, b in zip(latency, spent, strict=True)]) if stages else None,
        cpu=cpu,
        memory_mb=memory,
        startup_s=startup_s,
    )


def medians(runs: Sequence[Figures]) -> Figures:
    """-> each figure's median over runs of the same system; counts are rounded."""
    return msgspec.convert(_median([msgspec.to_builtins(run) for run in runs]), Figures)


def _median(values: list[Any]) -> Any:
    first = values[0]
    if isinstance(first, dict):
        return {key: _median([value[key] for value in values]) for key in first}
    if first is None:
        return None
    middle = median(values)
    return round(middle) if isinstance(first, int) else middle
