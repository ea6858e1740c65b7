"""Finds where one MessagePack object ends in a run of them (MessagePack specification, section Formats).

msgspec decodes exactly one object and refuses what follows it, so a file of messages one after another has to be cut
first.  Only lengths are read here; no value is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_CHUNK = 1024 * 1024

# First byte -> (bytes that follow it, kind): after them come `length` payload bytes ("raw"), that many objects
# ("array"), twice as many ("map"), or nothing ("none").  An ext type carries one type byte beside its length.
_NONE, _RAW, _ARRAY, _MAP = range(4)
_FIXED = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4}
_FIXED |= {0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
_SIZED = {0xC4: (1, _RAW, 0), 0xC5: (2, _RAW, 0), 0xC6: (4, _RAW, 0), 0xC7: (1, _RAW, 1), 0xC8: (2, _RAW, 1)}
_SIZED |= {0xC9: (4, _RAW, 1), 0xD9: (1, _RAW, 0), 0xDA: (2, _RAW, 0), 0xDB: (4, _RAW, 0)}
_SIZED |= {0xDC: (2, _ARRAY, 0), 0xDD: (4, _ARRAY, 0), 0xDE: (2, _MAP, 0), 0xDF: (4, _MAP, 0)}


class NotMessagePack(ValueError):
    """The byte 0xc1, which the specification leaves unused, or a message longer than `MAX_MESSAGE_BYTES`."""


def object_end(data: bytes | bytearray, start: int = 0) -> int | None:
    """-> index just past the object that starts at `start`, or None when `data` ends before it does.

    Raises NotMessagePack.
    """
    size = len(data)
    position = start
    pending = 1  # objects still to be walked over; nesting needs no stack because all that counts is how many are left
    while pending:
        if position >= size:
            return None
        first = data[position]
        position += 1
        pending -= 1
        if first <= 0x7F or first >= 0xE0:
            continue
        if first <= 0x8F:
            pending += 2 * (first & 0x0F)
        elif first <= 0x9F:
            pending += first & 0x0F
        elif first <= 0xBF:
            position += first & 0x1F
        elif first in _FIXED:
            position += _FIXED[first]
        elif first in _SIZED:
            width, kind, extra = _SIZED[first]
            if position + width > size:
                return None
            length = int.from_bytes(data[position : position + width], "big")
            position += width
            if kind == _RAW:
                position += length + extra
            else:
                pending += length if kind == _ARRAY else 2 * length
        else:
            raise NotMessagePack(f"byte {first:#04x} at {position - 1} begins no MessagePack object")
        if position - start + pending > MAX_MESSAGE_BYTES:
            raise NotMessagePack(f"the object at {start} is longer than {MAX_MESSAGE_BYTES} bytes")
    return position if position <= size else None


def split(stream: BinaryIO) -> Iterator[bytes]:
    """-> each whole object's bytes, in order; a last one that is cut short is left out.

    Raises NotMessagePack where the bytes stop making sense.
    """
    data = bytearray()
    wanted = 1
    while True:
        chunk = stream.read(max(_CHUNK, wanted - len(data)))
        data += chunk
        start = 0
        while start < len(data):
            end = object_end(data, start)
            if end is None:
                break
            yield bytes(data[start:end])
            start = end
        del data[:start]
        if not chunk:
            return
        # An object longer than what is there is walked again from its start: double, so that this stays linear.
        wanted = 2 * len(data)
