"""Running means told frame by frame are those of the whole sequence, and are what they say they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biopose_live.neurik.observation import Observation
from biopose_live.neurik.trends import GAIN, MEMORIES_S, PLACE_GAIN, Trends, trend_features, trends_of

F = 5


def seen(count: int, seed: int) -> Observation:
    """Frames (1, T) of somebody who turns round and round."""
    rng = np.random.default_rng(seed)
    heading = np.mod(np.cumsum(rng.uniform(-0.3, 0.9, (1, count)), 1) + np.pi, 2 * np.pi) - np.pi
    turns = rng.normal(0, 0.3, (1, count, F)).astype(np.float32)
    return Observation(np.zeros((1, count, 7, 3), np.float32), turns, heading, rng.normal(0, 0.1, (1, count, 3)))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.004, 5.0), min_size=1, max_size=30), st.integers(0, 1000))
def test_frame_by_frame_is_the_whole_sequence(steps: list[float], seed: int) -> None:
    times = np.cumsum(steps)
    look = seen(len(times), seed)
    whole = trends_of(times[None], look)[0]
    assert whole.shape == (len(times), trend_features(F))
    track = Trends()
    for n, t in enumerate(times):
        one = track.update(float(t), Observation(*(part[0, n] for part in look)))
        np.testing.assert_allclose(one, whole[n], atol=2e-6)


def test_a_person_who_stands_still_has_no_trend() -> None:
    look = seen(1, 3)
    still = Observation(*(np.repeat(part, 20, axis=1) for part in look))
    np.testing.assert_allclose(trends_of(np.arange(20)[None] / 30, still), 0.0, atol=1e-6)


@pytest.mark.parametrize("number", range(len(MEMORIES_S)))
def test_a_steady_turn_lags_by_the_memory(number: int) -> None:
    """The exponential mean of a ramp lies behind it by the time constant, for steps that are small beside it."""
    times = np.arange(0, 4, 0.001)
    rate = 0.3
    ramp = Observation(
        np.zeros((1, len(times), 7, 3), np.float32),
        np.repeat(np.float32(rate * times)[None, :, None], F, 2),
        np.zeros((1, len(times))),
        np.stack([rate * times, 0 * times, 0 * times], -1)[None],
    )
    last = trends_of(times[None], ramp)[0, -1].reshape(len(MEMORIES_S), F + 4)[number]
    memory = MEMORIES_S[number]
    np.testing.assert_allclose(last[:F], -GAIN * rate * memory, rtol=0.02)
    np.testing.assert_allclose(last[F + 1 :], [-PLACE_GAIN * rate * memory, 0.0, 0.0], rtol=0.02, atol=1e-6)


def test_a_turn_over_the_back_is_a_small_one() -> None:
    heading = np.array([[3.1, -3.1]])
    look = Observation(
        np.zeros((1, 2, 7, 3), np.float32), np.zeros((1, 2, F), np.float32), heading, np.zeros((1, 2, 3))
    )
    told = trends_of(np.array([[0.0, 0.03]]), look)[0, 1].reshape(-1, F + 4)[:, F]
    assert np.abs(told).max() < GAIN * (2 * np.pi - 6.2)
    assert (told < 0).all()
