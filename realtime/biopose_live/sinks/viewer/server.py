"""A run's HTTP side: WHEP signalling, the WebSocket, status and recordings.

WHEP (WebRTC-HTTP Egress Protocol, draft-ietf-wish-whep): POST an SDP offer, 201 with the answer and a Location; DELETE
that to end.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from biopose_client.schema import Health
from biopose_live import __version__
from biopose_live.errors import UserError
from biopose_live.sinks.viewer.access import ViewAccess
from biopose_live.sinks.viewer.audience import Audience
from biopose_live.sinks.viewer.calibrations import CalibrationDesk, CalibrationRequest
from biopose_live.sinks.viewer.offers import OfferRefused, cleaned
from biopose_live.sinks.viewer.page_server import PAGE, PageServer
from biopose_live.sinks.viewer.recordings import RecordingDesk

BODY_S = 5.0  # a request's body must be there by then
ANSWER_S = 8.0
SESSION_BYTES = 24
SDP, FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"

log = logging.getLogger(__name__)


class ViewerServer(PageServer):
    """Serves one run."""

    def __init__(
        self,
        access: ViewAccess,
        audience: Audience,
        recordings: RecordingDesk,
        calibrations: CalibrationDesk,
        source: str,
        page: Path = PAGE,
        body: Path | None = None,
    ) -> None:
        super().__init__(access, page, body)
        self.health: Health | None = None
        self._audience = audience
        self._recordings = recordings
        self._calibrations = calibrations
        self._source = source
        self._sessions: dict[str, Any] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/whep", self._offer),
            web.options("/whep", self._options),
            web.delete("/whep/{session}", self._end),
            web.patch("/whep/{session}", self._trickle),
            web.get("/ws", self._socket),
            web.get("/api/status", self._status),
            web.post("/api/record/start", self._start_recording),
            web.post("/api/record/stop", self._stop_recording),
            web.get("/api/recordings/{name}.zip", self._download),
            web.get("/api/calibration", self._calibration),
            web.post("/api/calibration/start", self._start_calibration),
            web.post("/api/calibration/cancel", self._cancel_calibration),
        ]

    async def stop(self) -> None:
        await self._audience.close()
        await super().stop()

    def _make_room(self) -> None:
        if len(self._audience.viewers) >= self._audience.most:
            raise web.HTTPServiceUnavailable(
                text=f"{self._audience.most} viewers are watching already: close one.", headers={"Retry-After": "5"}
            )

    async def _options(self, request: web.Request) -> web.Response:
        return web.Response(status=204, headers={"Accept-Post": SDP})

    async def _offer(self, request: web.Request) -> web.Response:
        self.authorise(request)
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
        self.authorise(request)
        peer = self._sessions.pop(request.match_info["session"], None)
        if peer is None:
            raise web.HTTPNotFound(text="There is no such session.")
        await peer.close()
        return web.Response()

    async def _trickle(self, request: web.Request) -> web.Response:
        """Candidates that come later are not needed: the browser's own checks tell where it is."""
        self.authorise(request)
        if request.content_type != FRAGMENT:
            raise web.HTTPUnsupportedMediaType(text=f"A change of a session is {FRAGMENT}.")
        await _body(request)
        if request.match_info["session"] not in self._sessions:
            raise web.HTTPNotFound(text="There is no such session.")
        return web.Response(status=204)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        from biopose_live.sinks.viewer.socket_viewer import SocketViewer

        self.authorise(request, by_address=True)
        self._make_room()
        viewer = SocketViewer(self._audience)
        self._audience.join(viewer)
        return await viewer.run(request)

    async def _status(self, request: web.Request) -> web.Response:
        self.authorise(request)
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
        self.authorise(request)
        try:
            name = await asyncio.to_thread(self._recordings.start)
        except UserError as error:
            return web.json_response({"error": str(error)}, status=409)
        return web.json_response({"id": name})

    async def _stop_recording(self, request: web.Request) -> web.Response:
        self.authorise(request)
        try:
            finished = await asyncio.to_thread(self._recordings.stop)
        except UserError as error:
            return web.json_response({"error": str(error)}, status=409)
        return web.json_response(msgspec.to_builtins(finished) | {"url": f"/api/recordings/{finished.id}.zip"})

    async def _download(self, request: web.Request) -> web.StreamResponse:
        self.authorise(request)
        name = request.match_info["name"]
        archive = self._recordings.archive(name)
        if archive is None:
            raise web.HTTPNotFound(text="There is no such recording.")
        self._recordings.downloaded(name)
        return web.FileResponse(
            archive, headers={"Content-Disposition": 'attachment; filename="biopose-recording.zip"'}
        )

    async def _calibration(self, request: web.Request) -> web.Response:
        self.authorise(request)
        return web.json_response(self._calibrations.told())

    async def _start_calibration(self, request: web.Request) -> web.Response:
        self.authorise(request)
        try:
            asked = msgspec.json.decode(await _body(request), type=CalibrationRequest)
            self._calibrations.start(asked)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise web.HTTPBadRequest(text="A measurement is asked for by person, height and name.") from error
        except UserError as error:
            return web.json_response({"error": str(error)}, status=409)
        return web.json_response(self._calibrations.told())

    async def _cancel_calibration(self, request: web.Request) -> web.Response:
        self.authorise(request)
        self._calibrations.cancel()
        return web.json_response(self._calibrations.told())


async def _body(request: web.Request) -> bytes:
    try:
        return await asyncio.wait_for(request.read(), BODY_S)
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text="The request's body did not come in time.") from error
