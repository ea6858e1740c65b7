"""Exact minimum-cost assignment for a handful of people (the Hungarian method by shortest augmenting paths, O(n^3))."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def assign(cost: NDArray[np.float64], unmatched: float) -> list[tuple[int, int]]:
    """-> [(row, column)] of least total cost, where a row or column may stay alone; sorted by row.

    cost (R, C), finite; a pair is made only when it costs less than `unmatched`.
    """
    rows, columns = cost.shape
    if not rows or not columns:
        return []
    # One dummy column per row carries the price of staying alone.
    padded = np.concatenate([np.minimum(cost, unmatched), np.full((rows, rows), unmatched)], axis=1)
    total = columns + rows
    row_price = np.zeros(rows)
    column_price = np.zeros(total)
    owner = np.full(total, -1)  # which row has the column
    for start in range(rows):
        distance = np.full(total, np.inf)
        came_from = np.full(total, -1)  # the column before on the cheapest path
        done = np.zeros(total, bool)
        row, column = start, -1
        reached = 0.0
        while True:
            reduced = reached + padded[row] - row_price[row] - column_price
            better = ~done & (reduced < distance)
            distance[better] = reduced[better]
            came_from[better] = column
            column = int(np.where(done, np.inf, distance).argmin())
            reached = float(distance[column])
            done[column] = True
            if owner[column] < 0:
                break
            row = int(owner[column])
        for seen in np.flatnonzero(done):
            if owner[seen] >= 0:
                row_price[owner[seen]] += reached - distance[seen]
            column_price[seen] -= reached - distance[seen]
        row_price[start] += reached
        while column >= 0:
            before = int(came_from[column])
            owner[column] = owner[before] if before >= 0 else start
            column = before
    pairs = ((int(owner[c]), c) for c in range(columns) if owner[c] >= 0)
    return sorted((r, c) for r, c in pairs if cost[r, c] < unmatched)
