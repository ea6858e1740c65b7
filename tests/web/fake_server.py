"""A server that speaks what the page expects, over the WebSocket only, with recorded poses and made-up pictures.

Each picture carries the number of its pose as blocks (`barcode`), so that a test can tell which moment a picture shows.
It runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import io
import lzma
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import numpy as np
from aiohttp import WSMsgType, web
from barcode import Picture, stamp
from PIL import Image

from biopose_client.schema import Health, Meta, Pose, StageHealth, pack
from biopose_live.pipeline.moves import MOVES
from biopose_live.sinks.viewer.body_mesh import packed_mesh

FPS = 20.0
CSP = "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"


def walk() -> tuple[Meta, list[Pose]]:
    """-> the recorded messages, see `make_walk`."""
    raw = lzma.decompress((Path(__file__).parent / "walk.msgpack.xz").read_bytes())
    return msgspec.msgpack.decode(raw, type=tuple[Meta, list[Pose]])


def grey(number: int) -> Picture:
    """-> a plain picture of the demo's size with its number on it."""
    picture = np.full((480, 640, 3), 110, np.uint8)
    stamp(picture, number)
    return picture


class FakeServer:
    """Serves `page` (a built page's folder) on `port` (0: any free one) until `stop`.

    Picture and pose `n` of the stream are number `order[n % len(order)]` of the recording: to and fro, without a jump.
    `picture_first` sends a picture before its pose.
    """

    def __init__(
        self,
        page: Path,
        token: str = "secret",
        port: int = 0,
        draw: Callable[[int], Picture] = grey,
        recording: tuple[Meta, list[Pose]] | None = None,
        picture_first: bool = False,
        fps: float = FPS,
    ) -> None:
        self.page, self.token, self.port = page, token, port
        self.meta, self.poses = recording or walk()
        self.recorded = 0
        self.is_recording = False
        moves = [{"instruction": move.instruction, "seconds": move.seconds} for move in MOVES]
        self.calibration: dict[str, object] = {"phase": "idle", "moves": moves}
        self.asked: dict[str, object] | None = None  # by the page, to be measured
        self._picture_first = picture_first
        self._fps = fps
        self._order = [*range(len(self.poses)), *range(len(self.poses) - 2, 0, -1)]
        self._jpegs = [_jpeg(draw(number)) for number in range(len(self.poses))]
        self._sockets: set[web.WebSocketResponse] = set()
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    def start(self) -> FakeServer:
        self._thread.start()
        if not self._started.wait(10):
            raise RuntimeError("the fake server did not start")
        return self

    def stop(self) -> None:
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def send(self, *parts: bytes) -> None:
        """Sends these bytes to every page."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._send(parts), self._loop).result(5)

    async def _send(self, parts: Iterable[bytes]) -> None:
        for part in parts:
            await asyncio.gather(*(socket.send_bytes(part) for socket in self._sockets), return_exceptions=True)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/api/status", self._status),
                web.post("/api/record/start", self._start_recording),
                web.post("/api/record/stop", self._stop_recording),
                web.get("/api/recordings/{name}.zip", self._download),
                web.get("/api/mesh", self._mesh),
                web.get("/api/calibration", self._calibration),
                web.post("/api/calibration/start", self._start_calibration),
                web.post("/api/calibration/cancel", self._cancel_calibration),
                web.get("/ws", self._socket),
                web.get("/", self._index),
                web.static("/assets", self.page / "assets"),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = runner.addresses[0][1]
        playing = asyncio.create_task(self._play())
        self._started.set()
        await self._stop.wait()
        playing.cancel()
        for socket in list(self._sockets):
            await socket.close()
        await runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Callable) -> web.StreamResponse:
        given = request.headers.get("Authorization") or f"Bearer {request.query.get('token', '')}"
        if request.path.startswith(("/api", "/ws", "/whep")) and given != f"Bearer {self.token}":
            raise web.HTTPUnauthorized
        response = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = CSP
        return response

    async def _index(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(self.page / "index.html")

    async def _status(self, request: web.Request) -> web.Response:
        recording = {"id": f"take-{self.recorded}"} if self.is_recording else None
        return web.json_response({"v": 1, "t": time.monotonic_ns(), "recording": recording})

    async def _start_recording(self, request: web.Request) -> web.Response:
        if self.is_recording:
            return web.json_response({"error": "A recording is running already: stop it first."}, status=409)
        self.recorded += 1
        self.is_recording = True
        return web.json_response({"id": f"take-{self.recorded}"})

    async def _stop_recording(self, request: web.Request) -> web.Response:
        self.is_recording = False
        return web.json_response({"id": f"take-{self.recorded}"})

    async def _download(self, request: web.Request) -> web.Response:
        return web.Response(body=f"zip of {request.match_info['name']}".encode(), content_type="application/zip")

    async def _mesh(self, request: web.Request) -> web.Response:
        return web.Response(body=packed_mesh(None), content_type="application/octet-stream")

    async def _calibration(self, request: web.Request) -> web.Response:
        return web.json_response(self.calibration)

    async def _start_calibration(self, request: web.Request) -> web.Response:
        self.asked = await request.json()
        self.calibration = {**self.calibration, "phase": "measuring", "move": 0, "left_s": 3.0, "seen": True}
        return web.json_response(self.calibration)

    async def _cancel_calibration(self, request: web.Request) -> web.Response:
        self.calibration = {**self.calibration, "phase": "cancelled"}
        return web.json_response(self.calibration)

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_bytes(pack(self.meta))
        self._sockets.add(socket)
        while (await socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED):
            pass
        self._sockets.discard(socket)
        return socket

    async def _play(self) -> None:
        n = 0
        self.meta.clock.monotonic_ns, self.meta.clock.wall_ns = time.monotonic_ns(), time.time_ns()
        while True:
            number = self._order[n % len(self._order)]
            now = time.monotonic_ns()
            pose = msgspec.structs.replace(
                self.poses[number], seq=n, t_capture=now, t_publish=now + 24_000_000, dropped=0
            )
            picture = b"jpeg " + now.to_bytes(8, "big") + self._jpegs[number]
            parts = [pack(pose), picture][:: -1 if self._picture_first else 1]
            if n % round(self._fps) == 0:
                parts += [pack(self.meta), pack(self._health(n))]
            await self._send(parts)
            n += 1
            await asyncio.sleep(1 / self._fps)

    def _health(self, n: int) -> Health:
        stages = [
            StageHealth(name, True, 0, self._fps, ms, ms * 1.2)
            for name, ms in [("capture", 0.4), ("detection", 17.0), ("mqhmr", 5.1), ("neurik", 0.9), ("sinks", 0.3)]
        ]
        return Health(self.meta.session, time.monotonic_ns(), self._fps, 24.0, 29.0, n, n, 0, stages)


def _jpeg(picture: Picture) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=90)
    return out.getvalue()
