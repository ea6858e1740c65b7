"""Percentiles and rates against NumPy's on the same samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biopose_live.pipeline.metrics import Histogram, Percentiles, Window
from biopose_live.pipeline.run_metrics import RunMetrics, StageState
from biopose_live.pipeline.stage_table import STAGES


@given(st.lists(st.floats(0.002, 5e5), min_size=1, max_size=300))
def test_the_histogram_is_within_one_percent_of_numpy(values: list[float]) -> None:
    histogram = Histogram()
    for start in range(0, len(values), 7):
        histogram.add(values[start : start + 7])
    found = histogram.percentiles()
    expected = np.percentile(values, [50, 95, 99], method="inverted_cdf")
    np.testing.assert_allclose([found.p50, found.p95, found.p99], expected, rtol=0.0051)
    assert found.count == len(values)


def test_extreme_and_no_samples() -> None:
    histogram = Histogram()
    histogram.add([])
    assert histogram.percentiles() == Percentiles()
    histogram.add([-1.0, 0.0, 1e12])
    assert histogram.percentiles().count == 3
    assert histogram.percentiles().p50 < 0.0011


def test_the_window_forgets() -> None:
    window = Window(5.0)
    window.add([100.0], now=0.0)
    for n in range(50):
        window.add([1.0 + n], now=10.0 + n / 10)
    found = window.percentiles(now=14.9)
    assert found.count == 50
    assert found.p50 == np.percentile(np.arange(1.0, 51), 50, method="inverted_cdf")
    assert window.rate(now=14.9) == pytest.approx(10.0)
    assert window.percentiles(now=30.0) == Percentiles()
    assert window.rate(now=30.0) == 0.0


def test_a_rate_falls_when_nothing_comes_any_more() -> None:
    window = Window(5.0)
    for n in range(11):
        window.add([1.0], now=n / 10)
    assert window.rate(now=1.0) == pytest.approx(10.0)
    assert window.rate(now=4.0) == pytest.approx(2.5)


def test_every_frame_is_accounted_for_in_the_summary() -> None:
    metrics = RunMetrics("s", {"demo": True})
    produced = dict(zip(STAGES, (90, 80, 80, 70, 69), strict=True))
    received = dict(zip(STAGES, (0, 82, 80, 75, 69), strict=True))
    states = {name: StageState(received=received[name], produced=produced[name], restarts=1) for name in STAGES}
    metrics.add("sinks", [1.0], [20.0])
    summary = metrics.summary(states, 10, "end of stream", 0, ["The disk is full."])
    assert (summary.captured, summary.processed, summary.dropped) == (100, 69, 31)
    assert [summary.stages[name].lost for name in STAGES] == [0, 8, 0, 5, 1]
    assert summary.latency.count == 1
    health = metrics.health(states, 10)
    assert (health.captured, health.processed, health.dropped) == (100, 69, 31)
    assert [stage.name for stage in health.stages] == list(STAGES)
