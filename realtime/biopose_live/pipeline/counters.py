"""Each stage's counts, kept in the ring's shared memory so that they outlive a killed process.

One writer per row (the stage's process), any number of readers; every field is one aligned 64-bit word.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

WORDS = 8  # per row: one cache line, so that two processes never write the same line


def _word(index: int) -> property:
    def read(self: StageCounters) -> int:
        return int(self._table.rows[self._row, index])

    def write(self: StageCounters, value: int) -> None:
        self._table.rows[self._row, index] = value

    return property(read, write)


class CounterTable(Protocol):
    """Whoever holds the rows: the frame ring."""

    rows: NDArray[np.int64]


class StageCounters:
    """A view of one row.

    `received` counts messages taken from the link, `produced` those meant for the next link (sent or not), `finished`
    those whose processing ended without an error; `last_in` and `last_out` are seq numbers (-1: none yet);
    `busy_since` is the monotonic time (ns) at which the present message was taken up, 0 when idle.
    """

    received = _word(0)
    produced = _word(1)
    last_in = _word(2)
    last_out = _word(3)
    busy_since = _word(4)
    finished = _word(5)

    def __init__(self, table: CounterTable, row: int) -> None:
        self._table = table
        self._row = row

    def reset(self) -> None:
        self._table.rows[self._row] = 0
        self.last_in = self.last_out = -1
