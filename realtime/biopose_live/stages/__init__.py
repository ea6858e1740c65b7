"""The pipeline's stages, one file each: capture, detection, mqhmr, neurik.  A stage knows no sockets.

`Stage.process(message) -> message` is all there is to a stage.  The same object runs in its own process behind ZeroMQ
(live) or is called frame by frame (inline, nothing dropped); both give the same numbers for the same frames.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from biopose_live.messages import FrameRef


class FrameStore(Protocol):
    """Where pixels are looked up by descriptor: the shared-memory ring when live, a local one inline."""

    def pixels(self, frame: FrameRef) -> NDArray[np.uint8] | None:
        """-> (height, width, 3) RGB copy, or None when the slot has been overwritten since."""
        ...


class FrameFinder(FrameStore, Protocol):
    """A FrameStore that also finds a frame that is known by its number alone."""

    def find(self, seq: int, t_capture: int) -> FrameRef | None:
        """-> the descriptor of a frame, None when it has been overwritten since."""
        ...


class Announcer(Protocol):
    """Says which frames will have a pose, before they have it.  For one thread."""

    def next(self, timeout_ms: int) -> FrameRef | None:
        """-> the frame announced last, None when none was in time."""
        ...

    def close(self) -> None: ...


class FrameWriter(Protocol):
    """Where capture puts pixels; the other end of a FrameStore."""

    def write(self, seq: int, t_capture: int, pixels: NDArray[np.uint8], dropped: int) -> FrameRef:
        """Copies (height, width, 3) RGB pixels into the next slot and describes it."""
        ...


class EndOfStream(Exception):
    """Raised by the capture stage's `process` when the source has no more frames."""


class Stage(Protocol):
    """One step of the pipeline: a message in, a message out."""

    name: str

    def process(self, message: Any) -> Any:
        """-> the next stage's message, or None when there is nothing to hand on."""
        ...

    def close(self) -> None:
        """Releases what the stage holds; called once, also after a failure."""
        ...
