"""Where pixels lie while their descriptors travel: a ring of slots in shared memory, and its twin for one process.

Back-pressure: none.  The writer never waits; it takes the oldest slot, and a reader that was too slow learns so.  Each
slot is a seqlock: its generation is odd while the slot is being written and even when it is whole, and readers compare
it before and after copying.  The supervisor creates and unlinks the segment; stages attach by name, so a killed stage
leaks nothing, and a restarted writer goes on with the generations and the seq numbers it finds.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory

import numpy as np
from numpy.typing import NDArray

from biopose_live.messages import FrameRef
from biopose_live.pipeline.counters import WORDS, StageCounters

SLOTS = 6
SLOT_BYTES = 1920 * 1920 * 3  # tmpfs pages are only used once touched

_MAGIC = 0x62696F706F736531  # "biopose1"
_PAGE = 4096
_HEADER_WORDS = 16
_ROWS = 8
_SLOT_WORDS = 8
_WORD_MAGIC, _WORD_SLOTS, _WORD_CAPACITY, _WORD_SLOT, _WORD_SEQ, _WORD_DROPPED, _WORD_FIRST = range(7)
_GENERATION, _SEQ, _WIDTH, _HEIGHT, _CAPTURED = range(5)

_attach_lock = threading.Lock()


def _attach(name: str) -> SharedMemory:
    if sys.version_info >= (3, 13):
        return SharedMemory(name, track=False)
    # Before 3.13 the tracker of whoever attaches unlinks the segment when that process ends (cpython #82300).
    with _attach_lock:
        register = resource_tracker.register
        resource_tracker.register = lambda name, rtype: None
        try:
            return SharedMemory(name)
        finally:
            resource_tracker.register = register


def _checked(pixels: NDArray[np.uint8]) -> tuple[int, int]:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be (height, width, 3) uint8, not {pixels.shape} {pixels.dtype}")
    return pixels.shape[0], pixels.shape[1]


class FrameRing:
    """Both ends of the shared ring (`FrameWriter` and `FrameStore`); one process at a time may write."""

    def __init__(self, memory: SharedMemory, owner: bool) -> None:
        self._memory = memory
        self._owner = owner
        buffer = memory.buf
        assert buffer is not None  # only so once closed
        self._buffer = buffer
        # `frombuffer` holds on to the segment, so that one still in use cannot be closed under a reader.
        words = np.frombuffer(buffer, np.int64, _HEADER_WORDS)
        if words[_WORD_MAGIC] != _MAGIC:
            del words, self._buffer, buffer
            memory.close()
            raise ValueError(f"shared memory {memory.name} is no frame ring")
        self.slots = int(words[_WORD_SLOTS])
        self.capacity = int(words[_WORD_CAPACITY])
        self._words = words
        start = 8 * _HEADER_WORDS
        self.rows = np.frombuffer(buffer, np.int64, _ROWS * WORDS, start).reshape(_ROWS, WORDS)
        start += self.rows.nbytes
        heads = np.frombuffer(buffer, np.int64, self.slots * _SLOT_WORDS, start)
        self._heads = heads.reshape(self.slots, _SLOT_WORDS)
        # A restarted capture counts from 0 again: its frames go on where the last one's ended.
        self._seq_base = int(words[_WORD_SEQ]) + 1
        self._dropped_base = int(words[_WORD_DROPPED])

    @classmethod
    def create(cls, name: str, slots: int = SLOTS, capacity: int = SLOT_BYTES) -> FrameRing:
        """Makes the segment; this object unlinks it.  Raises FileExistsError or OSError."""
        capacity = -(-capacity // _PAGE) * _PAGE
        memory = SharedMemory(name, create=True, size=_PAGE + slots * capacity)
        buffer = memory.buf
        assert buffer is not None
        words = np.frombuffer(buffer, np.int64, _HEADER_WORDS)
        words[_WORD_SLOTS] = slots
        words[_WORD_CAPACITY] = capacity
        words[_WORD_SLOT] = words[_WORD_SEQ] = -1
        words[_WORD_MAGIC] = _MAGIC
        del words
        ring = cls(memory, owner=True)
        for row in range(_ROWS):
            ring.counters(row).reset()
        return ring

    @classmethod
    def attach(cls, name: str) -> FrameRing:
        """Opens an existing segment; raises FileNotFoundError, or ValueError when it is something else."""
        return cls(_attach(name), owner=False)

    @property
    def name(self) -> str:
        return self._memory.name

    @property
    def first_capture(self) -> int:
        """Capture time of the run's first frame, ns; 0 before it."""
        return int(self._words[_WORD_FIRST])

    @property
    def dropped(self) -> int:
        """Frames that capture says it had to skip, so far."""
        return int(self._words[_WORD_DROPPED])

    def counters(self, row: int) -> StageCounters:
        """-> the counters of the stage with this position in the pipeline."""
        return StageCounters(self, row)

    def write(self, seq: int, t_capture: int, pixels: NDArray[np.uint8], dropped: int) -> FrameRef:
        """Copies (height, width, 3) RGB pixels into the next slot.

        `seq` and `dropped` count from this writer's start; the descriptor's go on from the writer before it.
        Raises ValueError when the frame is larger than a slot or is not RGB.
        """
        height, width = _checked(pixels)
        if pixels.size > self.capacity:
            raise ValueError(f"a frame of {width}x{height} does not fit a slot of {self.capacity} bytes")
        slot = (int(self._words[_WORD_SLOT]) + 1) % self.slots
        head = self._heads[slot]
        # A writer that was killed half-way left the generation odd: skip to the next odd one.
        writing = int(head[_GENERATION]) + 1 | 1
        head[_GENERATION] = writing
        seq += self._seq_base
        dropped += self._dropped_base
        head[_SEQ : _CAPTURED + 1] = seq, width, height, t_capture
        np.copyto(self._pixels(slot, height, width), pixels)
        head[_GENERATION] = writing + 1
        self._words[_WORD_SLOT] = slot
        self._words[_WORD_SEQ] = seq
        self._words[_WORD_DROPPED] = dropped
        if self._words[_WORD_FIRST] == 0:
            self._words[_WORD_FIRST] = t_capture
        return FrameRef(seq, t_capture, width, height, slot, writing + 1, dropped)

    def pixels(self, frame: FrameRef) -> NDArray[np.uint8] | None:
        """-> (height, width, 3) RGB copy, or None when the slot has been overwritten since."""
        if not 0 <= frame.slot < self.slots or frame.width * frame.height * 3 > self.capacity:
            return None
        head = self._heads[frame.slot]
        if head[_GENERATION] != frame.generation or frame.generation % 2:
            return None
        copy = self._pixels(frame.slot, frame.height, frame.width).copy()
        return copy if head[_GENERATION] == frame.generation else None

    def find(self, seq: int, t_capture: int) -> FrameRef | None:
        """-> the descriptor of the frame with this number and time, None when it has been overwritten since."""
        for slot in range(self.slots):
            generation, found, width, height, captured = (int(word) for word in self._heads[slot, : _CAPTURED + 1])
            if found == seq and captured == t_capture and generation and generation % 2 == 0:
                return FrameRef(seq, t_capture, width, height, slot, generation)
        return None

    def _pixels(self, slot: int, height: int, width: int) -> NDArray[np.uint8]:
        offset = _PAGE + slot * self.capacity
        flat = np.frombuffer(self._buffer, np.uint8, height * width * 3, offset)
        return flat.reshape(height, width, 3)

    def close(self) -> None:
        """Lets go of the segment; the creator also removes it."""
        del self._words, self.rows, self._heads, self._buffer
        self._memory.close()
        if self._owner:
            self._memory.unlink()


