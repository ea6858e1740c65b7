"""Uniform times for the formats that have no others (.trc, .c3d, .bvh), by interpolation between neighbouring frames.

All people of a recording share one grid, k / rate seconds after its first frame, so that files fit together frame by
frame.  Positions and translations are interpolated linearly, angles along the shorter way, rotations by slerp (Shoemake
1985).  Nothing is invented where frames are missing: between two frames further apart than `gap_limit` the values are
missing (NaN).

Dimensions: T recorded frames, N frames of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biopose_live.rotations import to_matrix, to_vector
from biopose_live.skeleton.model import BoolArray, FloatArray

FALLBACK_RATE = 30.0  # Hz, of a recording of one frame
MAX_GAP_S = 0.2  # up to here a gap is bridged: six frames of 30 Hz
MAX_GAP_STEPS = 2.5  # the same for slow recordings: one missing frame is bridged, whatever the rate
SAME_TIME = 1e-3  # of a step: grid and frame times that differ by less are the same


def uniform_rate(times: FloatArray) -> float:
    """The nominal frame rate (Hz) of rising ``times`` (T,) s, whatever frames were dropped, to three decimals."""
    if len(times) < 2:
        return FALLBACK_RATE
    steps = np.diff(times)
    step = float(np.median(steps))
    whole = np.round(steps / step)
    if (np.abs(steps - whole * step) < 0.2 * step).all() and (whole > 0).all():
        step = float((times[-1] - times[0]) / whole.sum())
    return max(round(1.0 / step, 3), 0.001)


def gap_limit(times: FloatArray) -> float:
    """The longest time (s) between two frames that is bridged."""
    if len(times) < 2:
        return MAX_GAP_S
    return max(MAX_GAP_S, MAX_GAP_STEPS * float(np.median(np.diff(times))))


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the N uniform ``times`` (s) fall: grid frame ``first`` is the first; between recorded frames ``before``
    (N,) and ``after`` (N,), by ``weight`` (N,); ``missing`` (N,) where a gap is too long."""

    rate: float
    first: int
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    weight: FloatArray
    missing: BoolArray

    @property
    def times(self) -> FloatArray:
        """(N,) s since the recording's first frame."""
        return (self.first + np.arange(len(self.weight))) / self.rate

    def linear(self, values: FloatArray) -> FloatArray:
        """``values`` (T, ...) on the grid (N, ...), NaN where missing."""
        weight = self._column(values.ndim)
        result: FloatArray = values[self.before] * (1.0 - weight) + values[self.after] * weight
        result[self.missing] = np.nan
        return result

    def angles(self, values: FloatArray) -> FloatArray:
        """Angles ``values`` (T, ...) rad on the grid, along the shorter way round; NaN where missing."""
        start = values[self.before]
        turn = (values[self.after] - start + np.pi) % (2.0 * np.pi) - np.pi
        result: FloatArray = start + turn * self._column(values.ndim)
        result[self.missing] = np.nan
        return result

    def rotations(self, values: FloatArray) -> FloatArray:
        """Rotations ``values`` (T, ..., 3, 3) on the grid by slerp; NaN where missing."""
        start, end = values[self.before], values[self.after]
        turn = to_vector(np.swapaxes(start, -1, -2) @ end)
        result: FloatArray = start @ to_matrix(turn * self._column(turn.ndim))
        result[self.missing] = np.nan
        return result

    def stretches(self) -> list[slice]:
        """The runs of grid frames without a missing one."""
        edges = np.flatnonzero(np.diff(np.concatenate([[True], self.missing, [True]]).astype(np.int8)))
        return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]

    def _column(self, dimensions: int) -> FloatArray:
        return self.weight.reshape(-1, *(1,) * (dimensions - 1))


def grid(times: FloatArray, rate: float) -> Grid:
    """The grid of ``rate`` (Hz) over the rising ``times`` (T >= 1,) s of one person."""
    first = int(np.ceil(times[0] * rate - SAME_TIME))
    last = max(int(np.floor(times[-1] * rate + SAME_TIME)), first)
    wanted = np.clip(np.arange(first, last + 1) / rate, times[0], times[-1])
    after = np.clip(np.searchsorted(times, wanted), 0, len(times) - 1)
    before = np.maximum(after - 1, 0)
    span = times[after] - times[before]
    weight = np.where(span > 0.0, (wanted - times[before]) / np.where(span > 0.0, span, 1.0), 1.0)
    # A frame that is there is taken as it is, also at the edge of a gap.
    weight = np.where((wanted - times[before]) * rate < SAME_TIME, 0.0, weight)
    weight = np.where((times[after] - wanted) * rate < SAME_TIME, 1.0, weight)
    missing = (span > gap_limit(times)) & (weight > 0.0) & (weight < 1.0)
    return Grid(rate, first, before, after, weight, missing)
