"""The links between stages: one PUSH that binds, one PULL that connects, over `ipc://` in the run's private directory.

Back-pressure: none.  The receiver conflates (it keeps the newest message only, whatever the sender's pace), and the
sender never waits: a message that nobody can take is dropped at once and its caller is told.  Both ends may die and
come back under the same address.  A high-water mark of 1 would keep the oldest message, so conflation does the work;
it needs single-part messages.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import zmq

from biopose_live.messages import Decoder, FrameRef

PICTURES = "pictures"  # the link beside the line: from mqhmr to whoever shows pictures

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
RECONNECT_MS = 20
BURST = 32  # what the sending side holds until its own thread has passed it on; a mark of 1 would drop the newest


def address(directory: Path, name: str) -> str:
    """-> the endpoint called `name` of a run's private directory."""
    return f"ipc://{directory / name}"


class Sender:
    """The upstream end of a link; `directory` must be private (0700), since whoever can connect can listen."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], directory: Path, link: str) -> None:
        self._socket = context.socket(zmq.PUSH)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, BURST)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        self._socket.bind(address(directory, link))

    @property
    def linked(self) -> bool:
        """Whether a receiver is there and can take a message."""
        return bool(self._socket.poll(0, zmq.POLLOUT))

    def send(self, message: bytes) -> bool:
        """-> False when the message was dropped, because no receiver is there or it no longer takes messages.

        Raises ValueError for one that the receiver would refuse: it would also leave for good.
        """
        if len(message) > MAX_MESSAGE_BYTES:
            raise ValueError(f"a message of {len(message)} bytes is over the limit of {MAX_MESSAGE_BYTES}")
        try:
            self._socket.send(message, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def close(self) -> None:
        self._socket.close(0)


class Receiver:
    """The downstream end of a link: always the newest message."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], directory: Path, link: str) -> None:
        self._socket = context.socket(zmq.PULL)
        self._socket.setsockopt(zmq.CONFLATE, 1)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        self._socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        self._socket.connect(address(directory, link))

    def receive(self, timeout_ms: int) -> bytes | None:
        """-> the newest message, or None when none came in time."""
        if not self._socket.poll(timeout_ms, zmq.POLLIN):
            return None
        try:
            return self._socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None

    def close(self) -> None:
        self._socket.close(0)


class Announcements:
    """The frames that mqhmr has begun to look at, newest only: they will have a pose, and until then their pictures can
    be made ready.  For one thread, which makes the socket with its first call.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], directory: Path) -> None:
        self._context, self._directory = context, directory
        self._receiver: Receiver | None = None
        self._decoder = Decoder(FrameRef)

    def next(self, timeout_ms: int) -> FrameRef | None:
        """-> the frame announced last, None when none was in time."""
        if self._receiver is None:
            self._receiver = Receiver(self._context, self._directory, PICTURES)
        data = self._receiver.receive(timeout_ms)
        try:
            return None if data is None else self._decoder.decode(data)
        except msgspec.DecodeError:  # nothing that we sent: as if nothing had come
            return None

    def close(self) -> None:
        if self._receiver is not None:
            self._receiver.close()
