"""What a source is: the newest frame with its capture time, until it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

Clock = Callable[[], int]  # ns, monotonic
Sleep = Callable[[float], object]  # s


@dataclass(frozen=True, slots=True)
class Captured:
    """One decoded frame, not yet converted to RGB (frames that are dropped never need it)."""

    index: int  # of the decoded frames, from 0
    t_capture: int  # ns, monotonic, strictly increasing from frame to frame
    picture: Any  # av.VideoFrame
    dropped: int  # frames decoded before this one that were not handed on


class Source(Protocol):
    """A camera, a file or a stream."""

    def read(self, timeout: float) -> Captured | None:
        """-> a frame newer than the last one, or None when none came within about `timeout` seconds.

        Raises EndOfStream when there will be no more frames, UserError for what the user must put right.
        """
        ...

    def close(self) -> None:
        """Ends the source; returns promptly even while its driver or server is not answering."""
        ...