class LocalFrames:
    """The same two ends in plain memory, for runs inside one process; keeps the newest `slots` frames."""

    def __init__(self, slots: int = SLOTS) -> None:
        self.slots = slots
        self._frames: deque[tuple[FrameRef, NDArray[np.uint8]]] = deque(maxlen=slots)
        self._written = 0

    def write(self, seq: int, t_capture: int, pixels: NDArray[np.uint8], dropped: int) -> FrameRef:
        """Copies (height, width, 3) RGB pixels; raises ValueError as the ring does."""
        height, width = _checked(pixels)
        if pixels.size > SLOT_BYTES:
            raise ValueError(f"a frame of {width}x{height} does not fit a slot of {SLOT_BYTES} bytes")
        slot = self._written % self.slots
        generation = 2 * (self._written // self.slots + 1)
        self._written += 1
        frame = FrameRef(seq, t_capture, width, height, slot, generation, dropped)
        self._frames.append((frame, pixels.copy()))
        return frame

    def find(self, seq: int, t_capture: int) -> FrameRef | None:
        """-> the descriptor of the frame with this number and time, None when it has been overwritten since."""
        for kept, _ in self._frames:
            if (kept.seq, kept.t_capture) == (seq, t_capture):
                return kept
        return None

    def pixels(self, frame: FrameRef) -> NDArray[np.uint8] | None:
        """-> (height, width, 3) RGB copy, or None when the slot has been overwritten since."""
        for kept, pixels in self._frames:
            if kept.slot == frame.slot and kept.generation == frame.generation:
                return pixels.copy()
        return None
