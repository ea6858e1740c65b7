"""The viewer's HTTP side: the page, WHEP signalling, the WebSocket, status and recordings (aiohttp).

WHEP (WebRTC-HTTP Egress Protocol, draft-ietf-wish-whep): POST an SDP offer, 201 with the answer and a Location; DELETE
that to end.  Everything but the page needs the token; what is too large, too slow or from elsewhere is refused.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from biopose_client.schema import Health
from biopose_live import __version__
from biopose_live.errors import UserError
from biopose_live.sinks.viewer.access import ViewAccess, same_origin
from biopose_live.sinks.viewer.audience import Audience
from biopose_live.sinks.viewer.offers import MAX_OFFER_BYTES, OfferRefused, cleaned
from biopose_live.sinks.viewer.recordings import RecordingDesk

PAGE = Path(str(files("biopose_live") / "assets" / "web"))
BODY_S = 5.0  # a request's body must be there by then
ANSWER_S = 8.0
FIRST_REQUEST_S = 10.0  # a connection must have asked for something by then
IDLE_S = 20  # between two requests of a connection
MOST_CONNECTIONS = 64
SESSION_BYTES = 24
SDP, FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address carries the token
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_MISSING = (
    "The viewer's page is not part of this installation: it is built from clients/web when the package is installed. "
    "Poses are still published, and WHEP players can show the video."
)

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ViewerServer:
    """Serves one run.  Everything here happens in one asyncio loop."""

    def __init__(
        self, access: ViewAccess, audience: Audience, recordings: RecordingDesk, source: str, page: Path = PAGE
    ) -> None:
        self.health: Health | None = None
        self._access = access
        self._audience = audience
        self._recordings = recordings
        self._source = source
        self._page = page.resolve()
        self._sessions: dict[str, Any] = {}
        self._silent: set[Any] = set()  # connections that have not asked for anything yet
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None

    def application(self) -> web.Application:
        """-> the routes; also what tests put behind their client."""
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_OFFER_BYTES)
        app.on_response_prepare.append(self._add_headers)
        app.add_routes(
            [
                web.post("/whep", self._offer),
                web.options("/whep", self._options),
                web.delete("/whep/{session}", self._end),
                web.patch("/whep/{session}", self._trickle),
                web.get("/ws", self._socket),
                web.get("/api/status", self._status),
                web.post("/api/record/start", self._start_recording),
                web.post("/api/record/stop", self._stop_recording),
                web.get("/api/recordings/{name}.zip", self._download),
                web.get("/{path:.*}", self._file),
            ]
        )
        return app

    async def start(self, sock: Any, tls: ssl.SSLContext | None = None) -> None:
        """Listens on a bound socket."""
        self._runner = web.AppRunner(
            self.application(), access_log=None, keepalive_timeout=IDLE_S, shutdown_timeout=0.5
        )
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        patience = None if tls is None else FIRST_REQUEST_S
        self._server = await loop.create_server(
            self._connection, sock=sock, backlog=64, ssl=tls, ssl_handshake_timeout=patience
        )

    def _connection(self) -> asyncio.Protocol:
        assert self._runner is not None
        server = self._runner.server
        assert server is not None
        if len(server.connections) >= MOST_CONNECTIONS:
            return _TurnedAway()
        handler = server()
        self._silent.add(handler)
        asyncio.get_running_loop().call_later(FIRST_REQUEST_S, self._end_silent, handler)
        return handler

    def _end_silent(self, handler: web.RequestHandler) -> None:
        if handler in self._silent:
            self._silent.discard(handler)
            handler.force_close()

    async def stop(self) -> None:
        await self._audience.close()
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._silent.discard(request.protocol)
        host = request.headers.get("Host", "")
        if not self._access.knows_host(host):
            raise web.HTTPMisdirectedRequest(text=f"This is not {host[:100]!r}: use {self._access.url.split('?')[0]}.")
        origin = request.headers.get("Origin")
        if origin is not None and not same_origin(origin, host):
            raise web.HTTPForbidden(text="Pages of other sites may not use the viewer.")
        return await handler(request)

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(_HEADERS)
        response.headers["Content-Security-Policy"] = (
            f"default-src 'self'; connect-src 'self' ws://{request.host} wss://{request.host}; "
            "img-src 'self' data: blob:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'"
        )

    def _authorise(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self._access.admits(token.strip()):
            raise web.HTTPUnauthorized(
                text="The token is missing or wrong: use the address that biopose-live has printed for this run.",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def _make_room(self) -> None:
        if len(self._audience.viewers) >= self._audience.most:
            raise web.HTTPServiceUnavailable(
                text=f"{self._audience.most} viewers are watching already: close one.", headers={"Retry-After": "5"}
            )

    async def _options(self, request: web.Request) -> web.Response:
        return web.Response(status=204, headers={"Accept-Post": SDP})

    async def _offer(self, request: web.Request) -> web.Response:
        self._authorise(request)
        if request.content_type != SDP:
            raise web.HTTPUnsupportedMediaType(text=f"An offer is {SDP}.")
        body = await _body(request)
        try:
            offer = cleaned(body.decode())
        except OfferRefused as refused:
            return web.Response(status=refused.status, text=str(refused))
        except UnicodeDecodeError:
            return web.Response(status=400, text="This is no SDP offer.")
        # Imported here: aiortc costs 0.3 s, which a run that nobody watches does not pay.
        from biopose_live.sinks.viewer.peer import Peer

        self._make_room()
        peer = Peer(self._audience, self._access.host)
        self._audience.join(peer)
        try:
            answer = await asyncio.wait_for(peer.answer(offer), ANSWER_S)
        except TimeoutError:
            await peer.close()
            return web.Response(status=504, text="The offer could not be answered in time.")
        except Exception as error:  # aiortc's parser raises whatever it stumbles over
            await peer.close()
            log.info("an offer makes no sense: %s: %s", type(error).__name__, error)
            return web.Response(status=400, text="This SDP offer makes no sense.")
        session = secrets.token_urlsafe(SESSION_BYTES)
        self._sessions = {key: kept for key, kept in self._sessions.items() if kept in self._audience.viewers}
        self._sessions[session] = peer
        headers = {"Location": f"/whep/{session}", "ETag": f'"{session[:8]}"'}
        return web.Response(status=201, text=answer, content_type=SDP, headers=headers)

    async def _end(self, request: web.Request) -> web.Response:
        self._authorise(request)
        peer = self._sessions.pop(request.match_info["session"], None)
        if peer is None:
            raise web.HTTPNotFound(text="There is no such session.")
        await peer.close()
        return web.Response()

    async def _trickle(self, request: web.Request) -> web.Response:
        """Candidates that come later are not needed: the browser's own checks tell where it is."""
        self._authorise(request)
        if request.content_type != FRAGMENT:
            raise web.HTTPUnsupportedMediaType(text=f"A change of a session is {FRAGMENT}.")
        await _body(request)
        if request.match_info["session"] not in self._sessions:
            raise web.HTTPNotFound(text="There is no such session.")
        return web.Response(status=204)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        from biopose_live.sinks.viewer.socket_viewer import SocketViewer

        if not self._access.admits(request.query.get("token", "")):
            raise web.HTTPUnauthorized(text="The token is missing or wrong.")
        self._make_room()
        viewer = SocketViewer(self._audience)
        self._audience.join(viewer)
        return await viewer.run(request)

    async def _status(self, request: web.Request) -> web.Response:
        self._authorise(request)
        health = self.health
        running = self._recordings.running
        content = {
            "v": 1,
            "version": __version__,
            "source": self._source,
            "session": None if health is None else health.session,
            "t": time.monotonic_ns(),
            "fps": 0.0 if health is None else health.fps,
            "latency_ms": {
                "p50": 0.0 if health is None else health.latency_ms_p50,
                "p95": 0.0 if health is None else health.latency_ms_p95,
            },
            "captured": 0 if health is None else health.captured,
            "processed": 0 if health is None else health.processed,
            "dropped": 0 if health is None else health.dropped,
            "stages": [] if health is None else msgspec.to_builtins(health.stages),
            "viewers": len(self._audience.viewers),
            "recording": None if running is None else {"id": running, "frames": self._recordings.frames},
        }
        return web.json_response(content)

    async def _start_recording(self, request: web.Request) -> web.Response:
        self._authorise(request)
        try:
            name = await asyncio.to_thread(self._recordings.start)
        except UserError as error:
            return web.json_response({"error": str(error)}, status=409)
        return web.json_response({"id": name})

    async def _stop_recording(self, request: web.Request) -> web.Response:
        self._authorise(request)
        try:
            finished = await asyncio.to_thread(self._recordings.stop)
        except UserError as error:
            return web.json_response({"error": str(error)}, status=409)
        return web.json_response(msgspec.to_builtins(finished) | {"url": f"/api/recordings/{finished.id}.zip"})

    async def _download(self, request: web.Request) -> web.StreamResponse:
        self._authorise(request)
        name = request.match_info["name"]
        archive = self._recordings.archive(name)
        if archive is None:
            raise web.HTTPNotFound(text="There is no such recording.")
        self._recordings.downloaded(name)
        return web.FileResponse(
            archive, headers={"Content-Disposition": 'attachment; filename="biopose-recording.zip"'}
        )

    async def _file(self, request: web.Request) -> web.StreamResponse:
        path = (self._page / (request.match_info["path"] or "index.html")).resolve()
        if not (self._page / "index.html").is_file():
            return web.Response(status=503, text=_MISSING)
        if not path.is_relative_to(self._page) or not path.is_file():
            raise web.HTTPNotFound(text="There is no such page.")
        return web.FileResponse(path)


class _TurnedAway(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


async def _body(request: web.Request) -> bytes:
    try:
        return await asyncio.wait_for(request.read(), BODY_S)
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text="The request's body did not come in time.") from error
