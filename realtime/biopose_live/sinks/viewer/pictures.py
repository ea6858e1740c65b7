"""Encodes the pictures that viewers want to see and recordings want to keep, once for all of them.

A live run's frames are encoded as soon as mqhmr begins with them (`announced`), while it works on their poses: so the
picture is on its way when its pose is.  Recordings hold pictures that have a pose and no others, so while one is filmed
a picture waits for `show`, and so does every picture of a run without announcements.

Back-pressure: the newest frame wins.  One frame waits (three while a recording is filmed), at most two encoded ones
wait for the server's thread, and a frame whose pixels were overwritten meanwhile is passed over.  The thread sleeps
while nobody wants pictures.  Where every frame counts (`--every-frame`) there is no thread: `show` encodes at once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from pathlib import Path
from typing import NamedTuple

from biopose_live.errors import UserError
from biopose_live.sinks.film import Film
from biopose_live.sinks.viewer.audience import Audience
from biopose_live.sinks.viewer.encoding import EncodedPicture, JpegEncoder, VideoEncoder
from biopose_live.stages import Announcer, FrameFinder

MOST_HANDED_OVER = 2
WAITING = 3  # the ring of frames has six slots
POLL_MS = 50  # how long the thread waits for an announcement or, while something is filmed, for the films' end

log = logging.getLogger(__name__)


class _Server(NamedTuple):
    """Those who watch, and the loop that they belong to."""

    audience: Audience
    loop: asyncio.AbstractEventLoop


class Pictures:
    """`show` a frame's number; its picture reaches the audience from the server's loop, and the films at once."""

    def __init__(self, frames: FrameFinder, every_frame: bool = False, announced: Announcer | None = None) -> None:
        self.problem: str | None = None
        self._frames = frames
        self._announced = announced
        self._server: _Server | None = None
        self._films: tuple[Film, ...] = ()
        self._wanted: deque[tuple[int, int]] = deque(maxlen=WAITING)
        self._wake = threading.Event()
        self._finished = False
        self._handed_over = threading.Semaphore(MOST_HANDED_OVER)
        self._key_due = False  # the audience has missed a picture, or a film begins
        self._encoding = threading.Lock()
        self._video: VideoEncoder | None = None
        self._jpeg: JpegEncoder | None = None
        self._thread: threading.Thread | None = None
        if not every_frame:
            self._thread = threading.Thread(target=self._run, name="pictures", daemon=True)
            self._thread.start()

    def attach(self, audience: Audience, loop: asyncio.AbstractEventLoop) -> None:
        """From now on pictures go to this audience, too."""
        self._server = _Server(audience, loop)

    def detach(self) -> None:
        """The audience has left."""
        self._server = None

    def film(self, path: Path) -> Film:
        """-> a video that is written from the next picture on, until `end_film`."""
        with self._encoding:
            film = Film(path)
            self._films = (*self._films, film)
            self._key_due = True
        return film

    def end_film(self, film: Film) -> None:
        """Completes a video."""
        with self._encoding:
            self._films = tuple(one for one in self._films if one is not film)
            film.close()

    def show(self, seq: int, t_capture: int) -> None:
        """Takes the frame that should be seen next; never waits, unless every frame counts."""
        server = self._server
        if not self._films and (self._announced is not None or server is None or server.audience.empty):
            return
        if self._thread is None:
            self._try(seq, t_capture)
            return
        if not self._films:
            self._wanted.clear()
        self._wanted.append((seq, t_capture))
        self._wake.set()

    def close(self) -> None:
        """Ends the thread after the picture it is at, and completes what is filmed."""
        self._finished = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(2.0)
        for film in self._films:
            self.end_film(film)

    def _run(self) -> None:
        announced = self._announced
        while not self._finished:
            if announced is not None and not self._films:
                frame = announced.next(POLL_MS)
                if frame is not None and not self._films:
                    self._try(frame.seq, frame.t_capture)
                continue
            self._wake.wait(None if announced is None else POLL_MS / 1000)
            self._wake.clear()
            while not self._finished:
                try:
                    wanted = self._wanted.popleft()
                except IndexError:
                    break
                self._try(*wanted)
        if announced is not None:
            announced.close()

    def _try(self, seq: int, t_capture: int) -> None:
        if self.problem is not None:
            return
        try:
            with self._encoding:
                self._encode(seq, t_capture)
        except UserError as error:
            self.problem = str(error)
            log.warning("%s", error)

    def _encode(self, seq: int, t_capture: int) -> None:
        server, films = self._server, self._films
        audience = None if server is None else server.audience
        wants_video = audience is not None and audience.wants_video
        wants_jpeg = audience is not None and audience.wants_jpeg
        frame = self._frames.find(seq, t_capture) if wants_video or wants_jpeg or films else None
        if frame is None:
            return
        taken = (wants_video or wants_jpeg) and self._handed_over.acquire(blocking=False)
        if not taken and not films:
            return
        pixels = self._frames.pixels(frame)
        picture = data = None
        if pixels is not None and (wants_video or films):
            self._video = self._video or VideoEncoder()
            key = (audience is not None and audience.take_key_wish()) or self._key_due
            picture = self._video.encode(pixels, t_capture, key, to_send=wants_video)
            # A picture that viewers do not get is missing to those that follow it.
            if picture is not None:
                self._key_due = wants_video and not taken
                for film in films:
                    film.add(picture)
        if not taken or server is None:
            return
        if pixels is not None and wants_jpeg:
            self._jpeg = self._jpeg or JpegEncoder()
            data = self._jpeg.encode(pixels)
        try:
            sent = picture if wants_video else None
            server.loop.call_soon_threadsafe(self._hand_over, server.audience, t_capture, sent, data)
        except RuntimeError:  # the loop has ended
            self._handed_over.release()

    def _hand_over(
        self, audience: Audience, t_capture: int, picture: EncodedPicture | None, data: bytes | None
    ) -> None:
        self._handed_over.release()
        audience.picture(t_capture, picture, data)
