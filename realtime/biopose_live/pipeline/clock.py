"""Both clocks read at one moment, so that monotonic capture times can be turned into wall time later."""

from __future__ import annotations

import time

from biopose_client.schema import Clock

TRIES = 5


def read_clocks() -> Clock:
    """-> monotonic and wall time, ns, of the same moment (to within the shortest of a few readings)."""
    best: Clock | None = None
    shortest = 0
    for _ in range(TRIES):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if best is None or after - before < shortest:
            shortest = after - before
            best = Clock((before + after) // 2, wall)
    assert best is not None
    return best
