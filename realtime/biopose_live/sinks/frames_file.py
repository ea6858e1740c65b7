"""`frames.msgpack`: pose messages one after another, always readable up to the last whole one.

Messages wait in memory and are written together at least each half second, so that recording costs one write per
half second, and a crash loses at most that much.
"""

from __future__ import annotations

import os
from pathlib import Path

from biopose_live.sinks.recording import whole_messages

FLUSH_PERIOD_NS = 500_000_000
FLUSH_BYTES = 1_048_576


class FramesFile:
    """Appends to `path`; what an earlier process left there stays, less a last message that it had not finished.

    Every method raises OSError when the disk fails or is full; the file then ends at a whole message.
    """

    def __init__(self, path: Path) -> None:
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._next_flush = 0
        self.messages, self._length = whole_messages(path) if path.exists() else (0, 0)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        os.ftruncate(self._file, self._length)
        os.lseek(self._file, self._length, os.SEEK_SET)

    def append(self, message: bytes) -> None:
        """Takes one MessagePack object."""
        self._waiting.append(message)
        self._waiting_bytes += len(message)
        self.messages += 1
        if self._waiting_bytes >= FLUSH_BYTES:
            self.flush()

    def flush_if_due(self, now_ns: int) -> None:
        """Writes what waits when half a second has passed; `now_ns` is `time.monotonic_ns()`."""
        if now_ns >= self._next_flush:
            self._next_flush = now_ns + FLUSH_PERIOD_NS
            self.flush()

    def flush(self) -> None:
        """Writes what waits; what a full disk did not take is given up and taken off `messages`."""
        batch = b"".join(self._waiting)
        written = 0
        try:
            while written < len(batch):
                written += os.write(self._file, memoryview(batch)[written:])
        except OSError:
            self._keep_whole(written)
            raise
        self._length += written
        self._waiting.clear()
        self._waiting_bytes = 0

    def _keep_whole(self, written: int) -> None:
        """Counts the messages that `written` bytes hold entirely and takes the rest off the file again."""
        while self._waiting and len(self._waiting[0]) <= written:
            size = len(self._waiting.pop(0))
            written -= size
            self._length += size
            self._waiting_bytes -= size
        os.ftruncate(self._file, self._length)
        os.lseek(self._file, self._length, os.SEEK_SET)

    def discard(self) -> None:
        """Gives up what waits, after a failure."""
        self.messages -= len(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0

    def close(self) -> None:
        """Closes the file without writing what waits: `flush` first."""
        os.close(self._file)
