"""The public ZeroMQ socket: a PUB that sends schema v1 and accepts nothing.

Back-pressure: none.  PUB keeps a short queue for each subscriber and drops that subscriber's messages when it is full,
so one that sleeps costs the others nothing and the pipeline never waits.  `meta` goes out at start and each second:
whoever joins late knows the skeleton within a second.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import re
from dataclasses import dataclass

import zmq

from biopose_client import schema
from biopose_live.errors import EXIT_SINK, EXIT_USAGE, UserError

log = logging.getLogger(__name__)

OFF = "off"
META_PERIOD_NS = 1_000_000_000

QUEUE_MESSAGES = 16  # for each subscriber; when full, ZeroMQ drops for it alone
SEND_BUFFER_BYTES = 131_072  # a small kernel buffer: a subscriber that wakes up finds little that is stale
MAX_INCOMING_BYTES = 4_096  # a subscriber only ever sends subscriptions, a few bytes each

_TCP = re.compile(r"tcp://(?P<host>\[[^\[\]\s]+\]|[^\s:/\[\]]+):(?P<port>\*|\d{1,5})")
_ADVICE = "give --publish tcp://127.0.0.1:PORT with a port from 1 to 65535, or --publish off"


@dataclass(frozen=True)
class TcpAddress:
    """A bind address; port 0 lets the system choose."""

    host: str
    port: int

    @property
    def endpoint(self) -> str:
        return f"tcp://{self.host}:{self.port or '*'}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False


def parse_address(text: str) -> TcpAddress | None:
    """`--publish` -> where to bind, or None for `off`; raises UserError (usage) with the form that is expected."""
    if text == OFF:
        return None
    match = _TCP.fullmatch(text)
    if match is None:
        raise UserError(f"--publish {text!r} is no address: {_ADVICE}.", EXIT_USAGE)
    port = 0 if match["port"] == "*" else int(match["port"])
    if port > 65535:
        raise UserError(f"--publish {text!r} has port {port}: {_ADVICE}.", EXIT_USAGE)
    return TcpAddress(match["host"], port)


class Publisher:
    """Sends packed messages to whoever has subscribed.

    `address` is the endpoint that was really bound (the chosen port when port 0 was asked for).
    Raises UserError (sink) when the address cannot be bound.
    """

    def __init__(self, address: TcpAddress, meta: schema.Meta) -> None:
        self._meta = schema.pack(meta)
        self._next_meta = 0
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, QUEUE_MESSAGES)
        self._socket.setsockopt(zmq.SNDBUF, SEND_BUFFER_BYTES)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_INCOMING_BYTES)
        self._socket.setsockopt(zmq.IPV6, int(address.host.startswith("[")))
        try:
            self._socket.bind(address.endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise UserError(_cannot_bind(address, error), EXIT_SINK) from error
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        if not address.loopback:
            log.warning(
                "Anybody who can reach %s can read the pose stream (it is not encrypted); nothing is accepted from "
                "there. Use --publish tcp://127.0.0.1:%d to keep it on this machine.",
                self.address,
                address.port or int(self.address.rpartition(":")[2]),
            )

    def send(self, packed: bytes) -> None:
        """Hands one packed message (see `schema.pack`) to every subscriber; never waits."""
        # PUB drops by itself when a subscriber's queue is full, so a full queue is no error here.
        self._socket.send(packed, zmq.NOBLOCK)

    def keep_alive(self, now_ns: int) -> None:
        """Sends `meta` if it is due; call at least a few times a second, `now_ns` is `time.monotonic_ns()`."""
        if now_ns >= self._next_meta:
            self._next_meta = now_ns + META_PERIOD_NS
            self.send(self._meta)

    def close(self) -> None:
        """Closes the socket at once; what subscribers have not taken yet is dropped."""
        self._socket.close(linger=0)
        self._context.term()


def _cannot_bind(address: TcpAddress, error: zmq.ZMQError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"The address tcp://{address.host}:{address.port} is in use, perhaps by another biopose-live: choose "
            f"another with --publish tcp://127.0.0.1:PORT, or turn publishing off with --publish off."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"This user may not open {address.endpoint}: choose a port above 1023 with --publish "
            f"tcp://127.0.0.1:PORT, or --publish off."
        )
    return (
        f"{address.endpoint} is no address of this machine ({error.strerror}): give --publish "
        f"tcp://127.0.0.1:PORT, or --publish off."
    )
