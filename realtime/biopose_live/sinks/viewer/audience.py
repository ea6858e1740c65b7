"""Everybody who watches: who is let in, what is needed, and handing pictures and messages to each of them.

Used from the server's thread alone, except for the plain counts that other threads read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from biopose_live.sinks.viewer.encoding import EncodedPicture

MOST_VIEWERS = 8
CLOSE_S = 1.0
KEY_PERIOD_S = 0.25  # at most one keyframe in this time, however many ask


class Viewer(Protocol):
    """One connection.  None of these may wait."""

    wants_video: bool
    wants_jpeg: bool

    def message(self, packed: bytes) -> None:
        """A pose, meta or health message in the public format."""
        ...

    def video(self, picture: EncodedPicture) -> None: ...

    def jpeg(self, t_capture: int, data: bytes) -> None: ...

    async def close(self) -> None:
        """Ends the connection; may be called more than once."""
        ...


class Audience:
    """The viewers of a run."""

    def __init__(self, meta: bytes, most: int = MOST_VIEWERS, clock: Callable[[], float] = time.monotonic) -> None:
        self.meta = meta
        self.most = most
        self.viewers: set[Viewer] = set()
        self.wants_video = self.wants_jpeg = False
        self._key_wanted = False
        self._last_key = -KEY_PERIOD_S
        self._clock = clock

    @property
    def empty(self) -> bool:
        return not self.viewers

    def join(self, viewer: Viewer) -> None:
        self.viewers.add(viewer)
        self.changed()

    def leave(self, viewer: Viewer) -> None:
        self.viewers.discard(viewer)
        self.changed()

    def changed(self) -> None:
        """Call when what a viewer wants has changed."""
        self.wants_video = any(viewer.wants_video for viewer in self.viewers)
        self.wants_jpeg = any(viewer.wants_jpeg for viewer in self.viewers)

    def ask_for_key(self) -> None:
        """The next picture should be a keyframe; granted at most four times a second."""
        self._key_wanted = True

    def take_key_wish(self) -> bool:
        """-> whether the picture that is encoded next must be a keyframe."""
        now = self._clock()
        if not self._key_wanted or now - self._last_key < KEY_PERIOD_S:
            return False
        self._key_wanted = False
        self._last_key = now
        return True

    def message(self, packed: bytes) -> None:
        for viewer in self.viewers:
            viewer.message(packed)

    def picture(self, t_capture: int, video: EncodedPicture | None, jpeg: bytes | None) -> None:
        for viewer in self.viewers:
            if video is not None and viewer.wants_video:
                viewer.video(video)
            if jpeg is not None and viewer.wants_jpeg:
                viewer.jpeg(t_capture, jpeg)

    async def close(self) -> None:
        """Ends all connections; those that take longer than a second are left to themselves."""
        endings = [asyncio.ensure_future(viewer.close()) for viewer in self.viewers]
        if endings:
            await asyncio.wait(endings, timeout=CLOSE_S)
