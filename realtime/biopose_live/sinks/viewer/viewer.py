"""The viewer as an output: a thread with the server's loop, fed by the sinks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biopose_client import schema
from biopose_live.sinks.viewer.access import ViewAccess, listening_socket
from biopose_live.sinks.viewer.calibrations import CalibrationDesk
from biopose_live.sinks.viewer.recordings import RecordingDesk

if TYPE_CHECKING:
    from biopose_live.sinks.viewer.pictures import Pictures

META_PERIOD_S = 1.0
WAITING = 8  # messages that the server's thread has not taken yet
LISTEN_TRIES_S = 3.0
CLOSE_S = 2.0

log = logging.getLogger(__name__)


class Viewer:
    """Shows the run in browsers.  It begins to listen by itself; `problem` says when it cannot."""

    def __init__(
        self, access: ViewAccess, pictures: Pictures, meta: schema.Meta, settings: dict[str, Any], source: str
    ) -> None:
        self.problem: str | None = None
        self._access = access
        self._pictures = pictures
        self._body = None if settings.get("body") is None else Path(settings["body"])
        self._meta = schema.pack(meta)
        self._source = source
        self._recordings = RecordingDesk(meta, settings, pictures if settings.get("record_video") else None)
        self.calibrations = CalibrationDesk(settings)
        self._messages: deque[bytes] = deque(maxlen=WAITING)
        self._called = False  # `_hand_over` is on its way
        self._ready: Any = None  # (loop, audience, server), once it listens
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="viewer", daemon=True)
        self._thread.start()

    def write(self, pose: schema.Pose, packed: bytes) -> None:
        """Takes one pose and the same packed with its topic; never waits, costs nothing while nobody watches."""
        self._recordings.feed(pose, packed[len(schema.TOPIC_POSE) :])
        self._send(packed)

    def health(self, health: schema.Health, packed: bytes) -> None:
        """Takes the pipeline's state."""
        if self._ready is not None:
            self._ready[2].health = health
            self._send(packed)

    def _send(self, packed: bytes) -> None:
        if self._ready is None or self._ready[1].empty:
            return
        self._messages.append(packed)
        if not self._called:
            self._called = True
            self._call(self._hand_over)

    def _call(self, function: Any) -> None:
        try:
            self._ready[0].call_soon_threadsafe(function)
        except RuntimeError:  # the loop has ended: `problem` says why
            self._ready = None

    def _hand_over(self) -> None:
        self._called = False  # before the rest: what is appended from now on calls again
        while self._messages:
            self._ready[1].message(self._messages.popleft())

    def close(self) -> None:
        """Ends every connection and completes a recording that goes on; takes two seconds at most for the former."""
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None and not loop.is_closed():
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(stop.set)
        self._thread.join(CLOSE_S)
        self._recordings.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            log.exception("the viewer ends")
            self.problem = f"The viewer has ended ({type(error).__name__}: {error}); the other outputs go on."
        finally:
            self._ready = None

    async def _serve(self) -> None:
        # Imported in this thread: aiohttp takes a moment, and the other outputs need not wait for it.
        from biopose_live.sinks.viewer.audience import Audience
        from biopose_live.sinks.viewer.certificate import tls_context
        from biopose_live.sinks.viewer.server import ViewerServer

        for name in ("aioice", "aiortc"):  # they log every candidate
            logging.getLogger(name).setLevel(logging.WARNING)
        self._loop = loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        audience = Audience(self._meta)
        server = ViewerServer(
            self._access, audience, self._recordings, self.calibrations, self._source, body=self._body
        )
        try:
            sock = await self._listen()
            await server.start(sock, tls_context(self._access.certificate))
        except OSError as error:
            self.problem = (
                f"The viewer cannot listen on {self._access.host}:{self._access.port} ({error.strerror}): choose "
                f"another with --view, or --view off."
            )
            log.warning("%s", self.problem)
            return
        self._pictures.attach(audience, loop)
        self._ready = (loop, audience, server)
        try:
            while not self._stop.is_set():
                audience.message(self._meta)
                try:
                    await asyncio.wait_for(self._stop.wait(), META_PERIOD_S)
                except TimeoutError:
                    continue
        finally:
            self._ready = None
            self._pictures.detach()
            await server.stop()

    async def _listen(self) -> Any:
        """A run that has just ended, or this one's process before it was restarted, may still hold the port."""
        until = time.monotonic() + LISTEN_TRIES_S
        while True:
            try:
                return listening_socket(self._access.host, self._access.port)
            except OSError:
                if time.monotonic() > until:
                    raise
            await asyncio.sleep(0.1)
