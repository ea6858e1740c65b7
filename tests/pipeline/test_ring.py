"""The frame ring: what readers may see while another process writes, and who owns the segment."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biopose_live.messages import FrameRef
from biopose_live.pipeline.ring import FrameRing, LocalFrames

WRITER = """
import sys, time
import numpy as np
from biopose_live.pipeline.ring import FrameRing
ring = FrameRing.attach(sys.argv[1])
row = ring.counters(0)
end = time.monotonic() + float(sys.argv[2])
seq = 0
while time.monotonic() < end:
    row.last_in = seq  # about to be written
    row.last_out = ring.write(seq, 1 + seq, np.full((480, 640, 3), seq % 251, np.uint8), 0).seq
    seq += 1
    if seq % 16 == 0:
        time.sleep(0.002)
ring.close()
"""


@pytest.fixture
def ring() -> Iterator[FrameRing]:
    made = FrameRing.create(f"bptest_{uuid.uuid4().hex[:8]}", slots=3, capacity=640 * 480 * 3)
    yield made
    made.close()


def frame(value: int, width: int = 8, height: int = 6) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_no_reader_ever_sees_a_torn_frame(ring: FrameRing) -> None:
    row = ring.counters(0)
    with subprocess.Popen([sys.executable, "-c", WRITER, ring.name, "1.5"]) as writer:
        tried = whole = lost = 0
        while writer.poll() is None:
            # In turn: the frame that is being overwritten at this moment, and the two that are next.
            seq = row.last_in - ring.slots + tried % 3
            tried += 1
            if seq < 0:
                time.sleep(0.001)
                continue
            # The n-th turn of a slot has generation 2n.
            ref = FrameRef(seq, 1 + seq, 640, 480, seq % ring.slots, 2 * (seq // ring.slots + 1))
            pixels = ring.pixels(ref)
            if pixels is None:
                lost += 1
                continue
            whole += 1
            assert (pixels == seq % 251).all()
    assert writer.returncode == 0
    assert whole > 0
    assert lost > 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    writes=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 9), st.integers(0, 255)), min_size=1, max_size=12),
    slots=st.integers(1, 5),
)
def test_the_newest_frames_are_readable_and_older_ones_are_lost(writes: list[tuple[int, int, int]], slots: int) -> None:
    shared = FrameRing.create(f"bptest_{uuid.uuid4().hex[:8]}", slots=slots, capacity=12 * 9 * 3)
    reader = FrameRing.attach(shared.name)
    local = LocalFrames(slots)
    try:
        refs = []
        for seq, (width, height, value) in enumerate(writes):
            pixels = frame(value, width, height)
            ref = shared.write(seq, 1000 + seq, pixels, 0)
            assert ref == local.write(seq, 1000 + seq, pixels, 0)
            refs.append((ref, pixels))
        for age, (ref, pixels) in enumerate(reversed(refs)):
            for store in (reader, local):
                found = store.pixels(ref)
                if age < slots:
                    np.testing.assert_array_equal(found, pixels)
                else:
                    assert found is None
    finally:
        reader.close()
        shared.close()


def test_a_process_that_attaches_and_exits_leaves_the_segment(ring: FrameRing) -> None:
    ref = ring.write(0, 1, frame(7), 0)
    code = "import sys; from biopose_live.pipeline.ring import FrameRing; FrameRing.attach(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, ring.name], capture_output=True, text=True, check=True)
    assert "resource_tracker" not in done.stderr
    time.sleep(0.2)  # the tracker of that process, if there were one, would act now
    late = FrameRing.attach(ring.name)
    pixels = late.pixels(ref)
    late.close()
    assert pixels is not None
    assert (pixels == 7).all()


def test_a_new_writer_goes_on_where_the_last_one_was_killed(ring: FrameRing) -> None:
    first = FrameRing.attach(ring.name)
    refs = [first.write(seq, 100 + seq, frame(seq), 2) for seq in range(4)]
    first._heads[1, 0] += 1  # killed in the middle of the fifth frame
    first.close()

    second = FrameRing.attach(ring.name)
    after = [second.write(seq, 200 + seq, frame(50 + seq), 1) for seq in range(3)]
    assert [ref.seq for ref in after] == [4, 5, 6]
    assert [ref.dropped for ref in after] == [3, 3, 3]
    assert all(ref.generation % 2 == 0 for ref in after)
    assert ring.first_capture == 100
    for ref, value in zip(after, (50, 51, 52), strict=True):
        pixels = ring.pixels(ref)
        assert pixels is not None
        assert (pixels == value).all()
    assert all(ring.pixels(ref) is None for ref in refs)
    second.close()


def test_what_does_not_fit_is_refused(ring: FrameRing) -> None:
    for store in (ring, LocalFrames()):
        with pytest.raises(ValueError, match="does not fit"):
            store.write(0, 1, np.zeros((1921, 1921, 3), np.uint8), 0)
        with pytest.raises(ValueError, match="uint8"):
            store.write(0, 1, np.zeros((4, 4), np.uint8), 0)
    assert ring.pixels(FrameRef(0, 1, 640, 481, 0, 0)) is None
    assert ring.pixels(FrameRef(0, 1, 1, 1, 99, 2)) is None


def test_other_memory_is_no_ring() -> None:
    from multiprocessing.shared_memory import SharedMemory

    memory = SharedMemory(create=True, size=4096)
    try:
        with pytest.raises(ValueError, match="no frame ring"):
            FrameRing.attach(memory.name)
    finally:
        memory.close()
        memory.unlink()


def test_closing_by_the_creator_removes_the_segment() -> None:
    made = FrameRing.create(f"bptest_{uuid.uuid4().hex[:8]}", slots=1, capacity=16)
    name = made.name
    made.close()
    with pytest.raises(FileNotFoundError):
        FrameRing.attach(name)
    if sys.platform == "linux":
        assert not Path("/dev/shm", name).exists()
