"""Raw, offset-free and best-lag errors of angles whose errors are put in by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import interp1d

from biopose_live.evaluation.angle_errors import LARGEST_LAG, angle_errors, best_lag, offset_free

TRUE_TIME = np.arange(0.0, 5.0, 0.01)


def swing(time: np.ndarray) -> np.ndarray:
    return np.stack([30.0 + 25.0 * np.sin(2.1 * time), 60.0 * np.sin(0.7 * time + 1.0) ** 2], 1)


TRUTH = swing(TRUE_TIME)
TIME = np.arange(20, 250) / 60.0


def test_a_constant_offset_is_raw_error_only() -> None:
    errors = angle_errors(TIME, swing(TIME) + np.array([10.0, -4.0]), TRUE_TIME, TRUTH)
    np.testing.assert_allclose(errors.raw, [10.0, 4.0], atol=0.01)
    assert errors.offset_free.max() < 0.01
    assert errors.lag == 0
    assert errors.frames == len(TIME)


@pytest.mark.parametrize("late", [-LARGEST_LAG, -2, 0, 3, LARGEST_LAG])
def test_the_lag_is_found_and_positive_when_late(late: int) -> None:
    errors = angle_errors(TIME, swing(TIME - late / 60.0) + 7.0, TRUE_TIME, TRUTH)
    assert errors.lag == late
    assert errors.at_best_lag.max() < 0.01
    assert late == 0 or errors.offset_free.min() > 0.1


def test_a_lag_beyond_the_limit_is_not_looked_for() -> None:
    assert angle_errors(TIME, swing(TIME - 10 / 60.0), TRUE_TIME, TRUTH).lag == LARGEST_LAG


def test_of_equal_lags_the_lowest_is_taken() -> None:
    assert best_lag(lambda lag: np.zeros((3, 1)), 2) == -2


def test_offset_free_takes_the_median_off() -> None:
    assert offset_free(np.array([[1.0], [1.0], [1.0], [9.0]])).tolist() == [2.0]


def test_frames_outside_the_truth_do_not_count() -> None:
    time = np.arange(-30, 360) / 60.0
    guess = np.where(((time < 0) | (time > TRUE_TIME[-1]))[:, None], 1e6, swing(time))
    errors = angle_errors(time, guess, TRUE_TIME, TRUTH)
    assert errors.raw.max() < 0.01
    assert errors.frames == ((time >= 0) & (time <= TRUE_TIME[-1])).sum()
    with pytest.raises(ValueError, match="no frame lies"):
        angle_errors(time + 100.0, guess, TRUE_TIME, TRUTH)


def test_truth_is_interpolated_linearly() -> None:
    coarse = np.array([0.0, 1.0, 2.5, 4.0])
    guess = np.zeros((len(TIME), 2))
    errors = angle_errors(TIME, guess, coarse, swing(coarse))
    expected = np.abs(interp1d(coarse, swing(coarse), axis=0)(TIME[TIME <= 4.0])).mean(0)
    np.testing.assert_allclose(errors.raw, expected)
