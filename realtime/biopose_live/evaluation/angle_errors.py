"""How far angles over time are from true ones: mean absolute error raw, without the offset, and at the best lag.

The zero of a joint angle depends on how a skeleton's axes are placed, by up to tens of degrees, so gait studies report
errors after the constant part is removed (offset-free: each angle's median error is subtracted).  Video and motion
capture are synchronised only to a few frames: the last figure is the offset-free mean at the one shift of all angles
together that makes it smallest.  A causal system whose best lag is positive is late.

Dimension letters: F frames, A angles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FRAME_RATE = 60.0  # Hz: what a lag is counted in
LARGEST_LAG = 6  # frames, each way


@dataclass(frozen=True, slots=True)
class AngleErrors:
    """Mean absolute errors of one clip, degrees."""

    raw: Floats  # (A,)
    offset_free: Floats  # (A,)
    at_best_lag: Floats  # (A,) offset-free
    lag: int  # frames; positive: the prediction is late
    frames: int  # that were compared


def mean_absolute(errors: Floats) -> Floats:
    """(F, A) -> (A,)."""
    return np.abs(errors).mean(0)


def offset_free(errors: Floats) -> Floats:
    """-> (A,) mean absolute deviation of (F, A) errors from their median over the clip."""
    return np.abs(errors - np.median(errors, axis=0)).mean(0)


def best_lag(errors_at: Callable[[int], Floats], largest: int = LARGEST_LAG) -> int:
    """-> the lag within +-largest whose (F, A) errors have the smallest offset-free mean; the lowest of equals."""
    return min(range(-largest, largest + 1), key=lambda lag: float(offset_free(errors_at(lag)).mean()))


def angle_errors(
    time: Floats, angles: Floats, true_time: Floats, true_angles: Floats, rate: float = FRAME_RATE
) -> AngleErrors:
    """Compares (F, A) angles at `time` (F,) s with true ones at their own times (F',) s, linearly interpolated.

    Only the frames inside the truth's time span count.  Raises ValueError when there are none.
    """

    def errors_at(lag: int) -> Floats:
        t = time - lag / rate
        inside = (t >= true_time[0]) & (t <= true_time[-1])
        if not inside.any():
            raise ValueError(
                f"no frame lies in the truth's {true_time[0]:g} to {true_time[-1]:g} s: "
                f"the frames go from {t[0]:g} to {t[-1]:g} s"
            )
        truth = [np.interp(t[inside], true_time, column) for column in true_angles.T]
        return angles[inside] - np.stack(truth, 1)

    now = errors_at(0)
    lag = best_lag(errors_at)
    return AngleErrors(mean_absolute(now), offset_free(now), offset_free(errors_at(lag)), lag, len(now))
