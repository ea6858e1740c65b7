"""Encodes the pictures that viewers want to see, in a thread of its own.

Back-pressure: the newest frame wins.  One frame waits at most, at most two encoded ones wait for the server's thread,
and a frame whose pixels were overwritten meanwhile is passed over.  The thread sleeps while nobody watches.
"""

from __future__ import annotations

import asyncio
import logging
import threading

from biopose_live.errors import UserError
from biopose_live.sinks.viewer.audience import Audience
from biopose_live.sinks.viewer.encoding import EncodedPicture, JpegEncoder, VideoEncoder
from biopose_live.stages import FrameFinder

MOST_HANDED_OVER = 2

log = logging.getLogger(__name__)


class PictureThread(threading.Thread):
    """`show` a frame's number; its picture reaches the audience from the server's loop."""

    def __init__(self, frames: FrameFinder, audience: Audience, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(name="viewer pictures", daemon=True)
        self.problem: str | None = None
        self._frames = frames
        self._audience = audience
        self._loop = loop
        self._wanted: tuple[int, int] | None = None
        self._wake = threading.Event()
        self._finished = False
        self._handed_over = threading.Semaphore(MOST_HANDED_OVER)
        self._video: VideoEncoder | None = None
        self._jpeg: JpegEncoder | None = None

    def show(self, seq: int, t_capture: int) -> None:
        """Takes the frame that should be seen next; never waits."""
        self._wanted = (seq, t_capture)
        self._wake.set()

    def finish(self) -> None:
        """Ends the thread after the picture it is at."""
        self._finished = True
        self._wake.set()

    def run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._finished:
                return
            wanted, self._wanted = self._wanted, None
            if wanted is None:
                continue
            try:
                self._encode(*wanted)
            except UserError as error:
                self.problem = str(error)
                log.warning("%s", error)
                return
            except RuntimeError:
                if self._loop.is_closed():
                    return
                raise

    def _encode(self, seq: int, t_capture: int) -> None:
        audience = self._audience
        wants_video, wants_jpeg = audience.wants_video, audience.wants_jpeg
        frame = self._frames.find(seq, t_capture) if wants_video or wants_jpeg else None
        if frame is None or not self._handed_over.acquire(blocking=False):
            return
        pixels = self._frames.pixels(frame)
        picture = data = None
        if pixels is not None and wants_video:
            self._video = self._video or VideoEncoder()
            picture = self._video.encode(pixels, t_capture, audience.take_key_wish())
        if pixels is not None and wants_jpeg:
            self._jpeg = self._jpeg or JpegEncoder()
            data = self._jpeg.encode(pixels)
        self._loop.call_soon_threadsafe(self._hand_over, t_capture, picture, data)

    def _hand_over(self, t_capture: int, picture: EncodedPicture | None, data: bytes | None) -> None:
        self._handed_over.release()
        self._audience.picture(t_capture, picture, data)
