"""Reconnection: a scripted camera that fails in every way that cameras do."""

from __future__ import annotations

import errno
import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from biopose_live.capture.live import FIRST_FRAME_S, LONGEST_PAUSE_S, LiveSource, SourceStuck
from biopose_live.capture.source import Captured
from biopose_live.errors import UserError
from biopose_live.stages import EndOfStream

STALL_S = 3.0


def live(camera: Any, clock: Any, resumed: bool = False) -> LiveSource:
    return LiveSource(
        "the camera",
        camera.connect,
        lambda error: UserError(f"The sentence for {error}."),
        stall_s=STALL_S,
        resumed=resumed,
        clock=clock,
    )


def until(condition: Callable[[], object]) -> None:
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.002)
    pytest.fail("it never happened")


def next_frame(source: LiveSource, clock: Any, step_s: float = 0.0) -> Captured:
    for _ in range(2000):
        if (frame := source.read(0.005)) is not None:
            return frame
        clock.advance(step_s)
    pytest.fail("no frame came")


def test_unplugged_and_back(scripted: Any, clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    unplug = OSError(errno.ENODEV, "No such device")
    camera = scripted([0, "gate", unplug], unplug, unplug, [0, "block"])
    source = live(camera, clock)
    with caplog.at_level(logging.INFO):
        first = next_frame(source, clock)
        camera.open_gate()
        second = next_frame(source, clock, step_s=0.05)
    assert (first.index, second.index) == (0, 1)
    assert second.t_capture > first.t_capture
    assert camera.opened == 4
    assert camera.closed == 1  # by its own thread; the fourth is still open
    assert caplog.text.count("is lost (No such device)") == 3
    assert "is back after" in caplog.text
    source.close()


def test_silent_for_ever_and_back(scripted: Any, clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    camera = scripted([0, "block"], [0, "block"])
    source = live(camera, clock)
    next_frame(source, clock)
    clock.advance(STALL_S - 0.1)
    assert source.read(0.01) is None
    assert camera.opened == 1
    clock.advance(0.2)
    with caplog.at_level(logging.INFO):
        next_frame(source, clock, step_s=0.1)
    assert camera.opened == 2
    assert "no frame for 3 s" in caplog.text
    source.close()


def test_gone_for_good_is_tried_for_ever_with_growing_pauses(scripted: Any, clock: Any) -> None:
    camera = scripted([0, OSError(errno.ENODEV, "No such device")])
    source = live(camera, clock)
    next_frame(source, clock)
    attempts: list[float] = []
    while len(attempts) < 9:
        before = camera.opened
        reader = source._reader
        if reader is not None:
            until(lambda reader=reader: reader.ended)
        assert source.read(0) is None
        if camera.opened > before:
            attempts.append(clock.now / 1e9)
        clock.advance(0.1)
    pauses = [b - a for a, b in itertools.pairwise(attempts)]
    assert pauses == pytest.approx([1, 2, 4, 8, 8, 8, 8, 8], abs=0.35)
    assert max(pauses) <= LONGEST_PAUSE_S + 0.35
    source.close()


def test_dropped_frames_are_counted_across_a_reconnection(scripted: Any, clock: Any) -> None:
    camera = scripted([0, 1, 2, 3, 4, "gate", OSError(errno.ENODEV, "gone")], [0, 1, 2, "block"])
    source = live(camera, clock)
    until(lambda: source._reader and source._reader.frames == 5)
    frame = next_frame(source, clock)
    assert (frame.index, frame.dropped) == (4, 4)
    camera.open_gate()
    until(lambda: source._reader and source._reader.ended)
    while camera.opened < 2:
        source.read(0)
        clock.advance(0.1)
    until(lambda: source._reader and source._reader.frames == 3)
    frame = next_frame(source, clock)
    assert (frame.index, frame.dropped) == (7, 6)
    source.close()


def test_a_first_failure_is_the_users_to_mend(scripted: Any, clock: Any) -> None:
    source = live(scripted(OSError(errno.EBUSY, "busy")), clock)
    with pytest.raises(UserError, match=r"The sentence for .*busy"):
        next_frame(source, clock)
    source.close()


def test_no_first_frame_is_the_users_to_mend(scripted: Any, clock: Any) -> None:
    source = live(scripted("block"), clock)
    assert source.read(0.01) is None
    clock.advance(FIRST_FRAME_S + 0.1)
    with pytest.raises(UserError, match="The sentence for None"):
        source.read(0.01)
    source.close()


def test_a_restarted_stage_waits_for_an_absent_camera(scripted: Any, clock: Any) -> None:
    camera = scripted(OSError(errno.ENOENT, "No such file"), OSError(errno.ENOENT, "No such file"), [0, "block"])
    source = live(camera, clock, resumed=True)
    assert next_frame(source, clock, step_s=0.1).index == 0
    source.close()


@pytest.mark.parametrize("script", ["block", [0, "block"]])
def test_close_does_not_wait_for_a_blocked_driver(scripted: Any, clock: Any, script: Any) -> None:
    camera = scripted(script)
    source = live(camera, clock)
    if script != "block":
        next_frame(source, clock)
    closer = threading.Thread(target=source.close)
    closer.start()
    closer.join(timeout=5)
    assert not closer.is_alive()
    assert not camera.released.is_set()
    with pytest.raises(EndOfStream):
        source.read(0)


def test_the_blocked_thread_closes_its_camera_when_it_wakes(scripted: Any, clock: Any) -> None:
    camera = scripted([0, "block"])
    source = live(camera, clock)
    next_frame(source, clock)
    source.close()
    assert camera.closed == 0
    camera.released.set()
    until(lambda: camera.closed == 1)


def test_a_driver_that_keeps_its_hold_asks_for_a_new_process(scripted: Any, clock: Any) -> None:
    camera = scripted([0, "block"], OSError(errno.EBUSY, "busy"))
    source = live(camera, clock)
    next_frame(source, clock)
    with pytest.raises(SourceStuck):
        next_frame(source, clock, step_s=0.5)
    source.close()


def test_threads_in_a_dead_driver_do_not_pile_up(scripted: Any, clock: Any) -> None:
    camera = scripted([0, "block"], *["block"] * 20)
    source = live(camera, clock)
    next_frame(source, clock)
    with pytest.raises(SourceStuck):
        next_frame(source, clock, step_s=1.0)
    assert camera.opened == 4
    source.close()


def test_a_programming_error_is_not_retried(scripted: Any, clock: Any) -> None:
    camera = scripted([0, "gate", ZeroDivisionError("a bug")])
    source = live(camera, clock)
    next_frame(source, clock)
    camera.open_gate()
    with pytest.raises(ZeroDivisionError):
        next_frame(source, clock)
    source.close()
