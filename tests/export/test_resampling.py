"""The uniform grid: SciPy's interpolation is the oracle; nothing appears in gaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import interp1d
from scipy.spatial.transform import Rotation, Slerp

from biopose_live.export.resampling import gap_limit, grid, uniform_rate


@pytest.mark.parametrize("rate", [23.976, 25.0, 29.97, 30.0, 59.94, 120.0, 2.0])
def test_the_rate_is_found_through_dropped_frames_and_rounding(rate: float) -> None:
    rng = np.random.default_rng(3)
    frames = np.flatnonzero(rng.random(400) < 0.8)
    assert uniform_rate(np.round(frames / rate, 3 if rate < 100 else 6)) == pytest.approx(rate, rel=2e-4)


def test_a_rate_of_jittery_times_is_their_median() -> None:
    times = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.06, 500))
    assert uniform_rate(times) == pytest.approx(1.0 / np.median(np.diff(times)), abs=1e-3)


def test_frames_on_the_grid_come_through_unchanged() -> None:
    times = np.arange(7, 40) / 30.0
    values = np.random.default_rng(0).normal(size=(33, 4, 3))
    uniform = grid(times, uniform_rate(times))
    assert uniform.first == 7
    np.testing.assert_array_equal(uniform.linear(values), values)
    np.testing.assert_allclose(uniform.times, times, atol=1e-12)


def test_values_between_frames_are_scipys() -> None:
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.02, 0.06, 60))
    values = rng.normal(size=(60, 5))
    turns = Rotation.random(60, rng=rng)
    uniform = grid(times, 25.0)
    assert not uniform.missing.any()
    assert uniform.times[0] >= times[0]
    assert uniform.times[-1] <= times[-1]
    np.testing.assert_allclose(uniform.linear(values), interp1d(times, values, axis=0)(uniform.times), atol=1e-12)
    expected = Slerp(times, turns)(uniform.times).as_matrix()
    np.testing.assert_allclose(uniform.rotations(turns.as_matrix()), expected, atol=1e-9)


def test_angles_go_the_shorter_way() -> None:
    times = np.array([0.0, 0.1])
    found = grid(times, 20.0).angles(np.radians([[170.0], [-170.0]]))
    np.testing.assert_allclose(np.degrees(found[:, 0]) % 360.0, [170.0, 180.0, 190.0], atol=1e-9)


def test_nothing_is_invented_in_a_gap() -> None:
    times = np.concatenate([np.arange(10), np.arange(30, 40)]) / 30.0
    uniform = grid(times, 30.0)
    assert uniform.missing.sum() == 20
    assert uniform.stretches() == [slice(0, 10), slice(30, 40)]
    values = np.ones((20, 2))
    assert np.isnan(uniform.linear(values)[10:30]).all()
    assert np.isfinite(uniform.linear(values)[:10]).all()
    assert np.isnan(uniform.rotations(np.tile(np.eye(3), (20, 1, 1)))[10:30]).all()


def test_short_gaps_and_slow_recordings_are_bridged() -> None:
    assert not grid(np.array([0.0, 1.0, 7.0]) / 30.0, 30.0).missing.any()  # 0.2 s
    slow = np.array([0.0, 1.0, 3.0, 4.0, 5.0])  # 1 Hz, one frame missing
    assert gap_limit(slow) == 2.5
    assert not grid(slow, 1.0).missing.any()
    assert grid(np.array([0.0, 1.0, 2.0, 5.0]), 1.0).missing.sum() == 2


def test_one_frame_is_a_grid_of_one() -> None:
    uniform = grid(np.array([0.51]), 30.0)
    np.testing.assert_array_equal(uniform.linear(np.array([[4.0]])), [[4.0]])
    assert uniform.stretches() == [slice(0, 1)]


@given(
    st.lists(st.floats(1e-3, 3.0), min_size=0, max_size=30),
    st.floats(0.0, 100.0),
    st.floats(0.5, 240.0),
)
def test_any_times_give_a_grid_between_neighbours(steps: list[float], start: float, rate: float) -> None:
    times = np.cumsum([start, *steps])
    uniform = grid(times, rate)
    assert (uniform.weight >= 0.0).all()
    assert (uniform.weight <= 1.0).all()
    found = uniform.linear(times)
    present = ~uniform.missing
    assert np.isnan(found[uniform.missing]).all()
    if len(times) > 1 and times[-1] - times[0] > 1.0 / rate:
        np.testing.assert_allclose(found[present], uniform.times[present], atol=2e-3 / rate + 1e-9)
    assert sum(part.stop - part.start for part in uniform.stretches()) == present.sum()
