"""A sender that is not the product's own: a bare PUB socket with hand-made messages of a two-joint skeleton."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import zmq

from biopose_client import schema


def make_meta(session: str = "first", **changes: object) -> schema.Meta:
    fields: dict[str, object] = {
        "session": session,
        "clock": schema.Clock(1_000_000_000, 1_700_000_000_000_000_000),
        "joint_names": ["hip_r", "knee_r"],
        "coordinate_names": ["pelvis_tx", "knee_angle_r"],
        "coordinate_units": ["m", "rad"],
        "body_names": ["pelvis", "femur_r"],
        "body_parents": [-1, 0],
        "keypoint_names": ["nose"],
        "marker_names": ["RASI"],
        "mesh": schema.Mesh("body.npz", 10),
        "versions": schema.Versions("biopose-live 0"),
    }
    return schema.Meta(**{**fields, **changes})


def make_pose(seq: int, session: str = "first", people: int = 1) -> schema.Pose:
    person = schema.Person(
        id=7,
        confidence=0.75,
        box=[1.0, 2.0, 3.0, 4.0],
        keypoints=[[5.0, 6.0, 0.5]],
        camera=schema.Camera(900.0, [320.0, 240.0], [0.0, 0.0, 3.0]),
        joints=[[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]],
        q=[0.25, 0.5],
        q_sigma=[0.01, 0.1],
        scales=[[1.0, 1.1, 1.2], [0.9, 0.8, 0.7]],
        bodies=[[0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]],
        root=[0.0, 1.0, 0.0],
        theta=[[0.0, 0.0, 0.0]] * 24,
        betas=[0.0] * 10,
    )
    return schema.Pose(
        session=session,
        seq=seq,
        t_capture=3_000_000_000 + seq,
        t_publish=3_050_000_000 + seq,
        image=[640, 480],
        stages={},
        dropped=0,
        people=[person] * people,
    )


class Sender:
    """Publishes on a loopback port that stays the same when it is stopped and started."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self._socket: zmq.Socket | None = None
        self.address = "tcp://127.0.0.1:*"
        self.start()

    def start(self) -> None:
        self._socket = self._context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, 100_000)
        self._bind()
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def _bind(self) -> None:
        """ZeroMQ closes a socket in the background: its port may stay taken for a moment."""
        assert self._socket is not None
        until = time.monotonic() + 10.0
        while True:
            try:
                return self._socket.bind(self.address)
            except zmq.ZMQError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > until:
                    raise
            time.sleep(0.01)

    def stop(self) -> None:
        assert self._socket is not None
        self._socket.close(0)
        self._socket = None

    def send(self, message: schema.Message | bytes) -> None:
        assert self._socket is not None
        self._socket.send(message if isinstance(message, bytes) else schema.pack(message))

    def close(self) -> None:
        self._context.destroy(0)


class Repeater:
    """Sends in a thread, each few milliseconds, whatever `messages(count)` gives, until stopped."""

    def __init__(self, sender: Sender, messages: Callable[[int], list[schema.Message | bytes]]) -> None:
        self._stop = threading.Event()
        self._sender = sender
        self._messages = messages
        self._thread = threading.Thread(target=self._run)
        self.count = 0

    def _run(self) -> None:
        while not self._stop.wait(0.005):
            for message in self._messages(self.count):
                self._sender.send(message)
            self.count += 1

    def __enter__(self) -> Repeater:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def sender() -> Iterator[Sender]:
    sender = Sender()
    yield sender
    sender.close()


@pytest.fixture
def repeat(sender: Sender) -> Callable[..., Repeater]:
    """repeat(messages) -> context manager that keeps sending messages(count)."""
    return lambda messages: Repeater(sender, messages)


@pytest.fixture
def new_meta() -> Callable[..., schema.Meta]:
    return make_meta


@pytest.fixture
def new_pose() -> Callable[..., schema.Pose]:
    return make_pose


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    def wait(condition: Callable[[], bool]) -> None:
        for _ in range(2000):
            if condition():
                return
            time.sleep(0.005)
        raise AssertionError("it did not happen in 10 s")

    return wait
