"""How a frame compares with the moments before it: what a causal linear filter would need to see.

For each of some memories (time constants) the mean of the past, forgotten exponentially, less the present: of how the
segments are turned, of the heading and of the place.  From them one linear layer can smooth, or follow without lag; the
transformer has that to start from.  Time counts in seconds, so any frame rate and any gap give the same means.

Letters: T frames, F turn features, R memories.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from biopose_live.neurik.observation import Observation, about_y

Floats = NDArray[np.floating]

MEMORIES_S = (0.06, 0.15, 0.4)
GAIN = 5.0  # differences are small beside the turns themselves
PLACE_GAIN = 10.0  # per m


def trend_features(turns: int) -> int:
    """-> how many trends there are for that many turn features."""
    return len(MEMORIES_S) * (turns + 4)


class Trends:
    """One person's running means. `update` once per frame, in order of time."""

    def __init__(self) -> None:
        self._t = -math.inf
        self._weight = np.zeros(len(MEMORIES_S))
        self._sums = np.zeros((len(MEMORIES_S), 0))
        self._heading = 0.0

    def update(self, t: float, seen: Observation) -> NDArray[np.float32]:
        """One frame at `t` s -> (R (F + 4),)."""
        self._heading = _nearest(float(seen.heading), self._heading) if self._weight[0] else float(seen.heading)
        now = np.concatenate([seen.turns.astype(np.float64), [self._heading], seen.origin])
        if not self._weight[0]:
            self._sums = np.zeros((len(MEMORIES_S), len(now)))
        keep = np.exp(-(t - self._t) / np.array(MEMORIES_S))
        self._weight = keep * self._weight + 1.0
        self._sums = keep[:, None] * self._sums + now
        self._t = t
        return _told(self._sums / self._weight[:, None] - now, seen.heading)


def trends_of(times: Floats, seen: Observation) -> NDArray[np.float32]:
    """times (N, T) s, rising, and the observation of every frame -> (N, T, R (F + 4)): what `Trends` says of each."""
    heading = np.unwrap(seen.heading, axis=-1)
    now = np.concatenate([seen.turns, heading[..., None], seen.origin], -1).astype(np.float64)
    weight = np.zeros((len(times), len(MEMORIES_S)))
    sums = np.zeros((len(times), len(MEMORIES_S), now.shape[-1]))
    out = np.empty((*times.shape, trend_features(seen.turns.shape[-1])), np.float32)
    for n in range(times.shape[1]):
        step = times[:, n] - times[:, n - 1] if n else np.full(len(times), np.inf)
        keep = np.exp(-step[:, None] / np.array(MEMORIES_S))
        weight = keep * weight + 1.0
        sums = keep[..., None] * sums + now[:, None, n]
        out[:, n] = _told(sums / weight[..., None] - now[:, None, n], seen.heading[:, n])
    return out


def _told(difference: Floats, heading: Floats) -> NDArray[np.float32]:
    """(..., R, F + 4) -> (..., R (F + 4)), places seen from the person's frame."""
    place = difference[..., -3:] @ about_y(np.asarray(heading))
    told = np.concatenate([GAIN * difference[..., :-3], PLACE_GAIN * place], -1)
    result: NDArray[np.float32] = np.clip(told, -4.0, 4.0).reshape(*difference.shape[:-2], -1).astype(np.float32)
    return result


def _nearest(angle: float, last: float) -> float:
    return angle + 2.0 * math.pi * round((last - angle) / (2.0 * math.pi))
