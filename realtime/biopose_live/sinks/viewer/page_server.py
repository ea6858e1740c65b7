"""The viewer's HTTP ground: the page itself, and who is let in (aiohttp).

Everything but the page needs the token; what is too large, too slow or from elsewhere is refused.  What there is to
watch is added by whoever inherits from `PageServer`: a run (`server`) or a recording (`replay`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from aiohttp import web

from biopose_live.errors import UserError
from biopose_live.sinks.viewer.access import ViewAccess, is_loopback, same_origin
from biopose_live.sinks.viewer.body_mesh import packed_mesh
from biopose_live.sinks.viewer.offers import MAX_OFFER_BYTES

PAGE = Path(str(files("biopose_live") / "assets" / "web"))
FIRST_REQUEST_S = 10.0  # a connection must have asked for something by then
IDLE_S = 20  # between two requests of a connection
MOST_CONNECTIONS = 64
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
_ELSEWHERE = "The mesh is of the body file given with --body, whose licence is its owner's: only this machine shows it."

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PageServer:
    """Serves the page.  Everything here happens in one asyncio loop."""

    def __init__(self, access: ViewAccess, page: Path = PAGE, body: Path | None = None) -> None:
        """`body`: the user's own body file, whose mesh is shown to this machine only; None: the embedded one."""
        self._access = access
        self._page = page.resolve()
        self._body = body
        self._silent: set[Any] = set()  # connections that have not asked for anything yet
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None

    def routes(self) -> Iterable[web.RouteDef]:
        """-> what there is beside the page."""
        return ()

    def application(self) -> web.Application:
        """-> the routes; also what tests put behind their client."""
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_OFFER_BYTES)
        app.on_response_prepare.append(self._add_headers)
        app.add_routes([*self.routes(), web.get("/api/mesh", self._mesh), web.get("/{path:.*}", self._file)])
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
        """Ends every connection."""
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
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["Content-Security-Policy"] = (
            f"default-src 'self'; connect-src 'self' ws://{request.host} wss://{request.host}; "
            "img-src 'self' data: blob:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'"
        )

    def authorise(self, request: web.Request, by_address: bool = False) -> None:
        """Raises HTTPUnauthorized without the token; `by_address`: it may be in the address, where a browser can send
        no header."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if by_address and not scheme:
            scheme, token = "bearer", request.query.get("token", "")
        if scheme.lower() != "bearer" or not self._access.admits(token.strip()):
            raise web.HTTPUnauthorized(
                text="The token is missing or wrong: use the address that biopose-live has printed for this run.",
                headers={"WWW-Authenticate": "Bearer"},
            )

    async def _mesh(self, request: web.Request) -> web.Response:
        self.authorise(request)
        if self._body is not None and not is_loopback(request.remote or ""):
            raise web.HTTPForbidden(text=_ELSEWHERE)
        try:
            content = await asyncio.to_thread(packed_mesh, self._body)
        except UserError as error:
            return web.Response(status=404, text=str(error))
        return web.Response(body=content, content_type="application/octet-stream")

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
