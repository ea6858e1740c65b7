"""What the supervisor and its children say to each other, and the two sockets they say it through.

Children report (`Beat`) ten times a second and the supervisor answers with commands.  ROUTER and DEALER: the address
of a command is the process that reported, so nothing is ever delivered to its successor.  Neither side waits for the
other: a full queue drops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import msgspec
import zmq

from biopose_client.schema import Health
from biopose_live.pipeline.live_calibration import CalibrationState, CalibrationWish
from biopose_live.pipeline.metrics import Summary
from biopose_live.pipeline.sockets import RECONNECT_MS, address
from biopose_live.settings import Settings
from biopose_live.sinks.viewer.access import ViewAccess

CONTROL = "control"
MAX_REPORT_BYTES = 1024 * 1024
QUEUE = 100  # messages either way before they are dropped
GOODBYE_MS = 500  # how long a child's last report may take to leave


# "running" is said by capture alone, once it has been let go; the other stages run as soon as they are ready.
State = Literal["starting", "ready", "running", "ended", "closed"]


class Assignment(msgspec.Struct):
    """All that a child needs to know; it reads this from its standard input."""

    stage: str
    factory: str
    settings: dict[str, Any]
    session: str
    directory: str
    ring: str
    parent: int
    view: ViewAccess | None = None  # sinks only: where viewers are served


class Failure(msgspec.Struct):
    """A UserError on its way to the supervisor."""

    sentence: str
    exit_code: int


class Beat(msgspec.Struct):
    """A child's report: that it lives, and what happened since the one before."""

    stage: str
    pid: int
    state: State
    linked: bool = True  # the next stage has connected
    received: int = 0
    produced: int = 0
    last_in: int = -1
    last_out: int = -1
    ms: list[float] = []  # processing times since the last report
    latency_ms: list[float] = []  # sinks only: capture -> publish
    reason: str = ""  # capture only: why it ended
    failure: Failure | None = None
    problems: list[str] = []  # all outputs given up so far, a sentence each
    notices: list[str] = []  # warnings logged since the last report
    wish: CalibrationWish | None = None  # sinks only: the last that a viewer had
    calibration: CalibrationState | None = None  # mqhmr only: how far a measurement is


class Command(msgspec.Struct):
    """`go`: capture may start. `stop`: capture must end. `health`, `close`: for the sinks. `exit`: leave.

    `calibrate`: mqhmr is to measure somebody, or to stop that; `calibration`: the sinks learn how far it is."""

    kind: Literal["go", "stop", "health", "close", "exit", "calibrate", "calibration"]
    health: Health | None = None
    summary: Summary | None = None
    wish: CalibrationWish | None = None
    calibration: CalibrationState | None = None


_encoder = msgspec.msgpack.Encoder()
_beats = msgspec.msgpack.Decoder(Beat)
_commands = msgspec.msgpack.Decoder(Command)


class ControlHub:
    """The supervisor's end."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], directory: Path) -> None:
        self._socket = context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_REPORT_BYTES)
        self._socket.setsockopt(zmq.SNDHWM, QUEUE)
        self._socket.setsockopt(zmq.RCVHWM, QUEUE)
        self._socket.bind(address(directory, CONTROL))

    def beats(self, timeout_ms: int) -> Iterator[Beat]:
        """Every report that has come in, waiting up to `timeout_ms` for the first one."""
        wait = timeout_ms
        while self._socket.poll(wait, zmq.POLLIN):
            wait = 0
            _, data = self._socket.recv_multipart(zmq.NOBLOCK)
            yield _beats.decode(data)

    def command(self, stage: str, pid: int, command: Command) -> None:
        """Sends to one process; dropped when that process is gone or no longer listens."""
        self._socket.send_multipart([_identity(stage, pid), _encoder.encode(command)], zmq.NOBLOCK)

    def close(self) -> None:
        self._socket.close(0)


class ControlLink:
    """A child's end; belongs to one thread."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], directory: Path, stage: str, pid: int) -> None:
        self._socket = context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, GOODBYE_MS)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_REPORT_BYTES)
        self._socket.setsockopt(zmq.SNDHWM, QUEUE)
        self._socket.setsockopt(zmq.RCVHWM, QUEUE)
        self._socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        self._socket.setsockopt(zmq.IDENTITY, _identity(stage, pid))
        self._socket.connect(address(directory, CONTROL))

    def report(self, beat: Beat) -> bool:
        """-> False when the supervisor takes no more reports at present."""
        try:
            self._socket.send(_encoder.encode(beat), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def commands(self, timeout_ms: int) -> Iterator[Command]:
        """Every command that has come in, waiting up to `timeout_ms` for the first one."""
        wait = timeout_ms
        while self._socket.poll(wait, zmq.POLLIN):
            wait = 0
            yield _commands.decode(self._socket.recv(zmq.NOBLOCK))

    def close(self) -> None:
        self._socket.close()


def _identity(stage: str, pid: int) -> bytes:
    return f"{stage}:{pid}".encode()


def settings_to_map(settings: Settings) -> dict[str, Any]:
    """-> names and JSON-able values; paths become text."""
    values = {f.name: getattr(settings, f.name) for f in fields(settings)}
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def settings_from_map(values: dict[str, Any]) -> Settings:
    """The inverse of `settings_to_map`; raises msgspec.ValidationError."""
    return msgspec.convert(values, Settings, dec_hook=lambda kind, value: kind(value))
