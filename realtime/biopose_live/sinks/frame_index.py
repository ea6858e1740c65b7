"""Where each pose of a recording lies in `frames.msgpack`, so that any of them can be read at once."""

from __future__ import annotations

from array import array
from pathlib import Path

from biopose_client.schema import Meta
from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.sinks.msgpack_stream import NotMessagePack, split
from biopose_live.sinks.recording import FRAMES_FILE, UNDECODABLE, Recording, decoder


class FrameIndex:
    """A recording's poses by number: `times` (ns, increasing) and `read`.

    `damage` says where the stream stopped making sense, None when it is whole.  Raises UserError (source) when the
    folder is no recording or holds no frame.
    """

    def __init__(self, folder: Path) -> None:
        self.meta: Meta = Recording(folder).meta
        self.times = array("q")
        self._path = folder / FRAMES_FILE
        self._starts = array("q", [0])
        self.damage: str | None = None
        try:
            self._scan()
        except OSError as error:
            raise UserError(f"{self._path} cannot be read ({error.strerror}).", EXIT_SOURCE) from error
        if not self.times:
            why = "" if self.damage is None else f" ({self.damage})"
            raise UserError(f"{folder} is a recording without a single frame{why}: record again.", EXIT_SOURCE)

    def _scan(self) -> None:
        count = 0
        with self._path.open("rb") as stream:
            try:
                for message in split(stream):
                    pose = decoder.decode(message)
                    if self.times and pose.t_capture <= self.times[-1]:
                        raise ValueError("time goes back")
                    self.times.append(pose.t_capture)
                    self._starts.append(self._starts[-1] + len(message))
                    count += 1
                if stream.tell() > self._starts[-1]:
                    self.damage = f"{self._path.name} ends inside a message after {count} frames"
            except (NotMessagePack, ValueError, *UNDECODABLE) as error:
                self.damage = f"{self._path.name} makes no sense after {count} frames: {error}"

    def __len__(self) -> int:
        return len(self.times)

    def read(self, first: int, count: int) -> list[bytes]:
        """-> `count` poses, packed without topic, from number `first` on; fewer at the end.  Raises OSError."""
        last = min(first + count, len(self))
        if first >= last:
            return []
        with self._path.open("rb") as stream:
            stream.seek(self._starts[first])
            data = stream.read(self._starts[last] - self._starts[first])
        base = self._starts[first]
        return [data[self._starts[n] - base : self._starts[n + 1] - base] for n in range(first, last)]
