"""Subscribes to a biopose-live socket and gives frames, newest or every one.

ZeroMQ connects again by itself when the sender goes away and comes back.  A sender that was started again has a new
session: its poses wait for its own `meta`, which comes within a second, so a frame never carries another session's
names.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator

import zmq

from .frame import Frame, Names
from .schema import TOPIC_HEALTH, TOPIC_META, TOPIC_POSE, Health, Message, Pose, SchemaError, unpack

DEFAULT_ADDRESS = "tcp://127.0.0.1:5556"

_EVERY_FRAME_QUEUE = 10_000  # messages that may wait in this process when it is slow; about 50 MB for one person
_WAITING_POSES = 1_000  # of a session whose meta is still to come, within a second
_MAX_MESSAGE_BYTES = 8 * 1024 * 1024
_RECONNECT_MS = 100
_HEARTBEAT_MS = 2_000  # notices a sender whose machine vanished without closing the connection


class NothingReceived(TimeoutError):
    """No frame came within `timeout`; the message says what did come and what to check."""


class Stream(Iterator[Frame]):
    """An endless iterator of frames; also a context manager.  Made by `connect`; not for use by two threads at once."""

    def __init__(self, address: str, newest: bool, timeout: float | None) -> None:
        self.address = address
        port = re.fullmatch(r"tcp://.+:(\d+)", address)
        if port is not None and not 0 < int(port[1]) <= 65_535:  # ZeroMQ would wait for it for ever
            raise ValueError(f"cannot connect to {address!r}: its port must be from 1 to 65535")
        self.timeout = timeout
        self.health: Health | None = None  # the sender's latest report on itself
        self._names: Names | None = None
        self.newest = newest
        self._waiting: deque[Pose] = deque(maxlen=1 if newest else _WAITING_POSES)  # until their session's meta comes
        self._context = zmq.Context()
        self._poller = zmq.Poller()
        try:
            # ZMQ_CONFLATE keeps the newest message while this process sleeps, but one message in all: the rarer
            # topics get a socket of their own, so that the newest pose never pushes a meta out.
            pose_topics, other_topics = [TOPIC_POSE], [TOPIC_META, TOPIC_HEALTH]
            if newest:
                self._others = self._subscribe(other_topics, conflate=False)
                self._poses = self._subscribe(pose_topics, conflate=True)
            else:
                self._others = self._poses = self._subscribe(pose_topics + other_topics, conflate=False)
        except zmq.ZMQError as error:
            self.close()
            raise ValueError(
                f"cannot connect to {address!r} ({error.strerror}): expected an address like {DEFAULT_ADDRESS}"
            ) from error

    def _subscribe(self, topics: list[bytes], conflate: bool) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.SUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, _MAX_MESSAGE_BYTES)
        # At a steady pace: a sender that starts again is away for less than a second, which a growing pause would
        # double.
        socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3 * _HEARTBEAT_MS)
        socket.setsockopt(zmq.RCVHWM, _EVERY_FRAME_QUEUE)
        socket.setsockopt(zmq.CONFLATE, int(conflate))  # before connect, or it has no effect
        for topic in topics:
            socket.setsockopt(zmq.SUBSCRIBE, topic)
        socket.connect(self.address)
        self._poller.register(socket, zmq.POLLIN)
        return socket

    def __next__(self) -> Frame:
        """-> the next frame; waits for it.

        Raises NothingReceived after `timeout` seconds, SchemaError when the sender speaks another version.
        """
        if self._context.closed:
            raise StopIteration
        start = time.monotonic()
        heard = False
        while True:
            if self.newest or self._ready() is None:
                heard |= self._receive()
            names = self._ready()
            if names is not None:
                return Frame(self._waiting.popleft(), names)
            left = None if self.timeout is None else self.timeout - (time.monotonic() - start)
            if left is not None and left <= 0:
                raise NothingReceived(self._silence(heard))
            self._poller.poll(None if left is None else max(1, round(left * 1e3)))

    def _ready(self) -> Names | None:
        """-> the names for the first waiting pose, or None when there is no pose or its meta has not come."""
        if self._waiting and self._names is not None and self._waiting[0].session == self._names.meta.session:
            return self._names
        return None

    def _receive(self) -> bool:
        """Takes what has arrived, in every-frame mode only up to the next pose; -> whether anything had."""
        heard = False
        if self._others is not self._poses:
            while (message := _take(self._others)) is not None:
                self._keep(message)
                heard = True
        while (message := _take(self._poses)) is not None:
            self._keep(message)
            heard = True
            if self._ready() is not None:
                break
        return heard

    def _keep(self, message: Message) -> None:
        if isinstance(message, Pose):
            if self._waiting and self._waiting[0].session != message.session:
                self._waiting.clear()  # what the former session left behind will never get its meta
            self._waiting.append(message)
        elif isinstance(message, Health):
            self.health = message
        elif self._names is None or message != self._names.meta:
            self._names = Names(message)

    def _silence(self, heard: bool) -> str:
        if heard:
            return (
                f"{self.address} answers but sent no frame for {self.timeout:g} s: "
                f"its camera or video may have stopped; see the sender's status line."
            )
        return (
            f"nothing came from {self.address} for {self.timeout:g} s: is biopose-live running there, "
            f"with --publish {self.address}?"
        )

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the stream; iterating it afterwards stops at once."""
        self._context.destroy(linger=0)


def _take(socket: zmq.Socket[bytes]) -> Message | None:
    """-> a message that has arrived, or None; raises SchemaError."""
    try:
        part = socket.recv(zmq.NOBLOCK)
    except zmq.Again:
        return None
    return unpack(part)


def connect(address: str = DEFAULT_ADDRESS, newest: bool = True, timeout: float | None = None) -> Stream:
    """-> frames from a biopose-live `--publish` address, for ever: `for frame in connect(): …`.

    `newest`: give the newest frame each time and skip those that came while the caller was busy (for displays and
    control).  Otherwise every frame in order (for logging); frames that never arrived show as gaps in `frame.seq`.
    `timeout`: raise NothingReceived when no frame comes for this many seconds; None waits for ever.

    Raises ValueError for a malformed address; the iterator raises SchemaError when the sender speaks another major
    version of the schema.
    """
    return Stream(address, newest, timeout)


__all__ = ["DEFAULT_ADDRESS", "NothingReceived", "SchemaError", "Stream", "connect"]
