"""The pair of clock readings."""

from __future__ import annotations

import time

from biopose_live.pipeline.clock import read_clocks


def test_both_clocks_are_read_at_the_same_moment() -> None:
    before, wall_before = time.monotonic_ns(), time.time_ns()
    pair = read_clocks()
    after, wall_after = time.monotonic_ns(), time.time_ns()
    assert before <= pair.monotonic_ns <= after
    assert wall_before - 1_000_000 <= pair.wall_ns <= wall_after + 1_000_000
