"""Capture times from presentation timestamps."""

from __future__ import annotations

import itertools
from fractions import Fraction
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from biopose_live.capture.timeline import ArrivalClock, MediaTimeline

MS = 1_000_000
BASE = Fraction(1, 1000)


def frame(pts: int | None, dts: int | None = None) -> SimpleNamespace:
    return SimpleNamespace(pts=pts, dts=dts, time_base=BASE)


def times(stamps: list[int | None], interval_ms: int = 40) -> list[float]:
    timeline = MediaTimeline(BASE, interval_ms * MS)
    return [timeline.advance(frame(s)) / MS for s in stamps]


def test_sound_timestamps_come_out_unchanged() -> None:
    assert times([7000, 7033, 7067, 7500, 12000]) == [0, 33, 67, 500, 5000]


@given(st.lists(st.integers(1, 9000), max_size=30), st.integers(-(10**9), 10**9), st.integers(1, 90_000))
def test_differences_are_those_of_the_pts(steps: list[int], first: int, ticks_per_s: int) -> None:
    base = Fraction(1, max(ticks_per_s, 900))
    timeline = MediaTimeline(base, 33 * MS)
    pts = first
    assert timeline.advance(SimpleNamespace(pts=pts, dts=None, time_base=base)) == 0
    for step in steps:
        pts += step
        got = timeline.advance(SimpleNamespace(pts=pts, dts=None, time_base=base))
        assert abs(got - (pts - first) * base * 10**9) <= 1
    assert timeline.repaired == 0


def test_missing_timestamps_are_one_interval_apart() -> None:
    assert times([None, None, None]) == [0, 40, 80]
    assert times([0, None, 80, 120]) == [0, 40, 80, 120]
    assert times([None, 1000, 1040]) == [0, 40, 80]


def test_the_decoding_timestamp_stands_in_for_a_missing_one() -> None:
    timeline = MediaTimeline(BASE, 40 * MS)
    assert [timeline.advance(frame(None, dts)) // MS for dts in (10, 30, 90)] == [0, 20, 80]


def test_one_wrong_timestamp_does_not_shift_the_rest() -> None:
    assert times([0, 40, 40, 120]) == [0, 40, 60, 120]
    assert times([0, 40, 20, 120]) == [0, 40, 60, 120]


def test_a_new_count_goes_on_where_the_old_one_ended() -> None:
    assert times([0, 40, 80, 0, 40, 80]) == [0, 40, 80, 100, 140, 180]


def test_a_leap_of_hours_is_no_pause() -> None:
    assert times([0, 40, 8_000_000, 8_000_040]) == [0, 40, 80, 120]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**40), 2**40)), min_size=2, max_size=40))
def test_time_always_advances_and_never_leaps(stamps: list[int | None]) -> None:
    got = times(stamps)
    steps = [b - a for a, b in itertools.pairwise(got)]
    assert all(0 < step <= 10_000 for step in steps)


def test_a_drivers_monotonic_stamp_is_the_capture_time() -> None:
    clock = ArrivalClock(BASE, driver_clock=True)
    assert clock.capture_time(frame(5000), 5030 * MS) == 5000 * MS
    assert clock.capture_time(frame(5033), 5090 * MS) == 5033 * MS


def test_a_stamp_of_another_clock_only_tells_the_spacing() -> None:
    clock = ArrivalClock(BASE, driver_clock=True)
    arrivals = [50_000, 50_070, 50_080, 50_125]  # 33 ms apart at the camera, jitter on the way
    got = [clock.capture_time(frame(p), a * MS) // MS for p, a in zip([100, 133, 166, 199], arrivals, strict=True)]
    assert got == [50_000, 50_033, 50_066, 50_099]


def test_an_earlier_arrival_corrects_the_offset_and_time_never_goes_back() -> None:
    clock = ArrivalClock(BASE)
    assert clock.capture_time(frame(0), 1000 * MS) == 1000 * MS
    assert clock.capture_time(frame(33), 1001 * MS) == 1001 * MS  # the first one had been 32 ms late
    assert clock.capture_time(frame(66), 1040 * MS) == 1034 * MS


def test_a_new_count_of_the_sender_starts_a_new_offset() -> None:
    clock = ArrivalClock(BASE)
    clock.capture_time(frame(90_000), 1000 * MS)
    assert clock.capture_time(frame(0), 1500 * MS) == 1500 * MS


@given(
    st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 10**7)), st.integers(0, 300)), max_size=50), st.booleans()
)
def test_capture_is_never_after_arrival(frames: list[tuple[int | None, int]], driver: bool) -> None:
    clock, arrival, last = ArrivalClock(BASE, driver_clock=driver), 10**12, 0
    for stamp, step in frames:
        arrival += step * MS + 1
        got = clock.capture_time(frame(stamp), arrival)
        assert last < got <= arrival
        last = got
